//! The source bar and the Overview.

use std::path::Path;

use tauri::{AppHandle, Runtime};
use tauri_plugin_dialog::DialogExt as _;

use super::{Parts, patiently};
use crate::{
    dto::{Overview, SourceState},
    fault::{Fault, Result},
    session,
};

#[tauri::command(async)]
pub fn source_state(app: Parts<'_>) -> SourceState {
    app.view().state()
}

#[tauri::command]
pub async fn open_folder(app: Parts<'_>, path: String) -> Result<SourceState> {
    if path.is_empty() || path.len() > 4096 {
        return Err(Fault::input("A folder's path is expected."));
    }
    patiently(&app, move |app| app.open_folder(Path::new(&path))).await
}

#[tauri::command]
pub async fn pick_folder<R: Runtime>(app: Parts<'_>, handle: AppHandle<R>) -> Result<Option<SourceState>> {
    let dialog = handle.dialog().file().set_title("Open a folder of Istio manifests");
    patiently(&app, move |app| {
        let Some(folder) = dialog.blocking_pick_folder() else {
            return Ok(None);
        };
        let folder = folder.into_path().map_err(|error| Fault::input(error.to_string()))?;
        app.open_folder(&folder).map(Some)
    })
    .await
}

#[tauri::command(async)]
pub fn overview(app: Parts<'_>) -> Overview {
    session::overview(&app.view(), &app.traffic, &app.sidecar.state(), &app.changes)
}
