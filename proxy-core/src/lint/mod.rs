//! Findings over a `World`: what Istio's webhook would reject or warn about, what its analyzer reports, and traps that
//! Istio stays silent on. Pure, so the app's forms ask the same rules as `egret-proxy check`.
//!
//! Level error means that Istio would not take the object (or that a file cannot be read), and nothing else.

mod destination_rule;
mod export_to;
mod finding;
mod hosts;
mod http_route;
mod outbound;
mod place;
mod ranges;
mod service_entry;
mod sidecar;
mod virtual_service;

pub use finding::{Finding, FindingObject, Level};
pub use place::locate;

use crate::model::World;

/// All findings of `world`, in the order of files and lines.
pub fn check(world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    service_entry::check(world, &mut findings);
    virtual_service::check(world, &mut findings);
    destination_rule::check(world, &mut findings);
    sidecar::check(world, &mut findings);
    outbound::check(world, &mut findings);
    ranges::check(world, &mut findings);
    findings.sort_by(|a, b| (&a.file, a.line, a.code).cmp(&(&b.file, b.line, b.code)));
    findings
}

#[cfg(test)]
mod tests;
