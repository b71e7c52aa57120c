//! Findings over a `World`: what Istio's webhook would reject or warn about, what its analyzer reports, and traps that
//! Istio stays silent on. Pure, so the app's forms ask the same rules as `egret-proxy check`.
//!
//! Level error means that Istio would not take the object (or that a file cannot be read), and nothing else.

mod annotations;
mod destination_rule;
mod destination_traps;
mod destinations;
mod entry_traps;
mod export_to;
mod finding;
mod gateway_names;
mod hosts;
mod http_route;
mod injection;
mod istio;
mod known_annotations;
mod load_balancing;
mod mesh_hosts;
mod outbound;
mod place;
mod port_names;
mod protocols;
mod ranges;
mod registry;
mod service_entry;
mod sidecar;
mod sight;
mod subsets;
mod unused_rules;
mod virtual_service;

pub use finding::{Finding, FindingObject, Level, Patch};
pub use place::locate;

use crate::model::World;
use registry::Registry;

/// All findings of `world`, in the order of files and lines.
pub fn check(world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    let registry = Registry::of(world);
    service_entry::check(world, &mut findings);
    entry_traps::check(world, &mut findings);
    protocols::check(world, &mut findings);
    virtual_service::check(world, &registry, &mut findings);
    destinations::check(world, &registry, &mut findings);
    mesh_hosts::check(world, &mut findings);
    gateway_names::check(world, &mut findings);
    destination_rule::check(world, &mut findings);
    destination_traps::check(world, &registry, &mut findings);
    subsets::check(world, &registry, &mut findings);
    sidecar::check(world, &mut findings);
    sight::check(world, &mut findings);
    port_names::check(world, &mut findings);
    annotations::check(world, &mut findings);
    injection::check(world, &mut findings);
    outbound::check(world, &mut findings);
    ranges::check(world, &mut findings);
    let version = world.istio_version("");
    findings.retain(|finding| istio::known(finding.code, version) && !istio::overlooks(finding));
    findings.sort_by(|a, b| (&a.file, a.line, a.code).cmp(&(&b.file, b.line, b.code)));
    findings
}

#[cfg(test)]
mod tests;
