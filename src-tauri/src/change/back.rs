//! Takes an applied change back, exactly.

use super::{
    journal::{Entry, Journal, State},
    standing::{CUT_SHORT, holds, left, undo_blocked},
    store::Store,
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

/// Writes what was there before `entry`.
pub fn put_back(journal: &Journal, store: &dyn Store, entry: &Entry, by: By) -> Result<()> {
    if let Some(reason) = undo_blocked(entry, store)? {
        return Err(Fault::new("undo-blocked", reason).hint("The journal holds the text of before; compare by hand."));
    }
    let back: Vec<FileEdit> = entry.edits.iter().rev().map(FileEdit::reversed).collect();
    journal.set(entry.id, State::Undoing)?;
    let written = match by {
        By::Person => store.write_all(&back),
        By::Itself => store.write_back(&back),
    };
    if let Err(fault) = written {
        // Whatever stands on disk now decides what the entry is.
        let state = if fault.code != CUT_SHORT && holds(store, &entry.edits)? {
            State::Applied
        } else {
            State::Stuck
        };
        journal.set(entry.id, state)?;
        return Err(fault);
    }
    write::verify(store, &back)?;
    journal.set(
        entry.id,
        match by {
            By::Person => State::Undone,
            By::Itself => State::Reverted,
        },
    )
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
        let what = format!("{} holds neither what it was nor what it would be.", foreign.join(", "));
        return Err(Fault::new("conflict", what)
            .hint("Another hand changed it meanwhile: make it one of the two, then this can be settled."));
    }
    journal.set(entry.id, under_way)?;
    let written = store.write_all(&open).and_then(|()| write::verify(store, &open));
    journal.set(entry.id, if written.is_ok() { done } else { State::Stuck })?;
    written
}
