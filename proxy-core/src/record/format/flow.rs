//! From what a line says to the record of a flow.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{operator::Field, values::Values};
use crate::{
    policy::Verdict,
    record::{FlowRecord, FlowWorkload, Timestamp},
};

/// The flow that `values` tell of; `None` for one that came in. `received` is when the line was written, for formats
/// without a time; `has_route` says whether the format names routes at all.
pub fn flow(values: &Values<'_>, has_route: bool, workload: &Arc<FlowWorkload>, received: &str) -> Option<FlowRecord> {
    // Envoy before 1.23 may print a cluster's statistics name, which ends with `;`.
    let cluster = values.text(Field::Cluster).map(|name| name.trim_end_matches(';'));
    if cluster.is_some_and(|name| name.starts_with("inbound|") || name.starts_with("Inbound")) {
        return None;
    }
    let sni = values.owned(Field::Sni);
    let method = values.owned(Field::Method);
    let status = values.number(Field::Status).unwrap_or(0);
    let protocol = match (values.text(Field::Protocol), &sni) {
        (Some("HTTP/2"), _) => "http2",
        (Some(_), _) => "http",
        (None, _) if method.is_some() || status > 0 => "http",
        (None, Some(_)) => "tls",
        (None, None) => "tcp",
    };
    let upstream = values.address(Field::UpstreamHost, None);
    let local = values.address(Field::LocalAddress, Some((Field::LocalIp, Field::LocalPort)));
    let source = values.address(Field::RemoteAddress, Some((Field::RemoteIp, Field::RemotePort)));
    let unknown = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    let or_dash = |field| values.owned(field).unwrap_or_else(|| "-".into());
    let line = Line {
        cluster,
        route: values.text(Field::Route),
        has_route,
        http: protocol.starts_with("http"),
        status,
        flags: values.text(Field::Flags),
    };
    Some(FlowRecord {
        time: time(values.text(Field::StartTime), received),
        workload: workload.clone(),
        source: source.unwrap_or(unknown(0)),
        destination: local.or(upstream).unwrap_or_else(|| unknown(port_of(cluster))),
        protocol: protocol.into(),
        host: values.owned(Field::Authority),
        sni,
        method,
        path: values.owned(Field::Path),
        verdict: line.verdict(),
        would: None,
        other: None,
        cluster: cluster.map(str::to_string),
        route: values.owned(Field::Route),
        upstream,
        status: u16::try_from(status).unwrap_or(0),
        flags: or_dash(Field::Flags),
        details: or_dash(Field::Details),
        bytes_sent: values.number(Field::BytesSent).unwrap_or(0),
        bytes_received: values.number(Field::BytesReceived).unwrap_or(0),
        duration_ms: values.number(Field::Duration).unwrap_or(0),
        upstream_ms: values.number(Field::UpstreamTime),
        request_id: values.owned(Field::RequestId),
        policy_hash: String::new(),
        line: String::new(),
    })
}

/// What tells the verdict.
struct Line<'l> {
    cluster: Option<&'l str>,
    route: Option<&'l str>,
    has_route: bool,
    http: bool,
    status: u64,
    flags: Option<&'l str>,
}

impl Line<'_> {
    /// Istio names what its outbound mode does; everything else is some object's doing.
    fn verdict(&self) -> Verdict {
        match (self.cluster, self.route) {
            (Some("BlackHoleCluster"), _) | (_, Some("block_all")) => Verdict::Blocked,
            (Some("PassthroughCluster" | "AllowAnyDynamicDNSCluster"), _)
            | (_, Some("allow_any" | "allow_any_dynamic_dns")) => Verdict::Passthrough,
            (None, None) if self.is_refusal() => Verdict::Blocked,
            _ => Verdict::Registered,
        }
    }

    /// A refusal that is not named: Istio before 1.3 logs no routes and answers 502, or 404 before 1.1; the JSON of 1.9
    /// leaves the cluster of connections without an upstream out.
    fn is_refusal(&self) -> bool {
        match self.http {
            true => !self.has_route && matches!((self.status, self.flags), (502, None) | (404, Some("NR"))),
            false => self.flags == Some("UH"),
        }
    }
}

/// The port that a cluster's name says, else 0.
fn port_of(cluster: Option<&str>) -> u16 {
    let port = cluster.and_then(|name| name.split('|').nth(1)?.parse().ok());
    port.unwrap_or(0)
}

/// When it began: RFC 3339 or seconds since 1970, as the line says it, else when the line was written.
fn time(written: Option<&str>, received: &str) -> String {
    let Some(text) = written else { return received.into() };
    if OffsetDateTime::parse(text, &Rfc3339).is_ok() {
        return text.into();
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let millis = format!("{fraction:0<3}")
        .get(..3)
        .and_then(|digits| digits.parse::<i64>().ok());
    let time = seconds.parse::<i64>().ok().zip(millis).and_then(|(seconds, millis)| {
        let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(millis) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()
    });
    time.map_or_else(|| received.into(), |time| Timestamp(time).to_string())
}
