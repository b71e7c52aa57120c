//! From the sidecar's record to what a row and its details show.

use std::net::SocketAddr;

use proxy_core::{
    policy::Verdict as Decided,
    record::{FlowRecord, Formats, read_line},
};

use super::Row;
use crate::dto::{Flow, FlowDetails, Token};

impl Row {
    /// Host, else SNI, else the address: what a person calls the destination.
    pub fn name(&self) -> String {
        name(&self.record)
    }

    /// `namespace/name` of the caller.
    pub fn workload(&self) -> String {
        let workload = &self.record.workload;
        format!("{}/{}", workload.namespace, workload.name)
    }

    /// As the windows show it.
    pub fn flow(&self) -> Flow {
        let record = &self.record;
        Flow {
            id: self.id,
            time: record.time.clone(),
            verdict: record.verdict.into(),
            would: record.would.map(Into::into),
            workload: self.workload(),
            source: address(record.source),
            destination: address(record.destination),
            host: record.host.clone(),
            sni: record.sni.clone(),
            name: self.name(),
            port: record.destination.port(),
            protocol: record.protocol.clone(),
            method: record.method.clone(),
            path: record.path.clone(),
            status: record.status,
            flags: record.flags.clone(),
            details: record.details.clone(),
            bytes_sent: record.bytes_sent,
            bytes_received: record.bytes_received,
            duration_ms: record.duration_ms,
            cluster: record.cluster.clone(),
            route: record.route.clone(),
            upstream: record.upstream.map(|address| address.to_string()),
            request_id: record.request_id.clone(),
            policy_hash: record.policy_hash.clone(),
        }
    }
}

fn name(record: &FlowRecord) -> String {
    let host = record.host.as_deref().map(without_port);
    match host.or(record.sni.as_deref()) {
        Some(name) => name.to_ascii_lowercase(),
        None if record.destination.ip().is_unspecified() => clusters_host(record).unwrap_or("unknown").into(),
        None => record.destination.ip().to_string(),
    }
}

/// The host that Istio writes last into a cluster's name.
fn clusters_host(record: &FlowRecord) -> Option<&str> {
    let host = record.cluster.as_deref()?.split('|').nth(3)?;
    (!host.is_empty()).then_some(host)
}

/// An address; an access log may be written without it.
fn address(address: SocketAddr) -> String {
    match address.ip().is_unspecified() {
        true => "-".into(),
        false => address.to_string(),
    }
}

/// A Host header without its port; a bare IPv6 address is left alone.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.contains(':') => host,
        Some((host, _)) if host.starts_with('[') && host.ends_with(']') => host,
        _ => authority,
    }
}

/// The details card of a row: its line in Istio's current format token for token, in another one what is read of it.
pub fn details(row: &Row, similar: u64, formats: &Formats) -> FlowDetails {
    let line = &row.record.line;
    let tokens = read_line(line).unwrap_or_else(|| formats.tokens(line));
    FlowDetails {
        flow: row.flow(),
        line: row.record.line.clone(),
        tokens: tokens
            .into_iter()
            .map(|token| Token {
                name: token.name.to_string(),
                value: token.value,
                meaning: token.meaning.to_string(),
            })
            .collect(),
        sentence: sentence(row),
        similar,
    }
}

/// What happened, in one sentence.
pub fn sentence(row: &Row) -> String {
    let record = &row.record;
    let who = row.workload();
    let what = format!("{}:{}", row.name(), record.destination.port());
    let bytes = format!(
        "{} bytes went out and {} came back in {} ms",
        record.bytes_received, record.bytes_sent, record.duration_ms
    );
    let answer = match (record.status, record.flags.as_str()) {
        (0, "-") => format!("{bytes}."),
        (0, flags) => format!("the connection ended with flag {flags}; {bytes}."),
        (504, _) => format!("the answer was 504, after {} ms.", record.duration_ms),
        (status, _) => format!("the answer was {status}, after {} ms.", record.duration_ms),
    };
    if let Some(would) = record.would {
        return format!("{who} reached {what}: the sidecar only observes. It would have been {would}; {answer}");
    }
    match record.verdict {
        Decided::Registered => format!("{who} reached {what}, which the policy names; {answer}"),
        Decided::Passthrough => format!("{who} reached {what}, which no policy names; it was let through and {answer}"),
        Decided::Blocked if record.status == 0 => {
            format!("{who} tried {what}, which no policy names; the connection was cut.")
        }
        Decided::Blocked => format!("{who} tried {what}; the sidecar refused with {}.", record.status),
        Decided::Bypassed => format!("{who} reached {what} without the sidecar, which never saw it; {bytes}."),
    }
}
