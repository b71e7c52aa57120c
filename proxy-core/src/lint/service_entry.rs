//! ServiceEntry: the rows of Istio's validation.

use std::collections::HashSet;

use super::{About, Finding, Level};
use crate::model::{Object, Protocol, ProtocolClass, Resolution, ServiceEntry};

pub(super) fn check(entry: &Object<ServiceEntry>, findings: &mut Vec<Finding>) {
    let spec = &entry.spec;
    let mut about = About {
        kind: "ServiceEntry",
        object: entry,
        findings,
    };
    hosts(spec, &mut about);
    addresses(spec, &mut about);
    ports(spec, &mut about);
    resolution(spec, &mut about);
    export(spec, &entry.meta.namespace, &mut about);
}

type Entry<'a> = About<'a, ServiceEntry>;

fn hosts(spec: &ServiceEntry, about: &mut Entry<'_>) {
    if spec.hosts.is_empty() {
        about.refuse(("spec.hosts", 0), "must have at least one host");
    }
    for (index, host) in spec.hosts.iter().enumerate() {
        let field = format!("spec.hosts[{index}]");
        let at = (field.as_str(), spec.host_lines.get(index).copied().unwrap_or_default());
        if &**host == "*" {
            about.refuse(at, "invalid host *: hostname cannot be wildcard");
        } else if !is_wildcard_domain(host) {
            about.refuse(at, format!("domain name {host:?} invalid"));
        } else if host.starts_with('*') && !host.starts_with("*.") && spec.resolution != Resolution::DynamicDns {
            let message = format!("partial wildcard {host:?} not allowed");
            about.add(
                "IST0133",
                Level::Warning,
                at,
                message,
                Some(format!("write *.{}", &host[1..].trim_start_matches('-'))),
            );
        } else if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let message = format!(
                "{host} has upper-case letters: routes name it in lower case, so every HTTP request gets 503 NC"
            );
            about.add(
                "EGR05",
                Level::Warning,
                at,
                message,
                Some(format!("write {}", host.to_ascii_lowercase())),
            );
        }
    }
}

fn addresses(spec: &ServiceEntry, about: &mut Entry<'_>) {
    let has_range = spec
        .addresses
        .iter()
        .any(|net| net.prefix_len() != net.max_prefix_len());
    if has_range && !matches!(spec.resolution, Resolution::None | Resolution::Static) {
        about.refuse(
            ("spec.addresses", 0),
            "CIDR addresses are allowed only for NONE/STATIC resolution types",
        );
    }
}

fn ports(spec: &ServiceEntry, about: &mut Entry<'_>) {
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    for (index, port) in spec.ports.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        let at = (field.as_str(), port.line);
        if !names.insert(&port.name) {
            about.refuse(at, format!("service entry port name {:?} already defined", port.name));
        }
        if !numbers.insert(port.number) {
            about.refuse(at, format!("service entry port {} already defined", port.number));
        }
        if !is_label(&port.name) || port.name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            about.refuse(at, format!("invalid port name: {}", port.name));
        }
        let stream = matches!(port.protocol, Protocol::Tcp | Protocol::Auto);
        if stream && spec.addresses.is_empty() && spec.allocated.is_empty() {
            let message = format!(
                "addresses are required for ports serving TCP (or unset) protocol: without one this entry takes every TCP connection to port {}",
                port.number
            );
            about.add(
                "IST0134",
                Level::Warning,
                at,
                message,
                Some("add spec.addresses, or protocol HTTP or TLS".into()),
            );
        }
    }
    let streams = spec
        .ports
        .iter()
        .any(|port| !matches!(port.protocol.class(), ProtocolClass::Http | ProtocolClass::Tls));
    if spec.resolution != Resolution::None && spec.hosts.len() > 1 && streams {
        about.refuse(
            ("spec.hosts", 0),
            "multiple hosts provided with non-HTTP, non-TLS ports",
        );
    }
}

