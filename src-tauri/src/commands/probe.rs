//! Test requests where a workload has no curl: what can be done about it, on the Sandbox screen.

use super::{Parts, patiently};
use crate::{
    dto::{ProbeRow, ProbeWays},
    fault::{Fault, Result},
    probe,
};

/// Longest `namespace/name`.
const MAX_WORKLOAD: usize = 320;

fn checked(workload: String) -> Result<String> {
    match workload.len() <= MAX_WORKLOAD && workload.contains('/') {
        true => Ok(workload),
        false => Err(Fault::input("A workload is expected, as NAMESPACE/NAME.")),
    }
}

#[tauri::command]
pub async fn probe_ways(app: Parts<'_>, workload: String) -> Result<ProbeWays> {
    let workload = checked(workload)?;
    patiently(&app, move |app| {
        probe::ways(&*app.cluster()?, &app.shared.settings, &workload)
    })
    .await
}

#[tauri::command(async)]
pub fn probe_image(app: Parts<'_>, image: String) -> Result<()> {
    app.shared.settings.set_probe_image(&image)
}

#[tauri::command]
pub async fn probe_container(app: Parts<'_>, workload: String) -> Result<String> {
    let workload = checked(workload)?;
    patiently(&app, move |app| app.add_container(&workload)).await
}

#[tauri::command]
pub async fn probe_deploy(app: Parts<'_>, namespace: String) -> Result<String> {
    patiently(&app, move |app| app.deploy_probe(&namespace)).await
}

#[tauri::command]
pub async fn probe_remove(app: Parts<'_>, namespace: String) -> Result<()> {
    patiently(&app, move |app| app.remove_probe(&namespace)).await
}

#[tauri::command(async)]
pub fn probe_cancel(app: Parts<'_>) {
    app.bringing.cancel();
}

#[tauri::command(async)]
pub fn probes(app: Parts<'_>) -> Vec<ProbeRow> {
    probe::probes(&app.view())
}
