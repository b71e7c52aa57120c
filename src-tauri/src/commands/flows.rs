//! Destinations, the Live Log, and Why?

use super::Parts;
use crate::{
    dto::{DestinationRow, FlowDetails, LogPage, LogQuery, Why},
    fault::{Fault, Result},
    traffic,
};

/// Most rows of one page.
const MAX_PAGE: usize = 5_000;
/// Longest filter text.
const MAX_FILTER: usize = 2_000;

#[tauri::command(async)]
pub fn destinations(app: Parts<'_>) -> Vec<DestinationRow> {
    traffic::destinations(&app.traffic, |id| app.rule(id))
}

#[tauri::command(async)]
pub fn log_page(app: Parts<'_>, query: LogQuery, before: Option<u64>, limit: usize) -> Result<LogPage> {
    if query.text.len() > MAX_FILTER {
        return Err(Fault::input("The filter is longer than 2,000 characters."));
    }
    Ok(app.traffic.page(query, before, limit.min(MAX_PAGE)))
}

#[tauri::command(async)]
pub fn log_details(app: Parts<'_>, id: u64) -> Result<FlowDetails> {
    let (row, view) = (app.flow(id)?, app.view());
    let formats = view
        .origin
        .cluster()
        .map(|cluster| cluster.formats())
        .unwrap_or_default();
    let similar = app.traffic.similar(&row);
    Ok(traffic::details(&row, similar, &formats))
}

#[tauri::command(async)]
pub fn why(app: Parts<'_>, id: u64) -> Result<Why> {
    let (row, view) = (app.flow(id)?, app.view());
    traffic::why(&row, view.world(), &view.snapshot(&row.workload()), &view.folder)
}

#[tauri::command(async)]
pub fn clear_log(app: Parts<'_>) {
    app.clear_traffic();
}
