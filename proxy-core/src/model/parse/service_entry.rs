//! ServiceEntry.

use super::cursor::Cursor;
use crate::model::{Allocated, Endpoint, Port, Protocol, Resolution, ServiceEntry};

/// Spec of a ServiceEntry. Shape and types only: what Istio's webhook refuses beyond them is `lint`'s.
pub fn service_entry(root: Cursor<'_>) -> ServiceEntry {
    let Some(spec) = root.mapping("spec") else {
        root.error("expected spec with hosts and ports");
        return ServiceEntry::default();
    };
    let hosts = spec.list("hosts", |host| Some((host.as_text()?.into(), host.line())));
    let (hosts, host_lines): (Vec<_>, Vec<_>) = hosts.into_iter().unzip();
    let addresses = spec.list("addresses", |address| {
        Some((address.as_range()?, address.as_text()?.contains('/')))
    });
    ServiceEntry {
        hosts: hosts.into(),
        host_lines: host_lines.into(),
        range: addresses
            .iter()
            .position(|(_, is_range)| *is_range)
            .and_then(|index| index.try_into().ok()),
        addresses: addresses.into_iter().map(|(address, _)| address).collect(),
        ports: spec.mappings("ports", port).into(),
        mesh_internal: choice(spec, "location", &[("MESH_EXTERNAL", false), ("MESH_INTERNAL", true)])
            .unwrap_or_default(),
        resolution: choice(
            spec,
            "resolution",
            &[
                ("NONE", Resolution::None),
                ("STATIC", Resolution::Static),
                ("DNS", Resolution::Dns),
                ("DNS_ROUND_ROBIN", Resolution::DnsRoundRobin),
                ("DYNAMIC_DNS", Resolution::DynamicDns),
            ],
        )
        .unwrap_or_default(),
        endpoints: spec.mappings("endpoints", endpoint).into(),
        workload_selector: spec
            .mapping("workloadSelector")
            .map(|selector| Box::new(selector.labels("labels"))),
        export_to: spec.texts("exportTo").into(),
        subject_alt_names: spec.texts("subjectAltNames").into(),
        allocated: root
            .mapping("status")
            .map(|status| {
                status.mappings("addresses", |allocated| {
                    Some(Allocated {
                        host: allocated.text("host").unwrap_or_default().into(),
                        address: allocated.text("value")?.parse().ok()?,
                    })
                })
            })
            .unwrap_or_default()
            .into(),
    }
}

/// One of the named values below `key`.
pub fn choice<T: Copy>(cursor: Cursor<'_>, key: &str, values: &[(&str, T)]) -> Option<T> {
    cursor.field(key, |value| {
        let text = value.as_text()?;
        let found = values.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let names: Vec<_> = values.iter().map(|(name, _)| *name).collect();
            value.error(format!("expected one of {}, found {text:?}", names.join(", ")));
        }
        found.map(|(_, value)| *value)
    })
}

fn port(port: Cursor<'_>) -> Option<Port> {
    let protocol = match port.text("protocol") {
        None => Protocol::Auto,
        Some(text) => match Protocol::parse(text) {
            Some(protocol) => protocol,
            None => {
                port.error_at(
                    "protocol",
                    format!("unsupported protocol: {text}; expected HTTP, HTTPS, TLS, TCP, HTTP2, GRPC, GRPC-Web, Mongo, MySQL or Redis"),
                );
                return None;
            }
        },
    };
    if !port.has("number") {
        port.error("expected a number: the port that clients use");
    }
    Some(Port {
        number: port.port("number")?,
        name: port.text("name").unwrap_or_default().into(),
        protocol,
        target_port: port.port("targetPort"),
        line: port.line(),
    })
}

fn endpoint(endpoint: Cursor<'_>) -> Option<Endpoint> {
    Some(Endpoint {
        address: endpoint.text("address").unwrap_or_default().to_string(),
        ports: endpoint.pairs("ports", |_, port| port.as_port()).into_iter().collect(),
        labels: endpoint.labels("labels"),
        network: endpoint.text("network").map(str::to_string),
        weight: endpoint.count("weight").unwrap_or_default(),
        locality: endpoint.text("locality").unwrap_or_default().to_string(),
    })
}
