//! ServiceEntries that do otherwise than they read, which Istio stays silent on.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Finding, Level,
    destination_traps::{FELLS_ISTIOD, WITHOUT_DETECTION},
    finding::Report,
    registry::{EVERYWHERE, scopes, service_scopes},
    service_entry::is_allocating,
};
use crate::{
    model::{Meta, Object, Port, Protocol, ProtocolClass, Resolution, ServiceEntry, World},
    policy::is_refused,
};

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    let services: BTreeSet<String> = world
        .services
        .iter()
        .map(|service| format!("{}.{}.svc.cluster.local", service.meta.name, service.meta.namespace))
        .collect();
    let spoken = Spoken::of(world);
    let allocating = is_allocating(world);
    for entry in &world.service_entries {
        let mut report = Report::new(findings, "ServiceEntry", entry);
        wide_open(&mut report, &entry.spec);
        of_kubernetes(&mut report, &services, &entry.spec);
        if entry.spec.addresses.is_empty() && !allocating {
            shared_port(&mut report, &spoken, entry);
        }
        refused_by_envoy(&mut report, world, entry);
        fells_istiod(&mut report, world, entry);
    }
}

/// Outlier detection of the whole mesh, for hosts that the sidecar resolves; that of a DestinationRule is named there.
fn fells_istiod(report: &mut Report<'_>, world: &World, entry: &Object<ServiceEntry>) {
    let mesh = world.mesh_config("");
    let detects = mesh.is_some_and(|mesh| mesh.spec.default_traffic_policy.outlier_detection.is_some());
    let resolves = entry.spec.resolution == Resolution::DynamicDns;
    if detects && resolves && entry.spec.hosts.iter().any(|host| host.starts_with('*')) {
        report.add(
            "EGR18",
            Level::Warning,
            "spec.resolution",
            format!("with the mesh config's defaultTrafficPolicy, {FELLS_ISTIOD}"),
            Some(format!("of the mesh config, {WITHOUT_DETECTION}")),
        );
    }
}

/// Ports that anything speaks HTTP on: their listener is the wildcard one of every sidecar that sees it, with who declares
/// it.
struct Spoken<'w>(BTreeMap<(u16, &'w str), String>);

impl<'w> Spoken<'w> {
    fn of(world: &'w World) -> Self {
        let mut spoken = Self(BTreeMap::new());
        for service in &world.services {
            for port in &service.spec.ports {
                spoken.add(port.number, port.protocol, "Service", &service.meta, || {
                    service_scopes(service)
                });
            }
        }
        for entry in &world.service_entries {
            for port in entry.spec.ports.iter() {
                spoken.add(port.number, port.protocol, "ServiceEntry", &entry.meta, || {
                    scopes(&entry.spec.export_to, &entry.meta.namespace)
                });
            }
        }
        spoken
    }

    fn add(&mut self, port: u16, protocol: Protocol, kind: &str, meta: &Meta, seen_from: impl Fn() -> Vec<&'w str>) {
        if protocol.class() != ProtocolClass::Http {
            return;
        }
        for scope in seen_from() {
            let name = || format!("{kind} {}/{}", meta.namespace, meta.name);
            self.0.entry((port, scope)).or_insert_with(name);
        }
    }

