//! "Cluster workload" of the Sandbox screen: a sidecar beside a workload of the cluster.

use super::{Parts, patiently};
use crate::{
    dto::{DeliveryState, DeliveryWay, DeployChecks, DeployLeft, DeployOptions, DeployState},
    fault::{Fault, Result},
    sidecar::deploy::IMAGE,
};

/// Longest name of anything in a cluster.
const MAX_NAME: usize = 253;

/// The image that `egret-proxy image` writes.
#[tauri::command(async)]
pub fn deploy_image() -> &'static str {
    IMAGE
}

/// Brings the image to where the nodes find it; `reference` counts for a registry alone.
#[tauri::command]
pub async fn deliver(app: Parts<'_>, way: DeliveryWay, reference: String) -> Result<DeliveryState> {
    patiently(&app, move |app| app.deliver(way, &reference)).await
}

#[tauri::command(async)]
pub fn deliver_cancel(app: Parts<'_>) {
    app.delivery.cancel();
}

#[tauri::command(async)]
pub fn deliver_state(app: Parts<'_>) -> DeliveryState {
    app.delivery.state()
}

#[tauri::command]
pub async fn deploy_checks(app: Parts<'_>, options: DeployOptions) -> Result<DeployChecks> {
    patiently(&app, move |app| app.deploy_checks(options)).await
}

#[tauri::command]
pub async fn deploy_start(app: Parts<'_>, options: DeployOptions) -> Result<DeployState> {
    patiently(&app, move |app| app.deploy_start(options)).await
}

#[tauri::command(async)]
pub fn deploy_cancel(app: Parts<'_>) {
    app.deployment.cancel();
}

#[tauri::command]
pub async fn deploy_stop(app: Parts<'_>) -> Result<DeployState> {
    patiently(&app, |app| app.deployment.stop()).await
}

#[tauri::command(async)]
pub fn deploy_state(app: Parts<'_>) -> DeployState {
    app.deployment.state()
}

/// With, or without, the edits that are staged.
#[tauri::command(async)]
pub fn deploy_staged(app: Parts<'_>, staged: bool) {
    app.deployment.with_staged(staged);
}

#[tauri::command]
pub async fn deploy_left(app: Parts<'_>) -> Result<Vec<DeployLeft>> {
    patiently(&app, |app| app.deploy_left()).await
}

#[tauri::command]
pub async fn deploy_remove(app: Parts<'_>, namespace: String, session: String) -> Result<()> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-.".contains(letter);
    for name in [&namespace, &session] {
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return Err(Fault::input(format!("{name:?} is no name in a cluster.")));
        }
    }
    patiently(&app, move |app| app.deploy_remove(&namespace, &session)).await
}
