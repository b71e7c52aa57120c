//! What is known of a flow when it has ended, and the lines that are written about it.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use time::OffsetDateTime;

use super::{
    FlowRecord, FlowWorkload, Timestamp,
    pieces::{Pieces, dash},
};
use crate::policy::{Compared, Happened, Verdict};

/// A finished request or connection. Empty texts print as `-`.
#[derive(Debug, Clone)]
pub struct Flow {
    /// When it began.
    pub start: OffsetDateTime,
    /// The verdict.
    pub verdict: Verdict,
    /// The verdict that policy would have given, where it is only watched.
    pub would: Option<Verdict>,
    /// The same facts under another policy, where one is compared with.
    pub other: Option<Box<Compared>>,
    /// `http`, `http2`, `tls` or `tcp`.
    pub protocol: &'static str,
    /// The HTTP part; `None` for byte streams.
    pub http: Option<HttpPart>,
    /// Response flags.
    pub flags: &'static str,
    /// Response code details.
    pub details: String,
    /// Why the upstream's transport failed.
    pub transport_failure: String,
    /// Bytes from the caller: body bytes for HTTP, all bytes for streams.
    pub received: u64,
    /// Bytes to the caller.
    pub sent: u64,
    /// From the first byte to the last.
    pub duration: Duration,
    /// Until the upstream's response head.
    pub upstream_time: Option<Duration>,
    /// Upstream address.
    pub upstream: Option<SocketAddr>,
    /// The sidecar's own address towards the upstream.
    pub upstream_local: Option<SocketAddr>,
    /// Cluster.
    pub cluster: String,
    /// Route; empty for streams.
    pub route: String,
    /// Original destination.
    pub destination: SocketAddr,
    /// The caller's address.
    pub source: SocketAddr,
    /// SNI that an inspector saw: what Istio's log shows.
    pub sni: String,
    /// Host or SNI that Istio's own log would not show, because no inspector runs on that port.
    pub name: Option<Name>,
    /// Hash of the policy that decided.
    pub policy_hash: String,
    /// Namespace for metrics.
    pub service_namespace: String,
    /// Service host for metrics; empty where no service is behind the flow.
    pub service_host: String,
}

/// A name read from the first bytes beyond what the listener's inspectors saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// From a ClientHello.
    Sni(String),
    /// From an HTTP request.
    Host(String),
}

/// The HTTP part of a flow.
#[derive(Debug, Clone, Default)]
pub struct HttpPart {
    /// Method.
    pub method: String,
    /// Path with query, as sent.
    pub path: String,
    /// `HTTP/1.1` or `HTTP/2`.
    pub version: &'static str,
    /// `http` or `https`, as the caller says it.
    pub scheme: &'static str,
    /// Status; 0 when the caller left before a response.
    pub status: u16,
    /// Whom the last proxy before has forwarded for: the caller's `x-forwarded-for`, whatever becomes of it.
    pub source: Option<IpAddr>,
    /// `x-forwarded-for`.
    pub forwarded_for: String,
    /// `user-agent`.
    pub user_agent: String,
    /// `x-request-id`.
    pub request_id: String,
    /// Host.
    pub authority: String,
    /// A call of gRPC.
    pub grpc: bool,
    /// It came as one of gRPC-Web.
    pub grpc_web: bool,
}

impl HttpPart {
    /// Answers of our own have a status of gRPC. Envoy: those to gRPC-Web have it beside that of HTTP.
    pub fn answers_as_grpc(&self) -> bool {
        self.grpc && !self.grpc_web
    }
}

impl Flow {
    /// A flow that begins now: a byte stream of which nothing more is known.
    pub fn begin(verdict: Verdict, source: SocketAddr, destination: SocketAddr, policy_hash: &str) -> Self {
        Self {
            start: OffsetDateTime::now_utc(),
            verdict,
            would: None,
            other: None,
            protocol: "tcp",
            http: None,
            flags: "",
            details: String::new(),
            transport_failure: String::new(),
            received: 0,
            sent: 0,
            duration: Duration::ZERO,
            upstream_time: None,
            upstream: None,
            upstream_local: None,
            cluster: String::new(),
            route: String::new(),
            destination,
            source,
            sni: String::new(),
            name: None,
            policy_hash: policy_hash.to_string(),
            service_namespace: "unknown".into(),
            service_host: String::new(),
        }
    }

