//! Sidecar: Istio's validation of the egress part.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Finding,
    finding::{Report, pointer},
    hosts::{is_domain, is_label, is_partial_wildcard, is_socket_path, is_wildcard_domain, selector},
    injection,
};
use crate::model::{CaptureMode, EgressListener, Labels, Object, OutboundMode, Sidecar, WorkloadManifest, World};

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    for sidecar in &world.sidecars {
        let mut report = Report::new(findings, "Sidecar", sidecar);
        let spec = &sidecar.spec;
        if spec.workload_selector.as_ref().is_some_and(|labels| labels.is_empty()) {
            report.warned(
                "spec.workloadSelector",
                "workload selector specified without labels, will be applied to all services in namespace",
            );
        }
        if let Some(labels) = &spec.workload_selector {
            selector(&mut report, "spec.workloadSelector.labels", labels);
        }
        if spec.egress.is_empty() && spec.mode.is_none() && !spec.has_inbound {
            report.rejected("spec", "sidecar: empty configuration provided");
        }
        for (index, listener) in spec.egress.iter().enumerate() {
            let field = format!("spec.egress[{index}]");
            if listener.hosts.is_empty() {
                report.rejected(&field, "sidecar: egress listener must contain at least one host");
            }
            for (host_index, host) in listener.hosts.iter().enumerate() {
                if let Some(message) = wrong_host(host) {
                    report.rejected(format!("{field}.hosts[{host_index}]"), message);
                }
            }
            repeated_hosts(&mut report, &field, &listener.hosts, &sidecar.meta.namespace);
            if !listener.port_name.is_empty() && !is_label(&listener.port_name) {
                report.rejected(
                    format!("{field}.port.name"),
                    format!("invalid port name: {}", listener.port_name),
                );
            }
            let address = listener
                .bind
                .as_deref()
                .filter(|_| listener.port.is_some_and(|(port, _)| port != 0));
            if let Some(bind) = address.filter(|bind| !bind.is_empty() && bind.parse::<std::net::IpAddr>().is_err()) {
                report.rejected(format!("{field}.bind"), format!("{bind} is not a valid IP"));
            }
            match listener.port {
                None if index + 1 < spec.egress.len() => report.rejected(
                    &field,
                    "sidecar: the egress listener with empty port should be the last listener in the list",
                ),
                Some((0, _)) => socket(&mut report, &field, listener, &spec.egress[..index]),
                Some((port, _))
                    if spec.egress[..index]
                        .iter()
                        .any(|earlier| earlier.port.is_some_and(|(other, _)| other == port)) =>
                {
                    report.rejected(
                        format!("{field}.port.number"),
                        "sidecar: ports on IP bound listeners must be unique",
                    );
                }
                _ => {}
            }
        }
        egress_proxy(&mut report, spec);
        no_pods(&mut report, world, sidecar);
    }
    shared_pods(world, findings);
    several_defaults(world, findings);
}

/// A listener without a port is one at a socket's path.
fn socket(report: &mut Report<'_>, field: &str, listener: &EgressListener, earlier: &[EgressListener]) {
    let Some(path) = listener.bind.as_deref().and_then(|bind| bind.strip_prefix("unix://")) else {
        report.rejected(
            format!("{field}.port.number"),
            "sidecar: ports with 0 value must have a unix domain socket bind address",
        );
        return;
    };
    if !is_socket_path(path) {
        report.rejected(
            format!("{field}.bind"),
            format!("{path} is not an absolute path to a file"),
        );
    }
    if listener.capture == CaptureMode::Iptables {
        report.rejected(
            format!("{field}.captureMode"),
            "sidecar: captureMode must be DEFAULT/NONE for unix domain socket listeners",
        );
    }
    let is_socket = |other: &&EgressListener| other.port.is_some_and(|(port, _)| port == 0);
    if earlier
        .iter()
        .filter(is_socket)
        .any(|other| other.bind == listener.bind)
    {
        report.rejected(
            format!("{field}.bind"),
            "sidecar: unix domain socket values for listeners must be unique",
        );
    }
}

/// Hosts of one listener that an earlier one of the same namespace covers; what excludes hosts is left out.
fn repeated_hosts(report: &mut Report<'_>, field: &str, hosts: &[String], own: &str) {
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (index, host) in hosts.iter().enumerate() {
        let Some((namespace, name)) = host
            .split_once('/')
            .filter(|(namespace, _)| !namespace.starts_with('~'))
        else {
            continue;
        };
        let names = seen.entry(if namespace == "." { own } else { namespace }).or_default();
        let repeated = if name == "*" {
            !names.is_empty()
        } else {
            names.contains(name) || names.contains("*")
        };
        if repeated {
            report.warned(
                format!("{field}.hosts[{index}]"),
                format!("duplicated egress host: {host}"),
            );
            // A host that takes in earlier ones is the one to keep.
            if name != "*" {
                report.patch("remove", pointer(&format!("{field}.hosts[{index}]")), None);
            }
        }
        names.insert(name);
    }
    let all = seen.get("*").is_some_and(|names| names.contains("*"));
    if all && seen.len() > 1 {
        report.warned(
            format!("{field}.hosts"),
            "`*/*` host select all resources, no other hosts can be added",
        );
    }
}

/// The labels of a selector that has some; Istio's analyzer takes one without for none.
fn selected(sidecar: &Object<Sidecar>) -> Option<&Labels> {
    sidecar
        .spec
        .workload_selector
        .as_ref()
        .filter(|labels| !labels.is_empty())
}

