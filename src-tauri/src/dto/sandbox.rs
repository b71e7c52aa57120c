//! The sandbox, its sites, and requests sent from inside.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{Expectation, Plane, SentBeside, Verdict};
use crate::{cluster::Forwarding, fault::Fault};

/// How the sandbox stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    #[default]
    Stopped,
    Starting,
    Running,
    Failed,
}

/// Which policy decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum PolicyChoice {
    /// The source as it is.
    #[default]
    Source,
    /// The source with the staged changes.
    Staged,
    /// The one that was pinned.
    Pinned,
}

/// What of a workload the commands of its sandbox get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Takes {
    /// Nothing.
    #[default]
    Nothing,
    /// The variables of its container, without those that come from Secrets.
    Variables,
    /// Those too.
    Secrets,
}

/// How sandboxed processes reach the sidecar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// A private network namespace, everything redirected.
    #[default]
    Namespace,
    /// The explicit proxy, where namespaces are forbidden.
    Proxy,
}

/// One of the playground's external sites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct Site {
    pub host: String,
    pub address: String,
    pub ports: Vec<u16>,
    pub what: String,
}

/// The sandbox with its sidecar.
#[derive(Debug, Clone, Default, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SandboxState {
    pub state: Phase,
    pub workload: String,
    pub step: Option<String>,
    pub policy_hash: Option<String>,
    pub captured: Option<String>,
    pub explicit_proxy: Option<String>,
    pub admin: Option<String>,
    pub pid: Option<u32>,
    pub memory_kb: Option<u64>,
    pub connections: Option<u64>,
    pub since: Option<String>,
    pub fault: Option<Fault>,
    pub way: Way,
    pub edit_to_effect_ms: Option<u64>,
    pub sites: Vec<Site>,
    /// The policy that it enforces.
    pub policy: PolicyChoice,
    /// What of the workload its commands get.
    pub takes: Takes,
    /// Variables that are taken over; their values are not told.
    pub variables: u64,
    /// Places where files of the workload are mounted.
    pub files: u64,
    /// What could not be, in words.
    pub left_out: Vec<String>,
    /// Why what is staged now is not enforced.
    pub staged_fault: Option<Fault>,
    /// The way to the cluster's Services, where a cluster is open.
    pub reach: Option<Reach>,
}

/// Connections of the sandbox to Services of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct Reach {
    pub total: u64,
    pub open: u64,
    /// Why the last one failed that did, unless one has succeeded since.
    pub fault: Option<Fault>,
}

impl From<Forwarding> for Reach {
    fn from(Forwarding { total, open, fault }: Forwarding) -> Self {
        Self { total, open, fault }
    }
}

/// What a test request met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct RequestResult {
    pub command: String,
    pub status: Option<u16>,
    pub exit: i32,
    pub took_ms: u64,
    pub verdict: Option<Verdict>,
    pub flow_id: Option<u64>,
    pub site_saw: Vec<(String, String)>,
    pub response_headers: Vec<(String, String)>,
    pub body: String,
    pub stderr: String,
    /// The sidecar's own line of it.
    pub line: Option<String>,
    /// What the client that sent it cannot tell.
    pub limits: Option<String>,
    pub expectation: Expectation,
    /// The same sent through the sidecar beside, under the policy that is compared with.
    pub beside: Option<SentBeside>,
    /// Why it was not sent there, where it should have been.
    pub beside_fault: Option<Fault>,
}

/// Where a piece of output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum CommandStream {
    Stdout,
    Stderr,
    Exit,
}

/// Output of a command in the sandbox, or its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct CommandEvent {
    pub id: u64,
    pub stream: CommandStream,
    pub text: String,
    pub code: Option<i32>,
}

/// A workload of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    pub name: String,
    /// `Deployment`, `StatefulSet`, `DaemonSet` or `Pod`.
    pub kind: String,
    pub service_account: String,
    pub labels: Vec<(String, String)>,
    pub plane: Plane,
    /// The revision whose injector its sidecar is from, empty for the default one.
    pub revision: String,
}
