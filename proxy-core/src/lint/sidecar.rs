//! Sidecar: Istio's validation of the egress part.

use super::{
    Finding,
    finding::Report,
    hosts::{is_domain, is_label},
};
use crate::model::World;

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
            if listener.hosts.len() > 1 && listener.hosts.iter().any(|host| host == "*/*") {
                report.warned(
                    format!("{field}.hosts"),
                    "`*/*` host select all resources, no other hosts can be added",
                );
            }
            match listener.port {
                None if index + 1 < spec.egress.len() => report.rejected(
                    &field,
                    "sidecar: the egress listener with empty port should be the last listener in the list",
                ),
                Some((port, _))
                    if spec.egress[..index].iter().any(|earlier| {
                        earlier.bind == listener.bind && earlier.port.is_some_and(|(other, _)| other == port)
                    }) =>
                {
                    report.rejected(
                        format!("{field}.port.number"),
                        "sidecar: ports on IP bound listeners must be unique",
                    );
                }
                _ => {}
            }
        }
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
    let domain = name.strip_prefix("*.").unwrap_or(name);
    let good = name == "*" || (is_domain(domain) && (domain.contains('.') || name != domain));
    (!good).then(|| format!("domain name {name:?} of host {host:?} is invalid; short names are not supported"))
}
