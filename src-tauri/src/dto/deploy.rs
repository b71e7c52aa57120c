//! A sidecar for a workload of the cluster: what is chosen, what was found before it, and how it stands.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::DeliveryChoice;
use crate::fault::Fault;

/// What the sidecar does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum DeployMode {
    /// Everything passes, and is recorded with the verdict that it would get.
    Observe,
    /// The policy decides.
    Enforce,
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum DeployPlace {
    /// In a copy with one pod, to which no Service sends anything.
    Copy,
    /// In the workload itself.
    Workload,
    /// In one pod of it that runs already.
    Pod,
}

/// How traffic reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum DeployWay {
    /// It is redirected in the pod's network.
    Capture,
    /// By the variables of an HTTP proxy, which programs may obey.
    Proxy,
}

/// Whether what the pod asks of its DNS servers goes to the sidecar too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum DeployDns {
    /// As the workload's own configuration says, as for Istio's sidecar (`ISTIO_META_DNS_CAPTURE`).
    Workload,
    On,
    Off,
}

/// What a person chose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, TS)]
pub struct DeployOptions {
    /// Deployment, StatefulSet or DaemonSet.
    pub kind: String,
    /// `namespace/name`.
    pub workload: String,
    pub mode: DeployMode,
    pub place: DeployPlace,
    pub way: DeployWay,
    pub dns: DeployDns,
    pub image: String,
    /// With the edits that are staged.
    pub staged: bool,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    Fine,
    /// It can be done, and a person should know this.
    Warning,
    /// It cannot be done like that.
    Refused,
    /// It cannot be known.
    Unknown,
}

/// One thing that was looked at before anything is touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct DeployCheck {
    /// What was looked at.
    pub title: String,
    pub outcome: CheckOutcome,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// A command to copy.
    pub command: Option<String>,
}

/// All of them, and what will be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct DeployChecks {
    pub checks: Vec<DeployCheck>,
    /// The objects that are made or changed, in words.
    pub adds: Vec<String>,
    /// Why it cannot be started; `None` where it can.
    pub refused: Option<String>,
    /// How the image gets to the nodes; none where all of them have it.
    pub deliveries: Vec<DeliveryChoice>,
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum DeployStepState {
    Waiting,
    Doing,
    Done,
    Failed,
}

/// One of the three steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct DeployStep {
    pub title: String,
    pub state: DeployStepState,
    /// What is waited for, or what came of it.
    pub text: String,
}

/// How a deployment stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum DeployPhase {
    #[default]
    None,
    Starting,
    Running,
    Stopping,
    /// It was taken away again, or could not be.
    Failed,
}

/// A pod with the sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct DeployPod {
    pub name: String,
    /// Hash of the policy that it decides by; `None` while it is not connected.
    pub policy_hash: Option<String>,
    pub generation: Option<u64>,
    /// Where it has the policy from: `mounted`, `pushed` or `kept`.
    pub source: Option<String>,
    /// When it took it, RFC 3339.
    pub loaded: Option<String>,
    /// Why it is not connected, or did not take the newest policy.
    pub fault: Option<String>,
}

/// The deployment of a window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct DeployState {
    pub phase: DeployPhase,
    /// The session's name in the cluster's labels.
    pub session: Option<String>,
    pub kind: String,
    /// `namespace/name` of who the sidecar decides for.
    pub workload: String,
    /// The workload whose pods have it: the copy, or the workload itself.
    pub stands_in: String,
    pub mode: Option<DeployMode>,
    pub place: Option<DeployPlace>,
    pub way: Option<DeployWay>,
    /// With the edits that are staged.
    pub staged: bool,
    pub steps: Vec<DeployStep>,
    /// What was done, with its time.
    pub log: Vec<String>,
    pub pods: Vec<DeployPod>,
    /// Number of the newest policy, and when it was made.
    pub generation: u64,
    pub policy_at: Option<String>,
    pub objects: usize,
    /// Flows that came from it, and those that it lost.
    pub flows: u64,
    pub dropped: u64,
    pub since: Option<String>,
    pub fault: Option<Fault>,
    /// What became of the last one, once it was taken away.
    pub ended: Option<String>,
}

/// What a deployment left that nobody in this app looks after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct DeployLeft {
    pub session: String,
    pub namespace: String,
    /// `KIND namespace/name`; empty where nothing says so.
    pub workload: String,
    pub since: Option<String>,
    pub objects: Vec<String>,
}
