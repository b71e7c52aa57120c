//! A connection or request as people write it, in options and in policy test files.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use crate::{
    model::Labels,
    policy::{Claims, Explanation, Facts, HttpClaims, HttpVersion, Workload, compile, explain_in},
    source::Reading,
};

/// Who calls.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// Namespace.
    pub namespace: Option<String>,
    /// Pod labels.
    #[serde(default)]
    pub labels: Labels,
}

/// Where to.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    /// Address.
    pub ip: IpAddr,
    /// Port.
    pub port: u16,
}

/// What is spoken.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// `http`, `http2`, `tls` or `tcp`.
    pub protocol: Option<String>,
    /// Host.
    pub host: Option<String>,
    /// SNI.
    pub sni: Option<String>,
    /// Method.
    pub method: Option<String>,
    /// Path with query.
    pub path: Option<String>,
    /// `1.0` or `1.1`.
    pub version: Option<String>,
    /// Headers by name.
    #[serde(default)]
    pub headers: Labels,
}

/// Explains what `reading` decides; the error says what is wrong with the question.
pub fn ask(reading: &Reading, from: &From, connect: Connect, send: &Send) -> Result<Explanation, String> {
    let headers: Vec<(String, String)> = send
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect();
    let sni = send.sni.as_deref().map(str::to_ascii_lowercase);
    let http = |version| {
        Claims::Http(HttpClaims {
            version,
            method: send.method.as_deref().unwrap_or("GET"),
            authority: send.host.as_deref(),
            path: send.path.as_deref().unwrap_or("/"),
            headers: &headers,
        })
    };
    let claims = match send.protocol.as_deref().unwrap_or("tcp") {
        "http" => match send.version.as_deref().unwrap_or("1.1") {
            "1.1" => http(HttpVersion::Http11),
            "1.0" => http(HttpVersion::Http10),
            other => return Err(format!("version {other:?}: expected 1.1 or 1.0")),
        },
        "http2" => http(HttpVersion::H2c),
        "tls" => Claims::Tls { sni: sni.as_deref() },
        "tcp" => Claims::Tcp,
        other => return Err(format!("protocol {other:?}: expected http, http2, tls or tcp")),
    };
    let namespace = from.namespace.as_deref().unwrap_or("default");
    let declared = reading.world.workloads.iter().find(|workload| {
        *workload.meta.namespace == *namespace
            && !from.labels.is_empty()
            && from
                .labels
                .iter()
                .all(|(key, value)| workload.spec.pod_labels.get(key) == Some(value))
    });
    let workload = Workload {
        namespace: namespace.into(),
        name: declared.map_or_else(|| "".into(), |declared| declared.meta.name.clone()),
        labels: declared.map_or_else(|| from.labels.clone(), |declared| declared.spec.pod_labels.clone()),
        annotations: declared
            .map(|declared| declared.spec.pod_annotations.clone())
            .unwrap_or_default(),
        dns_capture: None,
    };
    let facts = Facts {
        destination: SocketAddr::new(connect.ip, connect.port),
        claims,
        draw: 0,
    };
    Ok(explain_in(&reading.world, &compile(&reading.world, &workload), &facts))
}
