//! DestinationRules that do otherwise than they read, which Istio stays silent on.

use std::collections::HashSet;

use super::{
    Finding, Level,
    finding::{Report, pointer},
    registry::{Registry, full},
    virtual_service::in_mesh,
};
use crate::{
    model::{DestinationRule, Object, PolicySet, ProtocolClass, Resolution, ServiceEntry, TrafficPolicy, World},
    policy::covers,
};

/// Hosts with a port that routes of plain HTTP lead to.
type Routed = HashSet<(String, u16)>;

pub(super) fn check(world: &World, registry: &Registry<'_>, findings: &mut Vec<Finding>) {
    let routed = routed(world);
    for rule in &world.destination_rules {
        let mut report = Report::new(findings, "DestinationRule", rule);
        certificates_by_name(&mut report, &rule.spec);
        fells_envoy(&mut report, &rule.spec);
        dropped(&mut report, &rule.spec);
        let Some(set) = &rule.spec.policy else { continue };
        twice_encrypted(&mut report, registry, &routed, rule, set);
        fells_istiod(&mut report, world, rule, set);
    }
}

fn routed(world: &World) -> Routed {
    let services = world.virtual_services.iter().filter(|service| in_mesh(&service.spec));
    services
        .flat_map(|service| {
            let destinations = service.spec.http.iter().flat_map(|route| &route.route);
            destinations.filter_map(|to| Some((full(&to.host, &service.meta.namespace), to.port?)))
        })
        .collect()
}

fn originates(policy: &TrafficPolicy) -> bool {
    let mode = policy.tls.as_ref().map(|tls| tls.mode.as_str());
    matches!(mode, Some("SIMPLE" | "MUTUAL"))
}

/// TLS around what the application encrypts already: the server gets TLS inside TLS (istio#23489).
///
/// Where a VirtualService sends plain requests to the port, which is how Istio's older guides have TLS originated, it is
/// meant for these: then it is only said.
fn twice_encrypted(
    report: &mut Report<'_>,
    registry: &Registry<'_>,
    routed: &Routed,
    rule: &Object<DestinationRule>,
    set: &PolicySet,
) {
    let host = full(&rule.spec.host, &rule.meta.namespace);
    let declared = registry.find(&rule.meta.namespace, &rule.spec.export_to, &rule.spec.host);
    let mut ports: Vec<(u16, ProtocolClass)> = declared.iter().flat_map(|one| one.ports()).collect();
    ports.sort_unstable_by_key(|(port, _)| *port);
    ports.dedup_by_key(|(port, _)| *port);
    for (port, _) in ports.iter().filter(|(_, class)| *class == ProtocolClass::Tls) {
        let (policy, own) = set.of_port(*port);
        if !originates(policy) {
            continue;
        }
        let position = set.ports.iter().position(|(number, _)| number == port).filter(|_| own);
        let field = position.map_or("spec.trafficPolicy.tls".into(), |index| {
            format!("spec.trafficPolicy.portLevelSettings[{index}].tls")
        });
        let (level, who) = match routed.contains(&(host.clone(), *port)) {
            true => (
                Level::Info,
                format!("callers of {host} that call port {port} themselves speak TLS there"),
            ),
            false => (
                Level::Warning,
                format!("callers of {host} speak TLS on port {port} themselves"),
            ),
        };
        report.add(
            "EGR07",
            level,
            field,
            format!("{who}; with this the server gets TLS inside TLS"),
            Some("originate TLS under portLevelSettings, for the HTTP port alone".into()),
        );
    }
}

/// Certificates by name: sidecars take those of a Secret only for a rule that selects them, else they speak plain text;
/// and Egret's takes none.
fn certificates_by_name(report: &mut Report<'_>, spec: &DestinationRule) {
    for (field, policy) in policies(spec) {
        let field = format!("{field}.tls.credentialName");
        let name = policy.tls.as_ref().and_then(|tls| tls.credential_name.as_deref());
        let Some(name) = name.filter(|_| originates(policy)) else {
            continue;
        };
        if spec.workload_selector.is_some() || name.starts_with("configmap://") {
            report.add(
                "EGR06",
                Level::Info,
                field,
                "Egret's sidecar reads no Secrets and ConfigMaps: it trusts what the system trusts and shows no \
                 certificate; Envoy gets both from istiod",
                Some("mount the certificates and name their files under caCertificates".into()),
            );
        } else {
            report.add(
                "EGR08",
                Level::Warning,
                field,
                "sidecars read this Secret only for a rule with a workloadSelector; without one they send plain text, \
                 and only gateways originate TLS",
                Some("add a workloadSelector, or name files under caCertificates".into()),
            );
        }
    }
}

/// Tunnels by POST. Envoy 1.40 falls over them (`tcp_proxy` with `use_post` over HTTP/1.1) when the answer ends, as it does where
/// the far end closes: a segmentation fault, seen of it alone with the configuration that Istio makes.
fn fells_envoy(report: &mut Report<'_>, spec: &DestinationRule) {
    for (field, policy) in policies(spec) {
        if policy.tunnel.as_ref().is_none_or(|tunnel| tunnel.protocol != "POST") {
            continue;
        }
        let field = format!("{field}.tunnel.protocol");
        report.add(
            "EGR19",
            Level::Warning,
            &field,
            "a tunnel by POST ends Envoy 1.40 as soon as the far end closes one: all traffic of the pod stops until it is \
             back",
            Some("ask the proxy by CONNECT".into()),
        );
        report.patch("replace", pointer(&field), Some("CONNECT".into()));
    }
}