    /// What speaks HTTP on `port` in the sight of anybody who sees what is exported to `scopes`.
    fn beside<'s>(&'s self, port: u16, scopes: &[&'s str]) -> Option<&'s String> {
        let anywhere = || {
            let mut of_port = self
                .0
                .range((port, "")..)
                .take_while(|((number, _), _)| *number == port);
            of_port.next().map(|(_, name)| name)
        };
        match scopes {
            [EVERYWHERE] => anywhere(),
            _ => std::iter::once(&EVERYWHERE)
                .chain(scopes)
                .find_map(|scope| self.0.get(&(port, *scope))),
        }
    }
}

/// Ports of hosts that the sidecar resolves, for which Envoy takes no cluster from Istio.
fn refused_by_envoy(report: &mut Report<'_>, world: &World, entry: &Object<ServiceEntry>) {
    if entry.spec.resolution != Resolution::DynamicDns {
        return;
    }
    let mesh = world.mesh_config("").map(|mesh| mesh.spec.clone()).unwrap_or_default();
    let wildcards = entry.spec.hosts.iter().filter(|host| host.starts_with('*'));
    let policies: Vec<_> = wildcards
        .map(|host| {
            let mut rules = world.destination_rules.iter();
            let rule = rules.find(|rule| rule.spec.host == *host);
            let set = rule.and_then(|rule| rule.spec.policy.as_ref());
            (set, rule.is_some_and(|rule| rule.spec.workload_selector.is_some()))
        })
        .collect();
    for (index, port) in entry.spec.ports.iter().enumerate() {
        if !matches!(port.protocol.class(), ProtocolClass::Http | ProtocolClass::Tls) {
            continue;
        }
        let refused = policies.iter().any(|(set, selects)| {
            let policy = set.map(|set| set.of_port(port.number).0);
            is_refused(&entry.spec, port.protocol, policy, *selects, &mesh)
        });
        if refused {
            report.add(
                "EGR17",
                Level::Warning,
                format!("spec.ports[{index}]"),
                format!(
                    "Envoy refuses what Istio configures for port {} of hosts that are resolved as they are called: with HTTP/2 \
                     or settings of connections it wants TLS; requests are answered 503, and byte streams are cut",
                    port.number
                ),
                Some("declare the port HTTP and set no connectionPool for it, or originate TLS in a DestinationRule".into()),
            );
        }
    }
}

/// `*.com` with resolution NONE: whoever claims such a name reaches any address.
fn wide_open(report: &mut Report<'_>, spec: &ServiceEntry) {
    if spec.resolution != Resolution::None {
        return;
    }
    for (index, host) in spec.hosts.iter().enumerate() {
        let suffix = host.strip_prefix("*.").unwrap_or_default().trim_end_matches('.');
        if !suffix.is_empty() && !suffix.contains('.') {
            report.add(
                "EGR11",
                Level::Warning,
                format!("spec.hosts[{index}]"),
                format!(
                    "{host} is a whole top-level domain, and with resolution NONE the address is the caller's choice: \
                     whoever claims such a name reaches any address"
                ),
                Some("name the domains that are meant".into()),
            );
        }
    }
}

/// A Kubernetes Service of the same name wins.
fn of_kubernetes(report: &mut Report<'_>, services: &BTreeSet<String>, spec: &ServiceEntry) {
    for (index, host) in spec.hosts.iter().enumerate() {
        if services.contains(&**host) {
            report.add(
                "EGR16",
                Level::Warning,
                format!("spec.hosts[{index}]"),
                format!("{host} is a Kubernetes Service, which wins: of this entry only subjectAltNames count"),
                Some("take the host away, or name it otherwise".into()),
            );
        }
    }
}

/// TCP without an address on a port that others speak HTTP on: plain HTTP goes by Host there, whatever its destination.
fn shared_port(report: &mut Report<'_>, spoken: &Spoken<'_>, entry: &Object<ServiceEntry>) {
    let seen_from = scopes(&entry.spec.export_to, &entry.meta.namespace);
    let tcp = |port: &&Port| port.protocol.class() == ProtocolClass::Tcp;
    for (index, port) in entry.spec.ports.iter().enumerate() {
        let other = Some(port)
            .filter(tcp)
            .and_then(|port| spoken.beside(port.number, &seen_from));
        let Some(other) = other else { continue };
        report.add(
            "EGR14",
            Level::Warning,
            format!("spec.ports[{index}].protocol"),
            format!(
                "port {} is HTTP for {other}: sidecars that see both tell them apart by the first bytes, so that plain \
                 HTTP goes by its Host, and a server that speaks first waits for ever",
                port.number
            ),
            Some("give this entry an address, or declare the protocol that is spoken".into()),
        );
        report.at(port.line);
    }
}
