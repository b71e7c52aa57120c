//! The Sandbox screen.

use super::{Parts, patiently};
use crate::{
    dto::{ComparedPage, Comparison, PolicyChoice, RequestResult, SandboxState, Takes, Through, Workload},
    fault::Result,
    probe,
};

#[tauri::command(async)]
pub fn sandbox_state(app: Parts<'_>) -> SandboxState {
    app.sidecar.state()
}

#[tauri::command]
pub async fn sandbox_start(
    app: Parts<'_>,
    workload: String,
    policy: PolicyChoice,
    takes: Takes,
) -> Result<SandboxState> {
    patiently(&app, move |app| app.start_sandbox(&workload, policy, takes)).await
}

#[tauri::command]
pub async fn sandbox_stop(app: Parts<'_>) -> Result<SandboxState> {
    patiently(&app, |app| Ok(app.stop_sandbox())).await
}

#[tauri::command(async)]
pub fn workloads(app: Parts<'_>) -> Vec<Workload> {
    app.view().workload_rows()
}

#[tauri::command]
pub async fn send_request(
    app: Parts<'_>,
    method: String,
    url: String,
    pod: Option<String>,
    through: Through,
) -> Result<RequestResult> {
    patiently(&app, move |app| {
        app.send_request(&method, &url, pod.as_deref(), through)
    })
    .await
}

#[tauri::command(async)]
pub fn run_command(app: Parts<'_>, command: String) -> Result<u64> {
    probe::run_command(&app.sidecar, &app.events, &command)
}

#[tauri::command(async)]
pub fn stop_command(app: Parts<'_>, id: u64) -> Result<()> {
    app.sidecar.kill(id)
}

#[tauri::command(async)]
pub fn comparison(app: Parts<'_>) -> Comparison {
    app.comparison()
}

#[tauri::command]
pub async fn pin_policy(app: Parts<'_>, policy: PolicyChoice) -> Result<Comparison> {
    patiently(&app, move |app| app.pin_policy(policy)).await
}

#[tauri::command]
pub async fn unpin_policy(app: Parts<'_>) -> Result<Comparison> {
    patiently(&app, |app| Ok(app.unpin_policy())).await
}

#[tauri::command]
pub async fn compare_with(app: Parts<'_>, policy: PolicyChoice) -> Result<Comparison> {
    patiently(&app, move |app| app.compare_with(policy)).await
}

#[tauri::command]
pub async fn stop_comparing(app: Parts<'_>) -> Result<Comparison> {
    patiently(&app, |app| {
        app.stop_comparing();
        Ok(app.comparison())
    })
    .await
}

#[tauri::command(async)]
pub fn compared(app: Parts<'_>, only_different: bool) -> ComparedPage {
    app.compared(only_different)
}
