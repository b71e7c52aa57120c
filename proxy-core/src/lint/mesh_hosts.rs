//! VirtualServices that claim the same host inside the mesh: sidecars use only the oldest (IST0109). As Istio's
//! `virtualservice.ConflictingMeshGatewayHostsAnalyzer`: hosts are compared among objects of the same scope, and with
//! overlapping hosts of objects that every namespace sees.

use std::collections::BTreeMap;

use super::{
    Finding,
    finding::Report,
    registry::{EVERYWHERE, full, scopes},
    virtual_service::in_mesh,
};
use crate::{
    model::{Object, VirtualService, World},
    policy::overlap,
};

/// Positions of the VirtualServices that claim a host in a scope.
type Claims<'w> = BTreeMap<(&'w str, String), Vec<usize>>;

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    let services = &world.virtual_services;
    let mut claims: Claims<'_> = BTreeMap::new();
    for (index, service) in services
        .iter()
        .enumerate()
        .filter(|(_, service)| in_mesh(&service.spec))
    {
        let own = &*service.meta.namespace;
        for scope in scopes(&service.spec.export_to, own) {
            for host in &service.spec.hosts {
                claims.entry((scope, full(host, own))).or_default().push(index);
            }
        }
    }
    let everywhere: Vec<(&str, &Vec<usize>)> = claims
        .iter()
        .filter(|((scope, _), _)| *scope == EVERYWHERE)
        .map(|((_, host), owners)| (host.as_str(), owners))
        .collect();
    let mut reported = vec![false; services.len()];
    for ((scope, host), owners) in &claims {
        let mut all = owners.clone();
        if *scope != EVERYWHERE {
            let others = everywhere.iter().filter(|(other, _)| overlap(host, other));
            all.extend(others.flat_map(|(_, owners)| owners.iter()));
        }
        if all.len() < 2 {
            continue;
        }
        let mut names: Vec<String> = all.iter().map(|index| name(&services[*index])).collect();
        names.sort();
        names.dedup();
        for index in all {
            if !std::mem::replace(&mut reported[index], true) {
                conflict(findings, &services[index], host, &names);
            }
        }
    }
}

fn name(service: &Object<VirtualService>) -> String {
    format!("{}/{}", service.meta.namespace, service.meta.name)
}

fn conflict(findings: &mut Vec<Finding>, service: &Object<VirtualService>, host: &str, names: &[String]) {
    let own = &service.meta.namespace;
    let position = service
        .spec
        .hosts
        .iter()
        .position(|own_host| overlap(&full(own_host, own), host));
    Report::new(findings, "VirtualService", service).analyzed(
        "IST0109",
        position.map_or("spec.hosts".into(), |index| format!("spec.hosts[{index}]")),
        format!(
            "The VirtualServices {} associated with mesh gateway define the same host {host}; sidecars use only the oldest",
            names.join(",")
        ),
        Some("write the routes of one host in one VirtualService".into()),
    );
}
