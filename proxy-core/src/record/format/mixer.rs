//! Mixer's log entries (Istio 1.0 to 1.4): one JSON object for each request or connection, written by the telemetry
//! service for all workloads. What passed or was refused unregistered has no entry there.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use serde_json::{Map, Value};

use crate::{
    model::parse_duration,
    policy::Verdict,
    record::{FlowRecord, FlowWorkload},
};

/// True for an entry of Mixer's access log.
pub fn is_entry(line: &Map<String, Value>) -> bool {
    let instance = text(line, "instance").unwrap_or_default();
    ["accesslog.", "tcpaccesslog.", "newlog."]
        .iter()
        .any(|kind| instance.starts_with(kind))
}

/// The flow that an entry tells of; `None` for what came in, and for a connection that goes on.
pub fn flow(line: &Map<String, Value>) -> Option<FlowRecord> {
    let goes_on = text(line, "connectionEvent").is_some_and(|event| event != "close");
    if goes_on || text(line, "reporter").is_some_and(|reporter| reporter != "source") {
        return None;
    }
    let owned = |key| text(line, key).map(str::to_string);
    let number = |keys: &[&str]| keys.iter().find_map(|key| number(line, key)).unwrap_or(0);
    let http = text(line, "protocol") != Some("tcp");
    let host = owned("httpAuthority").or_else(|| owned("destinationServiceHost"));
    let sni = owned("requestedServerName");
    let took = text(line, "latency").or_else(|| text(line, "connectionDuration"));
    let took = took.and_then(parse_duration).map_or(0, |took| took.as_millis());
    Some(FlowRecord {
        time: owned("time")?,
        workload: Arc::new(FlowWorkload {
            namespace: owned("sourceNamespace").unwrap_or_default(),
            name: owned("sourceWorkload")
                .or_else(|| owned("sourceName"))
                .unwrap_or_default(),
            ..FlowWorkload::default()
        }),
        source: address(line, "sourceIp", "sourcePort"),
        destination: address(line, "destinationIp", "destinationPort"),
        protocol: match (http, &sni) {
            (true, _) => "http",
            (false, Some(_)) => "tls",
            (false, None) => "tcp",
        }
        .into(),
        host: host.filter(|_| http || sni.is_none()),
        sni,
        method: owned("method"),
        path: owned("url"),
        verdict: Verdict::Registered,
        would: None,
        other: None,
        cluster: None,
        route: None,
        upstream: None,
        status: u16::try_from(number(&["responseCode"])).unwrap_or(0),
        flags: owned("responseFlags").unwrap_or_else(|| "-".into()),
        details: "-".into(),
        bytes_sent: number(&["totalSentBytes", "responseSize", "sentBytes"]),
        bytes_received: number(&["totalReceivedBytes", "requestSize", "receivedBytes"]),
        duration_ms: u64::try_from(took).unwrap_or(u64::MAX),
        upstream_ms: None,
        request_id: owned("requestId"),
        policy_hash: String::new(),
        line: String::new(),
    })
}

fn text<'l>(line: &'l Map<String, Value>, key: &str) -> Option<&'l str> {
    let text = line.get(key)?.as_str()?;
    (!text.is_empty() && text != "unknown").then_some(text)
}

fn number(line: &Map<String, Value>, key: &str) -> Option<u64> {
    let value = line.get(key)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Mixer writes an address as the base64 of its bytes, and seldom a port: it is 0 then.
fn address(line: &Map<String, Value>, ip: &str, port: &str) -> SocketAddr {
    let bytes = text(line, ip).and_then(base64).unwrap_or_default();
    let ip = match (<[u8; 4]>::try_from(&*bytes), <[u8; 16]>::try_from(&*bytes)) {
        (Ok(four), _) => IpAddr::from(four),
        (_, Ok(sixteen)) => IpAddr::from(sixteen).to_canonical(),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    let port = number(line, port).and_then(|port| u16::try_from(port).ok());
    SocketAddr::new(ip, port.unwrap_or(0))
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}
