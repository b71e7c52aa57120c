//! A policy that is compared with the one in force, request by request.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{Flow, Phase, PolicyChoice, Verdict};
use crate::fault::Fault;

/// A policy that was kept as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Pinned {
    /// The folder or cluster that it is of.
    pub source: String,
    /// Staged changes that are in it.
    pub staged: u64,
    pub objects: u32,
    /// When, RFC 3339.
    pub at: String,
}

/// What is pinned, and what is compared with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    pub pinned: Option<Pinned>,
    /// The policy that is compared with, where one is.
    pub with: Option<PolicyChoice>,
    /// Its hash.
    pub policy_hash: Option<String>,
    /// Why what it says now is not compared with.
    pub fault: Option<Fault>,
    /// The sidecar beside, which takes what a person sends through both.
    pub beside: Phase,
    /// Why it does not run.
    pub beside_fault: Option<Fault>,
}

/// What a test request of the sandbox goes through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Through {
    /// The sandbox's own sidecar.
    #[default]
    One,
    /// The sidecar beside it too: it is sent twice.
    Both,
}

/// Whether a request would be different under the other policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Likeness {
    Same,
    Different,
    Unknown,
}

/// What the other policy makes of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct OtherWay {
    /// `None` where it depends on what nobody read.
    pub verdict: Option<Verdict>,
    /// HTTP status, 0 for byte streams; `None` where it is not known.
    pub status: Option<u16>,
    pub flags: Option<String>,
    pub cluster: Option<String>,
    pub likeness: Likeness,
    /// Why it decides so.
    pub reason: String,
    /// Why the policy in force does.
    pub reason_in_force: String,
    /// What is different beside verdict and answer, or why that is not known.
    pub note: Option<String>,
    /// It was sent there too, and not only decided.
    pub sent: bool,
}

/// One request under both policies.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct ComparedRow {
    pub flow: Flow,
    pub other: OtherWay,
}

/// The newest of them, newest last, with the counts of all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, TS)]
pub struct ComparedPage {
    pub rows: Vec<ComparedRow>,
    pub compared: u64,
    pub different: u64,
    pub unknown: u64,
}

/// What a request met that was sent through the sidecar beside too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SentBeside {
    pub verdict: Option<Verdict>,
    pub status: Option<u16>,
    pub exit: i32,
    pub took_ms: u64,
    /// The log's line of the sidecar beside.
    pub line: Option<String>,
}