    /// The caller, or for whom it forwards: sidecars of Istio believe what it says of that.
    pub fn remote(&self) -> SocketAddr {
        let named = self.http.as_ref().and_then(|http| http.source);
        named.map_or(self.source, |source| SocketAddr::new(source, 0))
    }

    /// Appends the line of Istio's current default text format (1.9 and newer), without its newline.
    pub fn write_text(&self, line: &mut String) {
        let empty = HttpPart::default();
        let http = self.http.as_ref().unwrap_or(&empty);
        // Piece by piece: every request has its line, and formatting all of it at once takes four times as long.
        let mut line = Pieces(line);
        line.text("[").time(self.start).text("] \"");
        line.text(dash(&http.method)).text(" ");
        line.text(dash(&http.path)).text(" ");
        line.text(dash(http.version)).text("\" ");
        line.number(http.status.into()).text(" ");
        line.text(dash(self.flags)).text(" ");
        line.text(dash(&self.details)).text(" - \"");
        line.text(dash(&self.transport_failure)).text("\" ");
        line.number(self.received).text(" ");
        line.number(self.sent).text(" ");
        line.number(self.duration.as_millis() as u64).text(" ");
        match self.upstream_time.filter(|_| self.http.is_some()) {
            Some(time) => line.number(time.as_millis() as u64),
            None => line.text("-"),
        };
        line.text(" \"").quoted(&http.forwarded_for);
        line.text("\" \"").quoted(&http.user_agent);
        line.text("\" \"").quoted(&http.request_id);
        line.text("\" \"").quoted(&http.authority);
        line.text("\" \"").address(self.upstream).text("\" ");
        line.text(dash(&self.cluster)).text(" ");
        line.address(self.upstream_local).text(" ");
        line.address(Some(self.destination)).text(" ");
        line.address(Some(self.remote())).text(" ");
        line.text(dash(&self.sni)).text(" ");
        line.text(dash(&self.route));
    }

    /// The line of Istio's JSON format.
    pub fn write_json(&self, line: &mut String) {
        let http = self.http.as_ref();
        let text = |value: &str| (!value.is_empty()).then(|| value.to_string());
        let of = |get: fn(&HttpPart) -> &str| http.and_then(|http| text(get(http)));
        let json = serde_json::json!({
            "authority": of(|http| &http.authority),
            "bytes_received": self.received,
            "bytes_sent": self.sent,
            "connection_termination_details": null,
            "downstream_local_address": self.destination.to_string(),
            "downstream_remote_address": self.remote().to_string(),
            "duration": self.duration.as_millis() as u64,
            "method": of(|http| &http.method),
            "path": of(|http| &http.path),
            "protocol": of(|http| http.version),
            "request_id": of(|http| &http.request_id),
            "requested_server_name": text(&self.sni),
            "response_code": http.map_or(0, |http| http.status),
            "response_code_details": text(&self.details),
            "response_flags": dash(self.flags),
            "route_name": text(&self.route),
            "start_time": Timestamp(self.start).to_string(),
            "upstream_cluster": text(&self.cluster),
            "upstream_host": self.upstream.map(|address| address.to_string()),
            "upstream_local_address": self.upstream_local.map(|address| address.to_string()),
            "upstream_service_time": self.upstream_time.filter(|_| http.is_some()).map(|time| time.as_millis().to_string()),
            "upstream_transport_failure_reason": text(&self.transport_failure),
            "user_agent": of(|http| &http.user_agent),
            "x_forwarded_for": of(|http| &http.forwarded_for),
        });
        let _ = write!(line, "{json}");
    }