fn selects(sidecar: &Object<Sidecar>, workload: &Object<WorkloadManifest>) -> bool {
    let has = |(key, value): (&String, &String)| workload.spec.pod_labels.get(key) == Some(value);
    sidecar.meta.namespace == workload.meta.namespace && selected(sidecar).is_some_and(|labels| labels.iter().all(has))
}

/// A selector that no pod has, where pods of the namespace are known. Istio's `sidecar.SelectorAnalyzer`, which speaks also
/// where none is.
fn no_pods(report: &mut Report<'_>, world: &World, sidecar: &Object<Sidecar>) {
    let known = |workload: &&Arc<Object<WorkloadManifest>>| workload.meta.namespace == sidecar.meta.namespace;
    let mut pods = world.workloads.iter().filter(known).peekable();
    if selected(sidecar).is_some() && pods.peek().is_some() && !pods.any(|pod| selects(sidecar, pod)) {
        report.analyzed(
            "IST0101",
            "spec.workloadSelector",
            "Referenced selector not found: no pod of the namespace has these labels",
            Some("name labels that pods have, or take the Sidecar away".into()),
        );
    }
}

/// Two Sidecars for one pod: the older holds.
fn shared_pods(world: &World, findings: &mut Vec<Finding>) {
    let mut conflicts: BTreeMap<usize, &Object<WorkloadManifest>> = BTreeMap::new();
    let mut without = BTreeSet::new();
    for workload in &world.workloads {
        let sidecars = world.sidecars.iter().enumerate();
        let owners: Vec<usize> = sidecars
            .filter(|(_, sidecar)| selects(sidecar, workload))
            .map(|(index, _)| index)
            .collect();
        if injection::is_ambient_pod(workload) {
            without.extend(owners);
        } else if owners.len() > 1 {
            for index in owners {
                conflicts.entry(index).or_insert(workload);
            }
        }
    }
    for index in without {
        let sidecar = &world.sidecars[index];
        ineffective(
            findings,
            sidecar,
            "spec.workloadSelector",
            "selected workload is in ambient mode",
        );
    }
    for (index, workload) in conflicts {
        Report::new(findings, "Sidecar", &world.sidecars[index]).analyzed(
            "IST0110",
            "spec.workloadSelector",
            format!(
                "several Sidecars select {}/{}; only the oldest holds",
                workload.meta.namespace, workload.meta.name
            ),
            Some("give each pod one Sidecar".into()),
        );
    }
}

/// There is no sidecar that would go by it.
fn ineffective(findings: &mut Vec<Finding>, sidecar: &Object<Sidecar>, field: &str, why: &str) {
    let message = format!("The policy has no impact: {why}.");
    let fix = "take the Sidecar away, or give the workloads sidecars".to_string();
    Report::new(findings, "Sidecar", sidecar).analyzed("IST0167", field, message, Some(fix));
}

/// Two Sidecars for the rest of a namespace: the older holds. Where there is no sidecar, none does.
fn several_defaults(world: &World, findings: &mut Vec<Finding>) {
    let mut defaults: BTreeMap<&str, Vec<&Object<Sidecar>>> = BTreeMap::new();
    for sidecar in world.sidecars.iter().filter(|sidecar| selected(sidecar).is_none()) {
        defaults.entry(&sidecar.meta.namespace).or_default().push(sidecar);
    }
    for (namespace, sidecars) in defaults {
        if injection::is_ambient(world, namespace) {
            for sidecar in sidecars {
                ineffective(findings, sidecar, "spec", "namespace is in ambient mode");
            }
            continue;
        }
        if sidecars.len() == 1 {
            continue;
        }
        for sidecar in sidecars {
            Report::new(findings, "Sidecar", sidecar).analyzed(
                "IST0111",
                "spec",
                format!("several Sidecars of namespace {namespace} select no workloads; only the oldest holds"),
                Some("write one, or give the others a workloadSelector".into()),
            );
        }
    }
}

/// The proxy that unknown traffic is sent to.
fn egress_proxy(report: &mut Report<'_>, spec: &Sidecar) {
    let Some(proxy) = &spec.egress_proxy else { return };
    if spec.mode != Some(OutboundMode::AllowAny) {
        report.rejected(
            "spec.outboundTrafficPolicy.egressProxy",
            "sidecar: egress_proxy must be set only with ALLOW_ANY outbound_traffic_policy mode",
        );
        return;
    }
    if !is_domain(&proxy.host) {
        report.rejected(
            "spec.outboundTrafficPolicy.egressProxy.host",
            format!("domain name {:?} invalid", proxy.host),
        );
    }
    if proxy.port.is_none() {
        report.rejected(
            "spec.outboundTrafficPolicy.egressProxy",
            "sidecar: egress_proxy port must be non-nil",
        );
    }
}

/// `namespace/dnsName`, both possibly wildcards; short names are refused.
fn wrong_host(host: &str) -> Option<String> {
    let Some((namespace, name)) = host.split_once('/') else {
        return Some(format!("host {host:?} must be of form namespace/dnsName"));
    };
    let namespace = namespace.strip_prefix('~').unwrap_or(namespace);
    if !matches!(namespace, "*" | "." | "") && !is_label(namespace) || host.starts_with('/') {
        return Some(format!("namespace {namespace:?} of host {host:?} is invalid"));
    }
    let good = name == "*" || name.contains('.') && is_wildcard_domain(name) && !is_partial_wildcard(name);
    (!good).then(|| format!("domain name {name:?} of host {host:?} is invalid; short names are not supported"))
}
