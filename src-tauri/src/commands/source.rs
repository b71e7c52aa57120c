//! The source bar and the Overview.

use proxy_core::model::IstioVersion;
use tauri::{AppHandle, Manager as _, Runtime, WebviewWindow};
use tauri_plugin_dialog::DialogExt as _;

use super::{Parts, open, patiently};
use crate::{
    app::Source,
    dto::{InWindow, Overview, SourceState},
    fault::{Fault, Result},
    session,
};

#[tauri::command(async)]
pub fn source_state(app: Parts<'_>) -> SourceState {
    app.view().state()
}

#[tauri::command]
pub async fn open_folder<R: Runtime>(
    app: Parts<'_>,
    handle: AppHandle<R>,
    path: String,
    window: InWindow,
) -> Result<Option<SourceState>> {
    if path.is_empty() || path.len() > 4096 {
        return Err(Fault::input("A folder's path is expected."));
    }
    open(&app, handle, Source::Folder(path.into()), window).await
}

#[tauri::command]
pub async fn pick_folder<R: Runtime>(
    app: Parts<'_>,
    asking: WebviewWindow<R>,
    window: InWindow,
) -> Result<Option<SourceState>> {
    let dialog = asking.dialog().file().set_parent(&asking);
    let dialog = dialog.set_title("Open a folder of Istio manifests");
    let Some(folder) = patiently(&app, |_| Ok(dialog.blocking_pick_folder())).await? else {
        return Ok(None);
    };
    let folder = folder.into_path().map_err(|error| Fault::input(error.to_string()))?;
    open(&app, asking.app_handle().clone(), Source::Folder(folder), window).await
}

/// Decides as another release of Istio, or as the folder says.
#[tauri::command]
pub async fn decide_for(app: Parts<'_>, version: Option<String>) -> Result<SourceState> {
    let version = version.map(|text| text.parse::<IstioVersion>()).transpose();
    let version = version.map_err(|error| Fault::input(error.to_string()))?;
    patiently(&app, move |app| app.decide_for(version)).await
}

#[tauri::command]
pub async fn overview(app: Parts<'_>) -> Result<Overview> {
    patiently(&app, |app| {
        Ok(session::overview(
            &app.view(),
            &app.traffic,
            &app.sidecar.state(),
            &app.changes,
        ))
    })
    .await
}
