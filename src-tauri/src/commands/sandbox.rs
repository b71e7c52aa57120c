//! The Sandbox screen.

use super::{Parts, patiently};
use crate::{
    dto::{RequestResult, SandboxState, Workload},
    fault::Result,
    probe,
};

#[tauri::command(async)]
pub fn sandbox_state(app: Parts<'_>) -> SandboxState {
    app.sidecar.state()
}

#[tauri::command]
pub async fn sandbox_start(app: Parts<'_>, workload: String, staged: bool) -> Result<SandboxState> {
    patiently(&app, move |app| app.start_sandbox(&workload, staged)).await
}

#[tauri::command]
pub async fn sandbox_stop(app: Parts<'_>) -> Result<SandboxState> {
    patiently(&app, |app| Ok(app.sidecar.stop())).await
}

#[tauri::command(async)]
pub fn workloads(app: Parts<'_>) -> Vec<Workload> {
    app.view().workload_rows()
}

#[tauri::command]
pub async fn send_request(app: Parts<'_>, method: String, url: String, pod: Option<String>) -> Result<RequestResult> {
    patiently(&app, move |app| app.send_request(&method, &url, pod.as_deref())).await
}

#[tauri::command(async)]
pub fn run_command(app: Parts<'_>, command: String) -> Result<u64> {
    probe::run_command(&app.sidecar, &app.events, &command)
}

#[tauri::command(async)]
pub fn stop_command(app: Parts<'_>, id: u64) -> Result<()> {
    app.sidecar.kill(id)
}
