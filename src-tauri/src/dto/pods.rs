//! Pods of a cluster: what they capture, and their restart.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::fault::Fault;

/// What a sidecar captures, as lists are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct CaptureLists {
    pub include_ranges: String,
    pub exclude_ranges: String,
    pub include_ports: String,
    pub exclude_ports: String,
}

/// What a workload's pods run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum RunsWith {
    /// Rules that a new pod would not get any more.
    Older,
    /// The same rules, and a sidecar of another version than a new pod gets.
    #[serde(rename = "olderProxy")]
    OlderProxy,
    /// The rules that a new pod gets.
    Current,
    /// No sidecar: nothing is captured.
    None,
}

/// One workload and its pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct PodsRow {
    pub kind: String,
    /// `namespace/name`.
    pub workload: String,
    pub pods: usize,
    /// Of these, the ones with older rules or another version of the sidecar.
    pub stale: usize,
    pub runs_with: RunsWith,
    /// What the stale pods capture, else what all do; absent without a sidecar.
    pub has: Option<CaptureLists>,
    /// What a new pod gets.
    pub gets: CaptureLists,
    /// Versions of the sidecars that run, where a new pod gets another one.
    pub proxy_has: Vec<String>,
    /// The version that a new pod gets, where the injector says it.
    pub proxy_gets: Option<String>,
    /// The workload's own annotations decide, not the mesh's values.
    pub own: bool,
    /// The revision whose values a new pod gets, empty for the default one.
    pub revision: String,
    /// When the oldest of the stale pods began, RFC 3339.
    pub since: Option<String>,
    /// Egret can restart it.
    pub restarts: bool,
}

/// How far one workload of a restart is.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum RestartStepState {
    Waiting,
    Rolling { new: u64, all: u64 },
    Done,
    Failed { fault: Fault },
    Left,
}

/// One workload of a restart.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct RestartRow {
    pub workload: String,
    #[serde(flatten)]
    #[ts(flatten)]
    pub step: RestartStepState,
}

/// The newest restart.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct RestartState {
    pub steps: Vec<RestartRow>,
    pub paused: bool,
    pub running: bool,
}

/// All workloads with pods, those with older rules first.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct PodsView {
    pub workloads: Vec<PodsRow>,
    pub restart: RestartState,
}

/// Whether the sidecars have a change, as istiod says it.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SyncState {
    /// The change's number in the journal.
    pub entry: i64,
    /// Sidecars that are connected.
    pub total: usize,
    /// Of these, the ones that were sent something since.
    pub sent: usize,
    /// The ones that have not taken what was sent.
    pub behind: usize,
    /// Some of their names.
    pub names: Vec<String>,
    /// Nothing more is expected.
    pub done: bool,
    /// Why it cannot be known.
    pub fault: Option<Fault>,
}

impl SyncState {
    /// It cannot be known.
    pub fn unknown(entry: i64, fault: Fault) -> Self {
        Self {
            entry,
            total: 0,
            sent: 0,
            behind: 0,
            names: Vec::new(),
            done: true,
            fault: Some(fault),
        }
    }
}

/// A range of the cluster itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct OwnRangeRow {
    pub range: String,
    /// `services`, `pods` or `nodes`.
    pub lives: String,
    /// Where it was read.
    pub sources: Vec<String>,
    /// It is written down as this, not derived from what was seen.
    pub certain: bool,
}

/// The cluster's own ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct OwnRangesView {
    pub found: Vec<OwnRangeRow>,
    /// What could not be asked, with the reason.
    pub unread: Vec<String>,
}

/// A workload to restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct WorkloadKey {
    pub kind: String,
    /// `namespace/name`.
    pub workload: String,
}
