//! Review and Changes: staged edits, Apply, the journal, Undo.

use super::Parts;
use crate::{
    dto::{Countdown, Edit, Holds, JournalEntry, Keep, Review, StagedEdit, SyncState, Unconfirmed},
    fault::{Fault, Result},
};

/// Longest text of an edit.
const MAX_TEXT: usize = 1 << 20;

fn checked(edit: Edit) -> Result<Edit> {
    let texts: Vec<&String> = match &edit {
        Edit::Mode { scope, .. } => vec![scope],
        Edit::Put {
            namespace, name, yaml, ..
        } => vec![namespace, name, yaml],
        Edit::Delete { namespace, name, .. } => vec![namespace, name],
        Edit::AccessLog { scope, until, .. } => std::iter::once(scope).chain(until).collect(),
        Edit::Ranges {
            include_ranges,
            exclude_ranges,
            include_ports,
            exclude_ports,
        } => vec![include_ranges, exclude_ranges, include_ports, exclude_ports],
        Edit::Capture {
            namespace,
            name,
            include_ranges,
            exclude_ranges,
            include_ports,
            exclude_ports,
        } => [Some(namespace), Some(name)]
            .into_iter()
            .chain([include_ranges, exclude_ranges, include_ports, exclude_ports].map(Option::as_ref))
            .flatten()
            .collect(),
    };
    if texts.iter().any(|text| text.len() > MAX_TEXT) {
        return Err(Fault::input("The edit is larger than 1 MiB."));
    }
    Ok(edit)
}

#[tauri::command(async)]
pub fn stage(app: Parts<'_>, edit: Edit) -> Result<Vec<StagedEdit>> {
    app.changes.stage(&app.view(), checked(edit)?)
}

#[tauri::command(async)]
pub fn unstage(app: Parts<'_>, id: u64) -> Result<Vec<StagedEdit>> {
    app.changes.unstage(&app.view(), id)
}

#[tauri::command(async)]
pub fn staged(app: Parts<'_>) -> Vec<StagedEdit> {
    app.changes.staged()
}

#[tauri::command(async)]
pub fn discard_all(app: Parts<'_>) -> Vec<StagedEdit> {
    app.changes.discard_all()
}

#[tauri::command(async)]
pub fn review(app: Parts<'_>) -> Result<Review> {
    app.changes.review(&app.view(), &app.traffic)
}

#[tauri::command(async)]
pub fn preview(app: Parts<'_>, edits: Vec<Edit>) -> Result<Review> {
    let edits = edits.into_iter().map(checked).collect::<Result<_>>()?;
    app.changes.preview(&app.view(), &app.traffic, edits)
}

#[tauri::command(async)]
pub fn apply(app: Parts<'_>, countdown: Option<Countdown>) -> Result<JournalEntry> {
    app.apply(countdown.as_ref())
}

#[tauri::command(async)]
pub fn unconfirmed(app: Parts<'_>) -> Result<Vec<Unconfirmed>> {
    app.unconfirmed()
}

#[tauri::command(async)]
pub fn sync_state(app: Parts<'_>) -> Option<SyncState> {
    app.verify.state()
}

#[tauri::command(async)]
pub fn keep_change(app: Parts<'_>, id: i64) -> Result<()> {
    app.changes.keep(id)
}

#[tauri::command(async)]
pub fn resolve_conflict(app: Parts<'_>, file: String, keep: Keep) -> Result<Review> {
    app.changes.resolve(&app.view(), &app.traffic, &file, keep)
}

#[tauri::command(async)]
pub fn journal(app: Parts<'_>) -> Result<Vec<JournalEntry>> {
    app.changes.entries(&*app.view().store)
}

/// Finishes a change that was cut short (`new`), or goes back (`old`).
#[tauri::command(async)]
pub fn settle_change(app: Parts<'_>, id: i64, side: Holds) -> Result<JournalEntry> {
    app.settle(id, side)
}

#[tauri::command(async)]
pub fn undo(app: Parts<'_>, id: Option<i64>) -> Result<JournalEntry> {
    app.undo(id)
}
