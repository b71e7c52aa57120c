//! Review and Changes: staged edits, Apply, the journal, Undo. Who holds the change set or the journal may wait for a
//! cluster: whoever else wants them waits where nobody waits behind it.

use super::{Parts, patiently};
use crate::{
    app::App,
    dto::{CleanupRow, Countdown, Edit, FixKey, Holds, JournalEntry, Keep, Review, StagedEdit, SyncState, Unconfirmed},
    fault::{Fault, Result},
};

/// Longest text of an edit.
const MAX_TEXT: usize = 1 << 20;
/// Longest file that an object was opened from: there may be many objects in it.
const MAX_BASE: usize = 16 << 20;

/// Most findings that one change set mends.
const MAX_FIXES: usize = 1000;

fn checked(edit: Edit) -> Result<Edit> {
    let texts: Vec<&String> = match &edit {
        Edit::Mode { scope, .. } => vec![scope],
        Edit::Put {
            namespace, name, yaml, ..
        } => vec![namespace, name, yaml],
        Edit::Delete { namespace, name, .. } => vec![namespace, name],
        Edit::AccessLog { scope, until, .. } => std::iter::once(scope).chain(until).collect(),
        Edit::Restore { .. } => return Err(Fault::input("Only Egret stages what was before.")),
        Edit::Fix { .. } => return Err(Fault::input("Only Egret stages the fix of a finding.")),
        Edit::Ranges {
            revision,
            include_ranges,
            exclude_ranges,
            include_ports,
            exclude_ports,
        } => vec![revision, include_ranges, exclude_ranges, include_ports, exclude_ports],
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
    if let Edit::Put { base: Some(base), .. } = &edit
        && base.len() > MAX_BASE
    {
        return Err(Fault::input("The file is larger than 16 MiB."));
    }
    if texts.iter().any(|text| text.len() > MAX_TEXT) {
        return Err(Fault::input("The edit is larger than 1 MiB."));
    }
    Ok(edit)
}

#[tauri::command]
pub async fn stage(app: Parts<'_>, edit: Edit) -> Result<Vec<StagedEdit>> {
    let edit = checked(edit)?;
    patiently(&app, |app| app.changes.stage(&app.view(), edit)).await
}

#[tauri::command]
pub async fn unstage(app: Parts<'_>, id: u64) -> Result<Vec<StagedEdit>> {
    patiently(&app, move |app| app.changes.unstage(&app.view(), id)).await
}

#[tauri::command]
pub async fn staged(app: Parts<'_>) -> Result<Vec<StagedEdit>> {
    patiently(&app, |app| Ok(app.changes.staged())).await
}

#[tauri::command]
pub async fn discard_all(app: Parts<'_>) -> Result<Vec<StagedEdit>> {
    patiently(&app, |app| Ok(app.changes.discard_all())).await
}

#[tauri::command]
pub async fn review(app: Parts<'_>) -> Result<Review> {
    patiently(&app, |app| app.changes.review(&app.view(), &app.traffic)).await
}

#[tauri::command]
pub async fn preview(app: Parts<'_>, edits: Vec<Edit>) -> Result<Review> {
    let edits = edits.into_iter().map(checked).collect::<Result<_>>()?;
    patiently(&app, |app| app.changes.preview(&app.view(), &app.traffic, edits)).await
}

#[tauri::command]
pub async fn apply(app: Parts<'_>, countdown: Option<Countdown>) -> Result<JournalEntry> {
    patiently(&app, move |app| app.apply(countdown.as_ref())).await
}

#[tauri::command]
pub async fn unconfirmed(app: Parts<'_>) -> Result<Vec<Unconfirmed>> {
    patiently(&app, App::unconfirmed).await
}

/// What Egret left in the open source.
#[tauri::command]
pub async fn leftovers(app: Parts<'_>) -> Result<Vec<CleanupRow>> {
    patiently(&app, |app| app.changes.leftovers(&app.view())).await
}

#[tauri::command]
pub async fn stage_cleanup(app: Parts<'_>, files: Vec<String>) -> Result<Vec<StagedEdit>> {
    patiently(&app, move |app| app.changes.stage_cleanup(&app.view(), &files)).await
}

/// Stages what mends findings of the open source.
#[tauri::command]
pub async fn stage_fixes(app: Parts<'_>, fixes: Vec<FixKey>) -> Result<Vec<StagedEdit>> {
    if fixes.len() > MAX_FIXES {
        return Err(Fault::input(format!(
            "No more than {MAX_FIXES} findings are mended at once."
        )));
    }
    patiently(&app, move |app| app.changes.stage_fixes(&app.view(), &fixes)).await
}

#[tauri::command(async)]
pub fn sync_state(app: Parts<'_>) -> Option<SyncState> {
    app.verify.state()
}

#[tauri::command]
pub async fn keep_change(app: Parts<'_>, id: i64) -> Result<()> {
    patiently(&app, move |app| app.changes.keep(id)).await
}

#[tauri::command]
pub async fn resolve_conflict(app: Parts<'_>, file: String, keep: Keep) -> Result<Review> {
    patiently(&app, move |app| {
        app.changes.resolve(&app.view(), &app.traffic, &file, keep)
    })
    .await
}

#[tauri::command]
pub async fn journal(app: Parts<'_>) -> Result<Vec<JournalEntry>> {
    patiently(&app, |app| app.changes.entries(&*app.view().store)).await
}

/// Finishes a change that was cut short (`new`), or goes back (`old`).
#[tauri::command]
pub async fn settle_change(app: Parts<'_>, id: i64, side: Holds) -> Result<JournalEntry> {
    patiently(&app, move |app| app.settle(id, side)).await
}

#[tauri::command]
pub async fn undo(app: Parts<'_>, id: Option<i64>) -> Result<JournalEntry> {
    patiently(&app, move |app| app.undo(id)).await
}
