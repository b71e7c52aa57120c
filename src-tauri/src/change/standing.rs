//! How an entry of the journal stands against the files as they are.

use super::{
    diff::file_diff,
    journal::{Entry, Journal, State},
    store::{Store, Stored},
    tries::tries,
    write::FileEdit,
};
use crate::{
    dto::{FileStands, Holds, JournalEntry},
    fault::{Fault, Result},
};

/// Code of the fault of a write that ended in the middle, or of which nobody knows how it ended.
pub const CUT_SHORT: &str = "cut-short";

/// After a write: all is as it was to be.
pub fn applied(journal: &Journal, id: i64, stored: &Stored) -> Result<()> {
    journal.stored(id, &stored.files)?;
    journal.tell(id, &stored.warnings)?;
    journal.set(id, State::Applied)
}

/// After a failed write: the entry goes when no file was changed, else it stays to be looked at.
pub fn settle(journal: &Journal, id: i64, fault: &Fault) -> Result<()> {
    if fault.code == CUT_SHORT {
        journal.set(id, State::Stuck)
    } else {
        journal.forget(id)
    }
}

/// What each file of an entry holds now.
pub fn standing(entry: &Entry, store: &dyn Store) -> Result<Vec<FileStands>> {
    let stands = |edit: &FileEdit| {
        let now = store.read(&edit.file)?;
        Ok(FileStands {
            file: edit.file.clone(),
            holds: match now {
                now if now == edit.after => Holds::New,
                now if now == edit.before => Holds::Old,
                _ => Holds::Other,
            },
        })
    };
    entry.edits.iter().map(stands).collect()
}

/// The edits that are still to be made, and the files that another hand changed.
pub fn left<'e>(store: &dyn Store, edits: &'e [FileEdit]) -> Result<(Vec<FileEdit>, Vec<&'e str>)> {
    let (mut open, mut foreign) = (Vec::new(), Vec::new());
    for edit in edits {
        let now = store.read_now(&edit.file)?;
        if now == edit.before && now != edit.after {
            open.push(edit.clone());
        } else if now != edit.after {
            foreign.push(edit.file.as_str());
        }
    }
    Ok((open, foreign))
}

pub fn undo_blocked(entry: &Entry, store: &dyn Store) -> Result<Option<String>> {
    match entry.state {
        State::Undone | State::Reverted => return Ok(Some("It is undone already.".into())),
        State::Noted => return Ok(Some("It wrote nothing that could be written back.".into())),
        State::Applied => {}
        _ => return Ok(Some("It was cut short: finish it, or go back.".into())),
    }
    for edit in &entry.edits {
        let now = store.read(&edit.file)?;
        if edit.after.is_none() && now == edit.before {
            return Ok(Some(format!(
                "{} is there as before: its deletion is not through yet, or another hand made it again.",
                edit.file
            )));
        }
        if now != edit.after {
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
        kept: entry.kept.clone(),
        unconfirmed: entry.confirm.is_some() && entry.state == State::Applied,
        undoable: undo_blocked.is_none(),
        undo_blocked: undo_blocked.filter(|_| !undone),
        tries: tries(&entry.edits),
        notes: entry.notes.lines().map(String::from).collect(),
        cut_short: match entry.state {
            State::Stuck => Some(standing(entry, store)?),
            _ => None,
        },
        diffs: diffs.map(|edit| file_diff(store, edit)).collect(),
        impact: entry.impact,
    })
}
