//! Flows: rows of the Live Log, their details, and why a flow went as it did.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{ObjectRef, Verdict};

/// One connection or request.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    pub id: u64,
    pub time: String,
    pub verdict: Verdict,
    /// What policy would have said, where a sidecar only observes: it was let through all the same.
    pub would: Option<Verdict>,
    pub workload: String,
    pub source: String,
    pub destination: String,
    pub host: Option<String>,
    pub sni: Option<String>,
    /// Host, else SNI, else the address.
    pub name: String,
    pub port: u16,
    pub protocol: String,
    pub method: Option<String>,
    pub path: Option<String>,
    pub status: u16,
    pub flags: String,
    pub details: String,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub duration_ms: u64,
    pub cluster: Option<String>,
    pub route: Option<String>,
    pub upstream: Option<String>,
    pub request_id: Option<String>,
    pub policy_hash: String,
}

/// One field of the access log line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct Token {
    pub name: String,
    pub value: String,
    pub meaning: String,
}

/// One flow in full.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct FlowDetails {
    pub flow: Flow,
    pub line: String,
    pub tokens: Vec<Token>,
    pub sentence: String,
    pub similar: u64,
}

/// A line of a file; `lit` is the one that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct ExcerptLine {
    pub line: u32,
    pub text: String,
    pub lit: bool,
}

/// One step of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct Step {
    pub step: String,
    pub outcome: String,
    pub object: Option<ObjectRef>,
    pub excerpt: Vec<ExcerptLine>,
}

/// Why a flow went as it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    pub verdict: Verdict,
    pub sentence: String,
    pub steps: Vec<Step>,
    pub otherwise: Option<String>,
    /// Policy hash; says when the policy has changed since.
    pub decided_by: String,
}

/// What to show of the log; empty lists take everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct LogQuery {
    pub text: String,
    pub verdicts: Vec<Verdict>,
    pub workloads: Vec<String>,
    pub hosts: Vec<String>,
    pub statuses: Vec<u16>,
    pub flags: Vec<String>,
}

/// What a facet counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum FacetField {
    Verdict,
    Workload,
    Host,
    Status,
    Flags,
}

/// One value with its count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct FacetValue {
    pub value: String,
    pub count: u64,
}

/// The values of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct Facet {
    pub field: FacetField,
    pub values: Vec<FacetValue>,
}

/// A page of the log, newest last, with the counts around it.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct LogPage {
    pub rows: Vec<Flow>,
    pub matched: u64,
    pub kept: u64,
    pub total: u64,
    pub dropped: u64,
    pub first_id: u64,
    pub last_id: u64,
    pub facets: Vec<Facet>,
    pub lag_ms: u64,
    pub per_second: Vec<u32>,
}

/// New flows, coalesced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct FlowsAdded {
    pub last_id: u64,
    pub added: u64,
    pub dropped: u64,
}

/// One destination with what was seen of it.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct DestinationRow {
    pub name: String,
    pub port: u16,
    pub protocol: String,
    pub verdict: Verdict,
    pub workloads: Vec<String>,
    pub requests: u64,
    pub bytes: u64,
    pub p95_ms: u64,
    pub last_seen: String,
    pub rule: Option<ObjectRef>,
    pub evidence: String,
}
