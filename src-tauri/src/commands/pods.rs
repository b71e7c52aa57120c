//! What pods capture, and their restart.

use std::sync::Arc;

use super::{Parts, patiently};
use crate::{
    cluster::Cluster,
    dto::{OwnRangesView, PodsView, WorkloadKey},
    fault::{Fault, Result},
    session::{View, own_ranges_view, pods_view},
    sidecar::deploy::named,
};

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
    let workloads = workloads.into_iter().map(split).collect::<Result<_>>()?;
    patiently(&app, move |app| app.restart(workloads)).await
}

/// Kind, namespace and name.
fn split(key: WorkloadKey) -> Result<(String, String, String)> {
    let (namespace, name) = named(&key.workload)?;
    Ok((key.kind, namespace.to_string(), name.to_string()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_restarted_is_named_by_what_is_no_path() {
        let key = |workload: &str| WorkloadKey {
            kind: "Deployment".into(),
            workload: workload.into(),
        };
        let cart = ("Deployment".to_string(), "shop".to_string(), "cart".to_string());
        assert_eq!(split(key("shop/cart")).unwrap(), cart);
        for wrong in [
            "shop/cart/scale",
            "shop/../cart",
            "shop/",
            "/cart",
            "cart",
            "shop/c?dryRun=All",
        ] {
            assert_eq!(split(key(wrong)).unwrap_err().code, "input", "{wrong}");
        }
    }
}
