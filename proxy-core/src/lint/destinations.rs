//! Where the routes of VirtualServices lead: hosts, ports and subsets that there are (IST0101, IST0112, IST0140).
//! As Istio's `virtualservice.DestinationHostAnalyzer` and `virtualservice.DestinationRuleAnalyzer`.

use std::collections::HashSet;

use super::{Finding, finding::Report, registry::Registry};
use crate::model::{Object, RouteDestination, VirtualService, World};

/// A destination of a route or a mirror, with where it stands.
struct Destination<'w> {
    field: String,
    line: u32,
    is_mirror: bool,
    to: &'w RouteDestination,
}

pub(super) fn check(world: &World, registry: &Registry<'_>, findings: &mut Vec<Finding>) {
    let subsets = declared_subsets(world);
    let routed = subsets_by_host(world);
    for service in &world.virtual_services {
        let mut report = Report::new(findings, "VirtualService", service);
        for destination in destinations(&service.spec) {
            host_and_port(&mut report, registry, service, &destination);
            subset(&mut report, &subsets, service, &destination);
        }
        if !service.spec.gateways.is_empty() {
            behind_gateways(&mut report, &routed, &service.spec);
        }
    }
}

fn destinations(spec: &VirtualService) -> Vec<Destination<'_>> {
    let mut all = Vec::new();
    let mut add = |field: String, line, is_mirror, to| {
        all.push(Destination {
            field,
            line,
            is_mirror,
            to,
        });
    };
    for (list, routes) in [("tcp", &spec.tcp), ("tls", &spec.tls)] {
        for (index, route) in routes.iter().enumerate() {
            for (position, to) in route.route.iter().enumerate() {
                let field = format!("spec.{list}[{index}].route[{position}].destination");
                add(field, route.line, false, to);
            }
        }
    }
    for (index, route) in spec.http.iter().enumerate() {
        for (position, to) in route.route.iter().enumerate() {
            let field = format!("spec.http[{index}].route[{position}].destination");
            add(field, route.line, false, to);
        }
        if let Some(to) = &route.mirror {
            add(format!("spec.http[{index}].mirror"), route.line, true, to);
        }
        for (position, mirror) in route.mirrors.iter().enumerate() {
            let field = format!("spec.http[{index}].mirrors[{position}].destination");
            add(field, route.line, true, &mirror.destination);
        }
    }
    all
}

fn host_and_port(
    report: &mut Report<'_>,
    registry: &Registry<'_>,
    service: &Object<VirtualService>,
    destination: &Destination<'_>,
) {
    let (host, own) = (&destination.to.host, &service.meta.namespace);
    let declared = registry.find(own, &service.spec.export_to, host);
    let all = |test: &dyn Fn(&[u16]) -> bool| {
        declared.iter().all(|one| {
            let ports: Vec<u16> = one.ports().into_iter().map(|(port, _)| port).collect();
            test(&ports)
        })
    };
    let (code, message, fix) = match destination.to.port {
        _ if declared.is_empty() => {
            let what = if destination.is_mirror { "mirror host" } else { "host" };
            (
                "IST0101",
                format!("Referenced {what} not found: {host:?}"),
                "add a ServiceEntry for it; until then requests get 503",
            )
        }
        None if all(&|ports| ports.len() > 1) => (
            "IST0112",
            format!(
                "This VirtualService routes to a service {host:?} that exposes multiple ports; which one is not said"
            ),
            "name the port under destination",
        ),
        Some(port) if all(&|ports| !ports.contains(&port)) => (
            "IST0101",
            format!("Referenced host:port not found: \"{host}:{port}\""),
            "name a port that the host declares; until then requests get 503",
        ),
        _ => return,
    };
    report.analyzed(code, format!("{}.host", destination.field), message, Some(fix.into()));
    report.at(destination.line);
}

fn subset(
    report: &mut Report<'_>,
    declared: &HashSet<(String, &str)>,
    service: &Object<VirtualService>,
    destination: &Destination<'_>,
) {
    let (host, own) = (&destination.to.host, &service.meta.namespace);
    let Some(subset) = destination.to.subset.as_deref() else {
        return;
    };
    if declared.contains(&(resource_name(host, own), subset)) {
        return;
    }
    let owner = if destination.is_mirror { "mirror" } else { "host" };
    report.analyzed(
        "IST0101",
        format!("{}.subset", destination.field),
        format!("Referenced {owner}+subset in destinationrule not found: \"{host}+{subset}\""),
        Some("declare the subset in a DestinationRule of the host".into()),
    );
    report.at(destination.line);
}

/// Hosts with the subsets that DestinationRules declare for them.
fn declared_subsets(world: &World) -> HashSet<(String, &str)> {
    let rules = world.destination_rules.iter();
    rules
        .flat_map(|rule| {
            let name = resource_name(&rule.spec.host, &rule.meta.namespace);
            rule.spec
                .subsets
                .iter()
                .map(move |subset| (name.clone(), &*subset.name))
        })
        .collect()
}

/// Istio's `GetResourceNameFromHost`: a Service's full name is taken apart, any other host counts as a name of
/// `namespace`.
fn resource_name(host: &str, namespace: &str) -> String {
    let service = host
        .strip_suffix(".svc.cluster.local")
        .and_then(|rest| rest.rsplit_once('.'))
        .filter(|(name, owner)| !name.is_empty() && !owner.is_empty());
    match service {
        Some((name, owner)) => format!("{owner}/{name}"),
        None => format!("{namespace}/{host}"),
    }
}

/// Hosts that a VirtualService of theirs routes to by subset.
fn subsets_by_host(world: &World) -> HashSet<&str> {
    let services = world.virtual_services.iter();
    services
        .flat_map(|service| {
            let routes = service.spec.http.iter().flat_map(|route| &route.route);
            let own = routes.filter(|to| to.subset.is_some() && service.spec.hosts.contains(&to.host));
            own.map(|to| &*to.host)
        })
        .collect()
}

/// At a gateway no other VirtualService of the host is asked: its subsets do not hold there.
fn behind_gateways(report: &mut Report<'_>, routed: &HashSet<&str>, spec: &VirtualService) {
    for (index, route) in spec.http.iter().enumerate() {
        for (position, to) in route.route.iter().enumerate() {
            if to.subset.is_none() && routed.contains(&*to.host) {
                report.analyzed(
                    "IST0140",
                    format!("spec.http[{index}].route[{position}].destination"),
                    format!(
                        "the subsets that a VirtualService of {} routes to have no effect on requests at this gateway",
                        to.host
                    ),
                    Some("name the subset here too".into()),
                );
                report.at(route.line);
            }
        }
    }
}
