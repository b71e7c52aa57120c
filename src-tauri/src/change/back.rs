//! Takes an applied change back, exactly.

use super::{
    journal::{Entry, Journal, State},
    standing::{CUT_SHORT, left, undo_blocked},
    store::{Store, Stored},
    write::{self, FileEdit},
};
use crate::{
    dto::Holds,
    fault::{Fault, Result},
};

/// Who takes a change back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Person,
    /// Nobody confirmed it in time.
    Itself,
}

/// Code of the fault of what another hand's change keeps from being taken back.
pub const UNDO_BLOCKED: &str = "undo-blocked";

/// Writes what was there before `entry`. Gives the files that were left as they are.
pub fn put_back(journal: &Journal, store: &dyn Store, entry: &Entry, by: By) -> Result<Vec<String>> {
    let (back, kept) = way_back(store, entry, by)?;
    journal.set(entry.id, State::Undoing)?;
    let (written, done) = match by {
        By::Person => (store.write_all(&back), State::Undone),
        By::Itself => (store.write_back(&back), State::Reverted),
    };
    let stored = written_or(journal, entry, written)?;
    journal.keep(entry.id, &kept)?;
    journal.tell(entry.id, &stored.warnings)?;
    journal.set(entry.id, done)?;
    write::verify(store, &stored.files)?;
    Ok(kept)
}

/// The edits that take `entry` back, and the files that are left as they are. What waits to be confirmed can be taken back
/// from the middle too: what is old already, or was never written, is left alone. When its time is up nobody is there to
/// be asked about a file that another hand changed: the others are not kept for its sake.
fn way_back(store: &dyn Store, entry: &Entry, by: By) -> Result<(Vec<FileEdit>, Vec<String>)> {
    let back: Vec<FileEdit> = entry.edits.iter().rev().map(FileEdit::reversed).collect();
    let is_stuck = entry.is_unconfirmed() && entry.state != State::Applied;
    let reason = if is_stuck || by == By::Itself {
        let (open, foreign) = left(store, &back)?;
        if foreign.is_empty() || (by == By::Itself && !open.is_empty()) {
            return Ok((open, foreign.into_iter().map(String::from).collect()));
        }
        neither(&foreign)
    } else {
        match undo_blocked(entry, store)? {
            None => return Ok((back, Vec::new())),
            Some(reason) => reason,
        }
    };
    Err(Fault::new(UNDO_BLOCKED, reason).hint("The journal holds the text of before; compare by hand."))
}

/// Brings all files of an entry that was cut short to one side: the new one, or the old one.
pub fn bring_to(journal: &Journal, store: &dyn Store, entry: &Entry, side: Holds) -> Result<()> {
    if entry.state != State::Stuck {
        return Err(Fault::input(format!("\"{}\" was not cut short.", entry.title)));
    }
    let (edits, under_way, done) = match side {
        Holds::New => (entry.edits.clone(), State::Applying, State::Applied),
        Holds::Old => {
            let back = entry.edits.iter().rev().map(FileEdit::reversed);
            (back.collect(), State::Undoing, State::Undone)
        }
        Holds::Other => return Err(Fault::input("A side is expected: new or old.")),
    };
    let (open, foreign) = left(store, &edits)?;
    if !foreign.is_empty() {
        return Err(Fault::new("conflict", neither(&foreign))
            .hint("Another hand changed it meanwhile: make it one of the two, then this can be settled."));
    }
    journal.set(entry.id, under_way)?;
    let stored = written_or(journal, entry, store.write_all(&open))?;
    if done == State::Applied {
        journal.stored(entry.id, &stored.files)?;
    }
    journal.tell(entry.id, &stored.warnings)?;
    journal.set(entry.id, done)?;
    write::verify(store, &stored.files)
}

/// What was written; else the entry is what it was, or stuck where something may have been written.
fn written_or(journal: &Journal, entry: &Entry, written: Result<Stored>) -> Result<Stored> {
    if let Err(fault) = &written {
        let cut_short = fault.code == CUT_SHORT;
        journal.set(entry.id, if cut_short { State::Stuck } else { entry.state })?;
    }
    written
}

fn neither(foreign: &[&str]) -> String {
    format!("{} holds neither what it was nor what it would be.", foreign.join(", "))
}
