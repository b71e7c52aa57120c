//! ServiceEntry: Istio's validation in its order, and the trap of a TCP port without an address.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    Finding, Level, export_to,
    finding::Report,
    hosts::{is_domain, is_label, is_partial_wildcard, is_socket_path, is_wildcard_domain},
};
use crate::model::{Endpoint, IstioVersion, Object, Port, Protocol, ProtocolClass, Resolution, ServiceEntry, World};

/// Who gives addresses to entries that name none.
#[derive(Clone, Copy)]
struct Allocation {
    /// Some revision does for its own workloads: only what holds for all is said.
    allocating: bool,
    /// The sidecars do, which is all that Istio's analyzer knows of, and needs both settings.
    by_sidecars: bool,
    /// The control plane does.
    allocates: bool,
}

/// Sidecars answer in DNS with addresses that stand for entries. Without that an address which the control plane has given
/// (`status.addresses`) counts for nobody.
pub(super) fn is_allocating(world: &World) -> bool {
    let mut meshes = world.mesh_configs.iter();
    meshes.any(|mesh| mesh.spec.dns_capture || mesh.spec.dns_auto_allocate)
}

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    let meshes = || world.mesh_configs.iter().map(|mesh| &mesh.spec);
    let allocation = Allocation {
        allocating: is_allocating(world),
        by_sidecars: meshes().any(|mesh| mesh.dns_capture && mesh.dns_auto_allocate),
        allocates: world.istio_version("") >= IstioVersion::minor(25),
    };
    for entry in &world.service_entries {
        let mut report = Report::new(findings, "ServiceEntry", entry);
        selector(&mut report, &entry.spec);
        hosts(&mut report, &entry.spec);
        ports(&mut report, &entry.spec);
        addresses(&mut report, entry, allocation);
        resolution(&mut report, entry);
        export_to::check(&mut report, &entry.spec.export_to, &entry.meta.namespace, true);
        if entry.meta.annotations.contains_key("istio.io/dry-run") {
            report.rejected(
                "metadata.annotations[istio.io/dry-run]",
                "istio.io/dry-run is only supported on AuthorizationPolicy",
            );
        }
    }
}

fn selector(report: &mut Report<'_>, spec: &ServiceEntry) {
    let Some(labels) = &spec.workload_selector else { return };
    if labels.is_empty() {
        report.warned(
            "spec.workloadSelector",
            "workload selector specified without labels, will be applied to all services in namespace",
        );
    }
    super::hosts::selector(report, "spec.workloadSelector.labels", labels);
    if !spec.endpoints.is_empty() {
        report.rejected(
            "spec.workloadSelector",
            "only one of WorkloadSelector or Endpoints is allowed in Service Entry",
        );
    }
}

fn hosts(report: &mut Report<'_>, spec: &ServiceEntry) {
    if spec.hosts.is_empty() {
        report.rejected("spec.hosts", "service entry must have at least one host");
    }
    for (index, host) in spec.hosts.iter().enumerate() {
        let field = format!("spec.hosts[{index}]");
        if &**host == "*" {
            report.rejected(&field, "invalid host *");
        } else if !is_wildcard_domain(host) {
            report.rejected(
                &field,
                format!("domain name {host:?} invalid; expected a name such as api.example.com or *.example.com"),
            );
        } else if is_partial_wildcard(host) && spec.resolution != Resolution::DynamicDns {
            report.warned(&field, format!("partial wildcard {host:?} not allowed"));
        } else if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            report.add(
                "EGR05",
                Level::Warning,
                &field,
                format!(
                    "{host} has upper-case letters: routes name it in lower case, so every HTTP request gets 503 NC"
                ),
                Some(format!("write {}", host.to_ascii_lowercase())),
            );
            report.patch(
                "replace",
                format!("/spec/hosts/{index}"),
                Some(host.to_ascii_lowercase().into()),
            );
        }
    }
}