    fn happened(&self) -> Happened<'_> {
        let http = self.http.as_ref();
        Happened {
            status: http.map_or(0, |http| http.status),
            flags: self.flags,
            duration_ms: self.duration.as_millis() as u64,
            upstream_ms: self.upstream_time.map(|time| time.as_millis() as u64),
            grpc: http.is_some_and(HttpPart::answers_as_grpc),
        }
    }

    /// The record for `/flows`.
    pub fn record(&self, workload: &Arc<FlowWorkload>) -> FlowRecord {
        let text = |value: &str| (!value.is_empty()).then(|| value.to_string());
        let http = self.http.as_ref();
        let (named_sni, named_host) = match &self.name {
            Some(Name::Sni(name)) => (Some(name.clone()), None),
            Some(Name::Host(name)) => (None, Some(name.clone())),
            None => (None, None),
        };
        let mut line = String::with_capacity(320);
        self.write_text(&mut line);
        FlowRecord {
            time: Timestamp(self.start).to_string(),
            workload: workload.clone(),
            source: self.source,
            destination: self.destination,
            protocol: self.protocol.to_string(),
            host: http.and_then(|http| text(&http.authority)).or(named_host),
            sni: text(&self.sni).or(named_sni),
            method: http.and_then(|http| text(&http.method)),
            path: http.and_then(|http| text(&http.path)),
            verdict: self.verdict,
            would: self.would,
            other: self
                .other
                .as_ref()
                .map(|other| Box::new(other.conclude(&self.happened()))),
            cluster: text(&self.cluster),
            route: text(&self.route),
            upstream: self.upstream,
            status: http.map_or(0, |http| http.status),
            flags: dash(self.flags).to_string(),
            details: dash(&self.details).to_string(),
            bytes_sent: self.sent,
            bytes_received: self.received,
            duration_ms: self.duration.as_millis() as u64,
            upstream_ms: self.upstream_time.map(|time| time.as_millis() as u64),
            request_id: http.and_then(|http| text(&http.request_id)),
            policy_hash: self.policy_hash.clone(),
            line,
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn stream() -> Flow {
        Flow {
            start: datetime!(2026-11-23 14:02:12.932 UTC),
            verdict: Verdict::Blocked,
            would: None,
            other: None,
            protocol: "tls",
            http: None,
            flags: "UH",
            details: String::new(),
            transport_failure: String::new(),
            received: 0,
            sent: 0,
            duration: Duration::ZERO,
            upstream_time: None,
            upstream: None,
            upstream_local: None,
            cluster: "BlackHoleCluster".into(),
            route: String::new(),
            destination: "203.0.113.24:443".parse().unwrap(),
            source: "10.1.2.3:59490".parse().unwrap(),
            sni: "telemetry.vendor.io".into(),
            name: None,
            policy_hash: "0".into(),
            service_namespace: "unknown".into(),
            service_host: String::new(),
        }
    }

    #[test]
    fn a_cut_stream_is_logged_token_for_token() {
        let mut line = String::new();
        stream().write_text(&mut line);
        assert_eq!(
            line,
            "[2026-11-23T14:02:12.932Z] \"- - -\" 0 UH - - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" BlackHoleCluster - 203.0.113.24:443 10.1.2.3:59490 telemetry.vendor.io -"
        );
    }

    #[test]
    fn a_request_is_logged_token_for_token() {
        let flow = Flow {
            http: Some(HttpPart {
                method: "GET".into(),
                path: "/headers".into(),
                version: "HTTP/1.1",
                status: 200,
                user_agent: "cu\"rl\n".into(),
                request_id: "id".into(),
                authority: "httpbin.org".into(),
                ..HttpPart::default()
            }),
            flags: "",
            details: "via_upstream".into(),
            sent: 599,
            duration: Duration::from_millis(214),
            upstream_time: Some(Duration::from_millis(213)),
            upstream: Some("35.173.6.94:80".parse().unwrap()),
            upstream_local: Some("10.1.2.3:40000".parse().unwrap()),
            cluster: "outbound|80||httpbin.org".into(),
            route: "default".into(),
            sni: String::new(),
            ..stream()
        };
        let mut line = String::new();
        flow.write_text(&mut line);
        assert_eq!(
            line,
            "[2026-11-23T14:02:12.932Z] \"GET /headers HTTP/1.1\" 200 - via_upstream - \"-\" 0 599 214 213 \"-\" \"cu\\\"rl\\n\" \"id\" \"httpbin.org\" \"35.173.6.94:80\" outbound|80||httpbin.org 10.1.2.3:40000 203.0.113.24:443 10.1.2.3:59490 - default"
        );
    }
}
