//! Sidecar: Istio's validation of the egress part.

use super::{
    Finding,
    finding::Report,
    hosts::{is_domain, is_label, is_partial_wildcard, is_wildcard_domain, selector},
};
use crate::model::{OutboundMode, Sidecar, World};

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
            if listener.hosts.len() > 1 && listener.hosts.iter().any(|host| host == "*/*") {
                report.warned(
                    format!("{field}.hosts"),
                    "`*/*` host select all resources, no other hosts can be added",
                );
            }
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
                Some((0, _)) if listener.bind.as_deref().is_none_or(|bind| !bind.starts_with("unix://")) => {
                    report.rejected(
                        format!("{field}.port.number"),
                        "sidecar: ports with 0 value must have a unix domain socket bind address",
                    );
                }
                Some((port, _))
                    if spec.egress[..index]
                        .iter()
                        .any(|earlier| port != 0 && earlier.port.is_some_and(|(other, _)| other == port)) =>
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
