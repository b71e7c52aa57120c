//! Test requests beyond curl in a workload's own container: what was expected, and the two ways to bring curl along.

use serde::Serialize;
use ts_rs::TS;

use super::{Level, Verdict};

/// What the engine expects of a test request, and how that compares with what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct Expectation {
    /// `None` where too little is known to decide.
    pub verdict: Option<Verdict>,
    /// What should come of it, in a few words.
    pub outcome: String,
    /// The engine's reason.
    pub reason: String,
    /// How it came out otherwise, where it did.
    pub finding: Option<ProbeFinding>,
}

/// A difference between what was expected of a request and what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct ProbeFinding {
    pub level: Level,
    pub message: String,
    /// The likely reason, and what to do.
    pub hint: String,
}

/// What can be done for a workload whose containers have neither curl nor wget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ProbeWays {
    /// The image with curl that is used.
    pub image: String,
    pub default_image: String,
    /// Why no container can be added to its pod; `None` where one can.
    pub container_missing: Option<String>,
    /// Why no probe can be deployed to its namespace; `None` where one can.
    pub deployment_missing: Option<String>,
}

/// A probe of Egret that stands in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct ProbeRow {
    pub namespace: String,
    /// As it is chosen to send from it.
    pub workload: String,
    /// When it was made, RFC 3339, where known.
    pub since: Option<String>,
}

/// How bringing curl along stands; sent as an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct ProbeStep {
    /// What is waited for; `None` when nothing is any more.
    pub step: Option<String>,
}
