//! How an entry of the journal stands against the files as they are.

use super::{
    diff::file_diff,
    journal::{Entry, Journal, State},
    store::Store,
    write::FileEdit,
};
use crate::{dto::JournalEntry, fault::Result};

/// After a failed write: the entry goes when no file was changed, else it stays to be looked at.
pub fn settle(journal: &Journal, store: &dyn Store, id: i64, edits: &[FileEdit]) -> Result<()> {
    let back: Vec<FileEdit> = edits.iter().map(FileEdit::reversed).collect();
    if holds(store, &back)? {
        journal.forget(id)
    } else {
        journal.set(id, State::Stuck)
    }
}

/// True when every file is what it should be after `edits`.
pub fn holds(store: &dyn Store, edits: &[FileEdit]) -> Result<bool> {
    for edit in edits {
        if store.read(&edit.file)? != edit.after {
            return Ok(false);
        }
    }
    Ok(true)
}

pub fn undo_blocked(entry: &Entry, store: &dyn Store) -> Result<Option<String>> {
    match entry.state {
        State::Undone | State::Reverted => return Ok(Some("It is undone already.".into())),
        State::Applied => {}
        _ => return Ok(Some("It was cut short, and its files have changed since.".into())),
    }
    for edit in &entry.edits {
        if store.read(&edit.file)? != edit.after {
            return Ok(Some(format!(
                "{} has changed since; undoing would lose that change.",
                edit.file
            )));
        }
    }
    Ok(None)
}

pub fn shown(entry: &Entry, store: &dyn Store) -> Result<JournalEntry> {
    let undo_blocked = undo_blocked(entry, store)?;
    let reverted = entry.state == State::Reverted;
    let undone = entry.state == State::Undone || reverted;
    let diffs = entry.edits.iter();
    Ok(JournalEntry {
        id: entry.id,
        at: entry.at.clone(),
        title: entry.title.clone(),
        files: entry.edits.iter().map(|edit| edit.file.clone()).collect(),
        undone,
        reverted,
        unconfirmed: entry.confirm.is_some() && entry.state == State::Applied,
        undoable: undo_blocked.is_none(),
        undo_blocked: undo_blocked.filter(|_| !undone),
        diffs: diffs.map(|edit| file_diff(store, edit)).collect(),
        impact: entry.impact,
    })
}
