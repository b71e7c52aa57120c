//! Where a cluster's flows come from: which pods are followed, and the access log's switch.

use super::{Parts, patiently};
use crate::{
    dto::{LogSource, StagedEdit},
    fault::{Fault, Result},
};

/// Longest name of a workload that is read.
const MAX_NAME: usize = 512;

#[tauri::command(async)]
pub fn log_source(app: Parts<'_>) -> Option<LogSource> {
    app.log_source()
}

#[tauri::command]
pub async fn follow_workloads(app: Parts<'_>, workloads: Vec<String>) -> Result<()> {
    patiently(&app, move |app| app.follow_workloads(workloads)).await
}

#[tauri::command]
pub async fn stage_access_log(
    app: Parts<'_>,
    scope: String,
    on: bool,
    minutes: Option<u32>,
) -> Result<Vec<StagedEdit>> {
    if scope.len() > MAX_NAME {
        return Err(Fault::input("A scope is expected: mesh, a namespace or a workload."));
    }
    patiently(&app, move |app| app.stage_access_log(scope, on, minutes)).await
}