/// The traffic policies of a rule, those of its subsets included, and where they stand.
fn sets(spec: &DestinationRule) -> impl Iterator<Item = (String, &PolicySet)> {
    let whole = spec.policy.iter().map(|set| ("spec.trafficPolicy".to_string(), set));
    let subsets = spec.subsets.iter().enumerate().filter_map(|(index, subset)| {
        let set = subset.policy.as_ref()?;
        Some((format!("spec.subsets[{index}].trafficPolicy"), set))
    });
    whole.chain(subsets)
}

/// All policies of a rule, those of ports too.
fn policies(spec: &DestinationRule) -> impl Iterator<Item = (String, &TrafficPolicy)> {
    sets(spec).flat_map(|(field, set)| {
        let ports = set.ports.iter().enumerate();
        let ports: Vec<_> = ports
            .map(|(index, (_, policy))| (port_field(&field, index), policy))
            .collect();
        std::iter::once((field, &set.policy)).chain(ports)
    })
}

/// Where the settings of a port stand, within the policy at `field`.
fn port_field(field: &str, index: usize) -> String {
    format!("{field}.portLevelSettings[{index}]")
}

/// Outlier detection for hosts that the sidecar resolves. Istio 1.31 falls over it (`applyOutlierDetection` writes into
/// settings of load balancing, which these clusters have none of) in a gRPC call, where nothing recovers: istiod ends, and
/// again as soon as it is back and a sidecar asks it. Seen of a live mesh.
fn fells_istiod(report: &mut Report<'_>, world: &World, rule: &Object<DestinationRule>, set: &PolicySet) {
    let host = &*rule.spec.host;
    // Of the rules of one namespace, the one with the narrowest host holds.
    let is_narrowest = |of: &str| {
        let mut rules = world.destination_rules.iter();
        !rules.any(|other| {
            let narrower = &*other.spec.host;
            let holds = covers(narrower, of) && covers(host, narrower) && narrower != host;
            holds && other.meta.namespace == rule.meta.namespace
        })
    };
    let ports: HashSet<u16> = dynamic(world)
        .filter(|(of, _)| covers(host, of) && is_narrowest(of))
        .flat_map(|(_, entry)| entry.spec.ports.iter().map(|port| port.number))
        .collect();
    let detects = |policy: &TrafficPolicy| policy.outlier_detection.is_some();
    let own = set
        .ports
        .iter()
        .position(|(port, own)| ports.contains(port) && detects(own));
    let whole = ports.iter().any(|port| !set.of_port(*port).1) && detects(&set.policy);
    let field = match own {
        Some(index) => format!("spec.trafficPolicy.portLevelSettings[{index}].outlierDetection"),
        None if whole => "spec.trafficPolicy.outlierDetection".into(),
        None => return,
    };
    report.add(
        "EGR18",
        Level::Warning,
        &field,
        FELLS_ISTIOD,
        Some(WITHOUT_DETECTION.into()),
    );
    report.patch("remove", pointer(&field), None);
}

/// Hosts that sidecars resolve as they are called, with their entries.
pub(super) fn dynamic(world: &World) -> impl Iterator<Item = (&str, &Object<ServiceEntry>)> {
    let entries = world.service_entries.iter();
    let dynamic = entries.filter(|entry| entry.spec.resolution == Resolution::DynamicDns);
    dynamic.flat_map(|entry| {
        let wildcards = entry.spec.hosts.iter().filter(|host| host.starts_with('*'));
        wildcards.map(|host| (&**host, &**entry))
    })
}

/// What the rules about outlier detection for such hosts say.
pub(super) const FELLS_ISTIOD: &str = "outlier detection for hosts that are resolved as they are called (DYNAMIC_DNS) ends \
     istiod, again and again: no sidecar of its mesh gets any configuration then";
pub(super) const WITHOUT_DETECTION: &str = "take the outlier detection away: there are no endpoints to leave out";

/// A port's own settings take the place of all others of its policy. Istio: `MergeTrafficPolicy`, for subsets.
fn dropped(report: &mut Report<'_>, spec: &DestinationRule) {
    for (field, set) in sets(spec) {
        for (index, (port, own)) in set.ports.iter().enumerate() {
            let lost = lost(&set.policy, own);
            if !lost.is_empty() {
                report.add(
                    "EGR10",
                    Level::Warning,
                    port_field(&field, index),
                    format!(
                        "the settings of port {port} take the place of the whole trafficPolicy: its {} does not hold there",
                        lost.join(", ")
                    ),
                    Some("write it for the port too".into()),
                );
            }
        }
    }
}

/// The blocks of `whole` that a port's `own` policy lacks.
fn lost(whole: &TrafficPolicy, own: &TrafficPolicy) -> Vec<&'static str> {
    let blocks = [
        ("tls", whole.tls.is_some() && own.tls.is_none()),
        (
            "connectionPool",
            whole.connection_pool.is_some() && own.connection_pool.is_none(),
        ),
        (
            "loadBalancer",
            whole.load_balancer.is_some() && own.load_balancer.is_none(),
        ),
        (
            "outlierDetection",
            whole.outlier_detection.is_some() && own.outlier_detection.is_none(),
        ),
    ];
    blocks.iter().filter(|(_, lost)| *lost).map(|(name, _)| *name).collect()
}
