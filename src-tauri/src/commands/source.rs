//! The source bar and the Overview.

use std::{path::Path, sync::mpsc};

use tauri::{AppHandle, Runtime};
use tauri_plugin_dialog::DialogExt as _;

use super::Parts;
use crate::{
    dto::{Overview, SourceState},
    fault::{Fault, Result},
    session,
};

#[tauri::command(async)]
pub fn source_state(app: Parts<'_>) -> SourceState {
    app.view().state()
}

#[tauri::command(async)]
pub fn open_folder(app: Parts<'_>, path: String) -> Result<SourceState> {
    if path.is_empty() || path.len() > 4096 {
        return Err(Fault::input("A folder's path is expected."));
    }
    app.open(Path::new(&path))
}

#[tauri::command(async)]
pub fn pick_folder<R: Runtime>(app: Parts<'_>, handle: AppHandle<R>) -> Result<Option<SourceState>> {
    let (picked_tx, picked_rx) = mpsc::channel();
    handle
        .dialog()
        .file()
        .set_title("Open a folder of Istio manifests")
        .pick_folder(move |folder| {
            // The command waits for this answer only; if it is gone, so is the question.
            let _ = picked_tx.send(folder);
        });
    let Ok(Some(folder)) = picked_rx.recv() else {
        return Ok(None);
    };
    let folder = folder.into_path().map_err(|error| Fault::input(error.to_string()))?;
    app.open(&folder).map(Some)
}

#[tauri::command(async)]
pub fn overview(app: Parts<'_>) -> Overview {
    session::overview(&app.view(), &app.traffic, &app.sidecar.state(), &app.changes.staged())
}
