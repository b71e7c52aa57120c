//! Windows: more logs, and back from a log to its main window.

use serde_json::json;
use tauri::{AppHandle, Emitter as _, Runtime};

use super::Parts;
use crate::{
    fault::{Fault, Result},
    windows,
};

const SCREENS: [&str; 8] = [
    "overview",
    "destinations",
    "policy",
    "rehearse",
    "changes",
    "sandbox",
    "review",
    "checks",
];

#[tauri::command(async)]
pub fn open_log_window<R: Runtime>(app: Parts<'_>, handle: AppHandle<R>) -> Result<()> {
    windows::open_log(&handle, &app)
}

#[tauri::command(async)]
pub fn allow_from_log<R: Runtime>(app: Parts<'_>, handle: AppHandle<R>, flow_id: u64) -> Result<()> {
    app.flow(flow_id)?;
    windows::focus(&handle, &app.window)?;
    Ok(handle.emit_to(&app.window, "open-draft", json!({ "flowId": flow_id }))?)
}

#[tauri::command(async)]
pub fn show_main<R: Runtime>(app: Parts<'_>, handle: AppHandle<R>, screen: String) -> Result<()> {
    if !SCREENS.contains(&screen.as_str()) {
        return Err(Fault::input(format!("{screen:?} is no screen.")));
    }
    windows::focus(&handle, &app.window)?;
    Ok(handle.emit_to(&app.window, "go", json!({ "screen": screen }))?)
}