fn ports(report: &mut Report<'_>, spec: &ServiceEntry) {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in spec.ports.iter().enumerate() {
        let field = |name| format!("spec.ports[{index}].{name}");
        if !names.insert(&port.name) {
            report.rejected(
                field("name"),
                format!("service entry port name {:?} already defined", port.name),
            );
        }
        if !numbers.insert(port.number) {
            report.rejected(
                field("number"),
                format!("service entry port {} already defined", port.number),
            );
        }
        if !is_label(&port.name) {
            report.rejected(field("name"), format!("invalid port name: {}", port.name));
        }
    }
    let routed = |class| matches!(class, ProtocolClass::Http | ProtocolClass::Tls);
    if spec.resolution != Resolution::None
        && spec.hosts.len() > 1
        && spec.ports.iter().any(|port| !routed(port.protocol.class()))
    {
        report.rejected(
            "spec.hosts",
            "multiple hosts provided with non-HTTP, non-TLS ports; make one ServiceEntry for each host",
        );
    }
}

fn addresses(report: &mut Report<'_>, entry: &Object<ServiceEntry>, allocation: Allocation) {
    let Allocation {
        allocating,
        by_sidecars,
        allocates,
    } = allocation;
    let spec = &entry.spec;
    let by_name = !matches!(spec.resolution, Resolution::None | Resolution::Static);
    if by_name && let Some(index) = spec.range.map(usize::from) {
        report.rejected(
            format!("spec.addresses[{index}]"),
            "CIDR addresses are allowed only for NONE/STATIC resolution types",
        );
    }
    if !spec.addresses.is_empty() {
        return;
    }
    // Istio 1.25 and newer: the control plane gives an address to what is resolved by name or written out.
    let opted_out = entry
        .meta
        .labels
        .get("networking.istio.io/enable-autoallocate-ip")
        .is_some_and(|value| value.eq_ignore_ascii_case("false"));
    if spec.resolution == Resolution::None || opted_out || !allocates {
        let bare = |port: &&Port| matches!(port.protocol, Protocol::Auto | Protocol::Tcp);
        if let Some(port) = spec.ports.iter().find(bare) {
            report.warned(
                "spec.addresses",
                "addresses are required for ports serving TCP (or unset) protocol when IP Autoallocation is not enabled",
            );
            report.at(port.line);
        }
    }
    for (index, port) in spec.ports.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        let is_bare = matches!(port.protocol, Protocol::Auto | Protocol::Tcp);
        if is_bare && !by_sidecars && spec.allocated.is_empty() {
            report.analyzed(
                "IST0134",
                "spec.addresses",
                format!(
                    "ServiceEntry addresses are required for ports serving TCP (or unset) protocol (port {}) when IP \
                     Autoallocation is not enabled",
                    port.number
                ),
                Some("name the service's addresses or ranges under spec.addresses".into()),
            );
            report.at(port.line);
        }
        if port.protocol.class() == ProtocolClass::Tcp && !allocating {
            report.add(
                "EGR02",
                Level::Warning,
                field,
                format!(
                    "without an address this entry takes every connection to port {} that nothing else matches, \
                     whatever its destination",
                    port.number
                ),
                Some("name the service's addresses or ranges under spec.addresses".into()),
            );
            report.at(port.line);
        }
    }
}

fn resolution(report: &mut Report<'_>, entry: &Object<ServiceEntry>) {
    let spec = &entry.spec;
    for (index, endpoint) in spec.endpoints.iter().enumerate() {
        let field = format!("spec.endpoints[{index}]");
        if endpoint.address.is_empty() && spec.resolution == Resolution::Static && endpoint.network.is_some() {
            report.warned(&field, "address is empty; only the network's gateway will be used");
        } else if endpoint.address.is_empty() {
            report.rejected(&field, "address is required");
        }
        super::hosts::labels(report, &format!("{field}.labels"), &endpoint.labels);
        if let Some(name) = endpoint.ports.keys().find(|name| !is_label(name)) {
            report.rejected(format!("{field}.ports"), format!("invalid port name: {name}"));
        }
        let undeclared = endpoint
            .ports
            .keys()
            .find(|name| !spec.ports.iter().any(|port| *port.name == **name));
        if let Some(name) = undeclared.filter(|_| spec.resolution != Resolution::None) {
            report.rejected(
                format!("{field}.ports"),
                format!("endpoint port {name} is not defined by the service entry"),
            );
        }
    }
    match spec.resolution {
        Resolution::None => {
            if !spec.endpoints.is_empty() {
                report.rejected(
                    "spec.endpoints",
                    "no endpoints should be provided for resolution type none",
                );
            }
            if spec.workload_selector.is_some() {
                report.warned(
                    "spec.workloadSelector",
                    "workloadSelector should not be set when resolution mode is NONE",
                );
            }
        }
        Resolution::Static => fixed(report, spec),
        Resolution::Dns | Resolution::DnsRoundRobin => by_name(report, spec),
        Resolution::DynamicDns => dynamic(report, entry),
    }
}

