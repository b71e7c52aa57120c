//! What pods capture, and their restart.

use std::sync::Arc;

use super::{Parts, patiently};
use crate::{
    cluster::Cluster,
    dto::{OwnRangesView, PodsView, WorkloadKey},
    fault::{Fault, Result},
    session::{View, own_ranges_view, pods_view},
};

/// Longest name of a workload with its namespace.
const MAX_NAME: usize = 512;

fn cluster(view: &View) -> Result<&Arc<Cluster>> {
    let cluster = view.origin.cluster();
    cluster.ok_or_else(|| Fault::input("A folder is open: it has no pods."))
}

#[tauri::command(async)]
pub fn pods(app: Parts<'_>) -> Option<PodsView> {
    let view = app.view();
    let cluster = view.origin.cluster()?;
    Some(pods_view(&view, cluster))
}

#[tauri::command]
pub async fn own_ranges(app: Parts<'_>) -> Result<Option<OwnRangesView>> {
    patiently(&app, |app| {
        let view = app.view();
        let cluster = view.origin.cluster();
        cluster
            .map(|cluster| Ok(own_ranges_view(cluster.own_ranges()?)))
            .transpose()
    })
    .await
}

#[tauri::command]
pub async fn restart_workloads(app: Parts<'_>, workloads: Vec<WorkloadKey>) -> Result<()> {
    let split = |key: WorkloadKey| {
        let named = key.workload.split_once('/').filter(|_| key.workload.len() <= MAX_NAME);
        let (namespace, name) =
            named.ok_or_else(|| Fault::input(format!("{:?} is no NAMESPACE/NAME.", key.workload)))?;
        Ok((key.kind, namespace.to_string(), name.to_string()))
    };
    let workloads: Vec<(String, String, String)> = workloads.into_iter().map(split).collect::<Result<_>>()?;
    patiently(&app, move |app| app.restart(workloads)).await
}

#[tauri::command(async)]
pub fn pause_restart(app: Parts<'_>, paused: bool) -> Result<()> {
    cluster(&app.view())?.pause_restart(paused);
    Ok(())
}

#[tauri::command(async)]
pub fn stop_restart(app: Parts<'_>) -> Result<()> {
    cluster(&app.view())?.stop_restart();
    Ok(())
}
