//! Objects that no known workload sees: exported to namespaces that have none.

use std::collections::BTreeSet;

use super::{
    Finding, Level,
    finding::Report,
    registry::{EVERYWHERE, scopes},
    virtual_service::in_mesh,
};
use crate::model::{Object, World};

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    let callers: BTreeSet<&str> = world
        .workloads
        .iter()
        .map(|workload| &*workload.meta.namespace)
        .collect();
    // Where no workload is known, nothing is known of who calls.
    if callers.is_empty() {
        return;
    }
    for entry in &world.service_entries {
        unseen(findings, &callers, "ServiceEntry", entry, &entry.spec.export_to);
    }
    for rule in &world.destination_rules {
        unseen(findings, &callers, "DestinationRule", rule, &rule.spec.export_to);
    }
    for service in world.virtual_services.iter().filter(|service| in_mesh(&service.spec)) {
        // What supplies routes to others is seen by these.
        if !service.spec.hosts.is_empty() {
            unseen(findings, &callers, "VirtualService", service, &service.spec.export_to);
        }
    }
}

fn unseen<T>(
    findings: &mut Vec<Finding>,
    callers: &BTreeSet<&str>,
    kind: &str,
    object: &Object<T>,
    export_to: &[String],
) {
    let seen_from = scopes(export_to, &object.meta.namespace);
    // `~` hides an object on purpose.
    if seen_from
        .iter()
        .any(|scope| matches!(*scope, EVERYWHERE | "~") || callers.contains(scope))
    {
        return;
    }
    Report::new(findings, kind, object).add(
        "EGR13",
        Level::Info,
        "spec.exportTo",
        format!(
            "only callers in {} see it, and no workload is known there",
            seen_from.join(", ")
        ),
        Some("export it to the namespaces of its callers".into()),
    );
}