fn fixed(report: &mut Report<'_>, spec: &ServiceEntry) {
    for (index, Endpoint { address, ports, .. }) in spec.endpoints.iter().enumerate() {
        let field = format!("spec.endpoints[{index}].address");
        let Some(path) = address.strip_prefix("unix://") else {
            if !address.is_empty() && address.parse::<IpAddr>().is_err() {
                report.rejected(
                    &field,
                    format!("endpoint address {address:?} is not a valid IP address"),
                );
            }
            continue;
        };
        if !is_socket_path(path) {
            report.rejected(&field, format!("{address} is not an absolute path of a socket"));
        }
        if !ports.is_empty() {
            report.rejected(&field, "unix endpoints cannot have ports");
        }
        if spec.ports.len() != 1 {
            report.rejected(&field, "exactly 1 service port required for unix endpoints");
        }
    }
}

fn by_name(report: &mut Report<'_>, spec: &ServiceEntry) {
    let mode = if spec.resolution == Resolution::Dns {
        "DNS"
    } else {
        "DNS_ROUND_ROBIN"
    };
    if spec.endpoints.is_empty() {
        for (index, _) in spec.hosts.iter().enumerate().filter(|(_, host)| !is_domain(host)) {
            report.add(
                super::finding::REJECTED,
                Level::Error,
                format!("spec.hosts[{index}]"),
                format!(
                    "hosts must be FQDN or contain only prefix wildcards if no endpoints are provided for resolution \
                     mode {mode}"
                ),
                Some("a wildcard cannot be resolved: use resolution NONE, or name endpoints".into()),
            );
        }
    }
    if spec.resolution == Resolution::DnsRoundRobin && spec.endpoints.len() > 1 {
        report.rejected(
            "spec.endpoints",
            "there must only be 0 or 1 endpoint for DNS_ROUND_ROBIN",
        );
    }
    for (index, endpoint) in spec.endpoints.iter().enumerate() {
        let address = &endpoint.address;
        if !address.is_empty() && address.parse::<IpAddr>().is_err() && !is_domain(address) {
            report.rejected(
                format!("spec.endpoints[{index}].address"),
                format!("endpoint address {address:?} is neither an IP address nor a host name"),
            );
        }
    }
    let tcp = spec
        .ports
        .iter()
        .any(|port| matches!(port.protocol.class(), ProtocolClass::Tcp | ProtocolClass::Tls));
    if !spec.addresses.is_empty() && tcp && spec.hosts.len() > 1 {
        report.warned(
            "spec.hosts",
            "service entry can not have more than one host specified simultaneously with address and tcp port",
        );
    }
}

fn dynamic(report: &mut Report<'_>, entry: &Object<ServiceEntry>) {
    let spec = &entry.spec;
    for (index, _) in spec.hosts.iter().enumerate().filter(|(_, host)| !host.starts_with('*')) {
        report.rejected(
            format!("spec.hosts[{index}]"),
            "host must be wildcarded for DYNAMIC_DNS; use resolution DNS for one host",
        );
    }
    for (field, present) in [
        ("spec.addresses", !spec.addresses.is_empty()),
        ("spec.endpoints", !spec.endpoints.is_empty()),
    ] {
        if present {
            report.rejected(field, "must not be set for DYNAMIC_DNS resolution");
        }
    }
    for (index, port) in spec.ports.iter().enumerate() {
        if !matches!(
            port.protocol,
            Protocol::Http | Protocol::Tls | Protocol::Grpc | Protocol::Http2
        ) {
            report.rejected(
                format!("spec.ports[{index}].protocol"),
                "only HTTP, TLS, GRPC, and HTTP2 protocols are supported for DYNAMIC_DNS",
            );
        }
    }
    if spec.mesh_internal && entry.meta.labels.contains_key("istio.io/use-waypoint") {
        report.rejected(
            "spec.location",
            "MESH_INTERNAL with DYNAMIC_DNS does not go with the label istio.io/use-waypoint",
        );
    }
}