fn resolution(spec: &ServiceEntry, about: &mut Entry<'_>) {
    let at = ("spec.endpoints", 0);
    if spec.workload_selector.is_some() && !spec.endpoints.is_empty() {
        about.refuse(
            at,
            "only one of WorkloadSelector or Endpoints is allowed in Service Entry",
        );
    }
    match spec.resolution {
        Resolution::None if !spec.endpoints.is_empty() => {
            about.refuse(at, "no endpoints should be provided for resolution type none");
        }
        Resolution::Static => {
            for (index, endpoint) in spec.endpoints.iter().enumerate() {
                let field = format!("spec.endpoints[{index}].address");
                if endpoint.address.is_empty() && endpoint.network.is_none() {
                    about.refuse((&field, 0), "address is required");
                } else if !endpoint.address.is_empty()
                    && !endpoint.address.starts_with("unix://")
                    && endpoint.address.parse::<std::net::IpAddr>().is_err()
                {
                    about.refuse(
                        (&field, 0),
                        format!("endpoint address {:?} is not a valid IP address", endpoint.address),
                    );
                }
            }
        }
        Resolution::Dns | Resolution::DnsRoundRobin => {
            if spec.endpoints.is_empty() && spec.hosts.iter().any(|host| host.starts_with('*')) {
                about.refuse(
                    ("spec.resolution", 0),
                    "hosts must be FQDN or contain only prefix wildcards if no endpoints are provided for resolution mode DNS",
                );
            }
            if spec.resolution == Resolution::DnsRoundRobin && spec.endpoints.len() > 1 {
                about.refuse(
                    at,
                    "there must only be 0 or 1 endpoint for resolution mode DNS_ROUND_ROBIN",
                );
            }
        }
        Resolution::DynamicDns => {
            if spec.hosts.iter().any(|host| !host.starts_with('*')) {
                about.refuse(
                    ("spec.hosts", 0),
                    "host must be wildcarded for resolution mode DYNAMIC_DNS",
                );
            }
            if !spec.addresses.is_empty() || !spec.endpoints.is_empty() {
                about.refuse(
                    at,
                    "neither addresses nor endpoints can be set for resolution mode DYNAMIC_DNS",
                );
            }
            let fits = |protocol| {
                matches!(
                    protocol,
                    Protocol::Http | Protocol::Tls | Protocol::Grpc | Protocol::Http2
                )
            };
            if spec.ports.iter().any(|port| !fits(port.protocol)) {
                about.refuse(
                    ("spec.ports", 0),
                    "only HTTP, TLS, GRPC, and HTTP2 are supported for resolution mode DYNAMIC_DNS",
                );
            }
        }
        Resolution::None => {}
    }
    let names: HashSet<_> = spec.ports.iter().map(|port| port.name.as_str()).collect();
    for (index, endpoint) in spec.endpoints.iter().enumerate() {
        for name in endpoint.ports.keys().filter(|name| !names.contains(name.as_str())) {
            let field = format!("spec.endpoints[{index}].ports");
            about.refuse(
                (&field, 0),
                format!("endpoint port {name} is not defined by the service entry"),
            );
        }
    }
}

fn export(spec: &ServiceEntry, own: &str, about: &mut Entry<'_>) {
    let at = ("spec.exportTo", 0);
    let mut seen = HashSet::new();
    for namespace in &spec.export_to {
        let namespace = if namespace == "." { own } else { namespace };
        if !seen.insert(namespace) {
            about.refuse(at, format!("duplicate entries in exportTo for entry {namespace}"));
        }
    }
    if spec.export_to.len() > 1 && spec.export_to.iter().any(|namespace| namespace == "*") {
        about.refuse(
            at,
            "cannot have both public (*) and non-public exportTo values for a resource",
        );
    }
}

/// Istio: a DNS name whose first label may be, or start with, a star; the last label is not all digits.
fn is_wildcard_domain(host: &str) -> bool {
    let plain = host.strip_suffix('.').unwrap_or(host);
    let (first, rest) = plain.split_once('.').unwrap_or((plain, ""));
    let first = first
        .strip_prefix("*-")
        .or_else(|| first.strip_prefix('*'))
        .unwrap_or(first);
    let first_fits = first.is_empty() && host.starts_with('*') || is_label(first);
    let rest_fits = rest.is_empty() && !plain.ends_with('.') || rest.split('.').all(is_label);
    let last = plain.rsplit('.').next().unwrap_or(plain);
    host.len() <= 255 && first_fits && rest_fits && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}
