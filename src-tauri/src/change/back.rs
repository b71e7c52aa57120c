//! Takes an applied change back, exactly.

use super::{
    journal::{Entry, Journal, State},
    standing::{holds, undo_blocked},
    store::Store,
    write::{self, FileEdit},
};
use crate::fault::{Fault, Result};

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
        let state = if holds(store, &entry.edits)? {
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
