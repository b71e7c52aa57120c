//! Where policy comes from, who is named, and what the Overview says.

use proxy_core::{model, policy};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{BypassView, Right, ServiceRow};
use crate::fault::Fault;

/// The four verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Registered,
    Passthrough,
    Blocked,
    Bypassed,
}

impl From<policy::Verdict> for Verdict {
    fn from(verdict: policy::Verdict) -> Self {
        match verdict {
            policy::Verdict::Registered => Self::Registered,
            policy::Verdict::Passthrough => Self::Passthrough,
            policy::Verdict::Blocked => Self::Blocked,
            policy::Verdict::Bypassed => Self::Bypassed,
        }
    }
}

/// What happens to destinations that no policy names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    AllowAny,
    AllowAnyDynamicDns,
    RegistryOnly,
}

impl From<model::OutboundMode> for Mode {
    fn from(mode: model::OutboundMode) -> Self {
        match mode {
            model::OutboundMode::AllowAny => Self::AllowAny,
            model::OutboundMode::AllowAnyDynamicDns => Self::AllowAnyDynamicDns,
            model::OutboundMode::RegistryOnly => Self::RegistryOnly,
        }
    }
}

impl From<Mode> for model::OutboundMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::AllowAny => Self::AllowAny,
            Mode::AllowAnyDynamicDns => Self::AllowAnyDynamicDns,
            Mode::RegistryOnly => Self::RegistryOnly,
        }
    }
}

/// The window that a source is opened in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum InWindow {
    /// The one that asks.
    This,
    /// One of its own.
    New,
}

/// Where something is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Place {
    pub file: String,
    pub line: u32,
    pub column: u32,
}

impl From<&model::Place> for Place {
    fn from(place: &model::Place) -> Self {
        Self {
            file: place.file.to_string(),
            line: place.line,
            column: place.column,
        }
    }
}

/// Names an object and the line that matters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ObjectRef {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub file: String,
    pub line: u32,
}

impl From<&model::ObjectRef> for ObjectRef {
    fn from(object: &model::ObjectRef) -> Self {
        Self {
            kind: object.kind.to_string(),
            namespace: object.namespace.to_string(),
            name: object.name.to_string(),
            file: object.file.to_string(),
            line: object.line,
        }
    }
}

/// Documents of a kind that policy does not depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct IgnoredKind {
    pub kind: String,
    pub count: usize,
}

/// The open folder or cluster.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct SourceState {
    pub name: String,
    /// Path of the folder, or address of the API server.
    pub path: String,
    pub cluster: Option<ClusterState>,
    pub files: usize,
    pub objects: u32,
    pub ignored: Vec<IgnoredKind>,
    pub epoch: u64,
    pub read_at: String,
    pub editable: bool,
    pub errors: Vec<Fault>,
    pub istio: IstioRelease,
}

/// The release of Istio that is decided for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct IstioRelease {
    /// `1.24`; several, with `and`, where revisions differ.
    pub version: String,
    /// What the source itself says, in the same way.
    pub found: String,
    /// Where `found` is known from.
    pub from: String,
    /// Another one than `found` was chosen.
    pub chosen: bool,
    /// What can be chosen, the newest first; empty for a cluster.
    pub choices: Vec<String>,
}

/// How the connection to a cluster stands.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ClusterState {
    /// The kubeconfig that its context is of.
    pub file: String,
    pub version: String,
    pub production: bool,
    pub insecure: bool,
    pub editing: bool,
    /// What this person may do.
    pub rights: Vec<Right>,
    /// Why editing cannot be switched on.
    pub locked_because: Option<String>,
    /// What cannot be read now; what was read last stays.
    pub lost: Option<LostWatch>,
    /// What this person may not see, a sentence each: verdicts, modes and counts may be other ones than are shown.
    pub unseen: Vec<String>,
}

/// Kinds whose watch is cut off.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct LostWatch {
    pub kinds: Vec<String>,
    pub fault: Fault,
    pub seconds: u64,
}

/// A scope with its outbound mode: `mesh`, `namespace shop`, `workload shop/cart`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct ModeScope {
    pub scope: String,
    pub mode: Mode,
    pub written: Option<Place>,
    pub object: Option<ObjectRef>,
}

/// How many, by verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
pub struct VerdictCounts {
    pub registered: u64,
    pub passthrough: u64,
    pub blocked: u64,
    pub bypassed: u64,
}

impl VerdictCounts {
    /// Counts one more.
    pub fn add(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Registered => &mut self.registered,
            Verdict::Passthrough => &mut self.passthrough,
            Verdict::Blocked => &mut self.blocked,
            Verdict::Bypassed => &mut self.bypassed,
        } += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.registered + self.passthrough + self.blocked + self.bypassed
    }
}

/// What carries traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Plane {
    /// A sidecar: the mode holds.
    Sidecar,
    /// Ambient's ztunnel, which asks no mode.
    Ambient,
    /// Nothing of Istio.
    Nothing,
}

/// One namespace with its mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceRow {
    pub namespace: String,
    /// What sidecars in it meet.
    pub mode: Mode,
    pub inherited: bool,
    pub written_in: String,
    /// What carries the traffic of the namespace.
    pub plane: Plane,
    /// Why it has no sidecars, where it has none.
    pub plane_because: Option<String>,
    pub workloads: usize,
    /// Of these, the ones without a sidecar.
    pub without_sidecar: usize,
    pub counts: VerdictCounts,
}

/// How well a data source does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    Good,
    Warn,
    Bad,
    Off,
}

/// One place that facts come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct DataSource {
    pub name: String,
    pub state: Health,
    pub detail: String,
}

/// What a next step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum NextAction {
    StartSandbox,
    OpenLog,
    Allow,
    SwitchMode,
    Review,
    FixFile,
    /// Offered by the windows themselves, after a failed apply.
    #[allow(dead_code)]
    Undo,
}

/// The one thing worth doing now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct NextStep {
    pub text: String,
    pub why: String,
    pub action: NextAction,
    pub argument: Option<String>,
}

/// What leaves this mesh.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct Overview {
    pub sentence: String,
    pub modes: Vec<ModeScope>,
    pub flows: VerdictCounts,
    pub destinations: VerdictCounts,
    pub services: Vec<ServiceRow>,
    pub bypass: BypassView,
    pub namespaces: Vec<NamespaceRow>,
    pub health: Vec<DataSource>,
    pub next: NextStep,
}
