//! One flow, as `/flows` streams it and the app stores it.

use std::{net::SocketAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    model::Labels,
    policy::{Other, Verdict},
};

/// Who called.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FlowWorkload {
    /// Namespace.
    pub namespace: String,
    /// Name, empty when unknown.
    pub name: String,
    /// Pod labels.
    pub labels: Labels,
}

/// One connection or request with its outcome. `host` and `sni` are recorded for blocked connections too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowRecord {
    /// Start, RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// Who called; shared by all its flows.
    pub workload: Arc<FlowWorkload>,
    /// The caller's address.
    pub source: SocketAddr,
    /// Original destination.
    pub destination: SocketAddr,
    /// `http`, `http2`, `tls` or `tcp`.
    pub protocol: String,
    /// Host header or `:authority`.
    pub host: Option<String>,
    /// SNI.
    pub sni: Option<String>,
    /// Method.
    pub method: Option<String>,
    /// Path with query.
    pub path: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// The verdict that policy would have given, where it is only watched; `verdict` is then what happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would: Option<Verdict>,
    /// What another policy would have made of it, where one is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<Box<Other>>,
    /// Cluster name.
    pub cluster: Option<String>,
    /// Route name.
    pub route: Option<String>,
    /// Upstream address.
    pub upstream: Option<SocketAddr>,
    /// HTTP status; 0 for byte streams.
    pub status: u16,
    /// Response flags, `-` for none.
    pub flags: String,
    /// Response code details, `-` for none.
    pub details: String,
    /// Bytes sent to the caller.
    pub bytes_sent: u64,
    /// Bytes received from the caller.
    pub bytes_received: u64,
    /// Whole duration in milliseconds.
    pub duration_ms: u64,
    /// Time until the upstream's response head, in milliseconds.
    pub upstream_ms: Option<u64>,
    /// `x-request-id`.
    pub request_id: Option<String>,
    /// Hash of the policy that decided.
    pub policy_hash: String,
    /// The access log line as written (without its newline); empty for a bypassed connection.
    pub line: String,
}
