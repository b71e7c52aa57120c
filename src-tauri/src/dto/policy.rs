//! The Policy screen: services, timeouts, ranges, findings and drafts.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{CaptureLists, ModeScope, ObjectRef, Place};
use crate::fault::Fault;

/// What the staged edits do to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Staged {
    Added,
    Changed,
    Deleted,
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    pub number: u16,
    pub name: String,
    pub protocol: String,
    pub target_port: Option<u16>,
}

/// One ServiceEntry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRow {
    pub object: ObjectRef,
    pub hosts: Vec<String>,
    pub addresses: Vec<String>,
    pub ports: Vec<ServicePort>,
    pub resolution: String,
    pub location: String,
    pub export_to: Vec<String>,
    pub timeout_ms: Option<u64>,
    pub staged: Option<Staged>,
}

/// One VirtualService, as far as timeouts go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct TimeoutRow {
    pub object: ObjectRef,
    pub host: String,
    pub routes: usize,
    pub timeout_ms: Option<u64>,
    pub staged: Option<Staged>,
}

/// A workload whose annotations say something else than the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct WorkloadOverrides {
    pub workload: String,
    pub overrides: Vec<String>,
}

/// One of the four lists of ranges and ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum CaptureList {
    IncludeRanges,
    ExcludeRanges,
    IncludePorts,
    ExcludePorts,
}

/// What the injector of one revision of the control plane says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct InjectorRow {
    /// Empty for the default one.
    pub revision: String,
    /// Other names of it.
    pub tags: Vec<String>,
    #[serde(flatten)]
    #[ts(flatten)]
    pub lists: CaptureLists,
    /// Its ConfigMap; absent where there is none, and everything is captured.
    pub object: Option<ObjectRef>,
    pub written: Option<Place>,
    /// Lists that cannot be set there.
    pub unsettable: Vec<CaptureList>,
    /// What is to be known before it is edited.
    pub note: Option<String>,
    /// Workloads that it injects.
    pub workloads: usize,
}

/// What the sidecar does not see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct BypassView {
    /// One a revision, the default one first; never empty.
    pub injectors: Vec<InjectorRow>,
    /// Workloads with annotations of their own.
    pub workloads: Vec<WorkloadOverrides>,
    /// What is not known of revisions.
    pub unknown: Vec<String>,
}

/// The whole Policy screen.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct PolicyView {
    pub modes: Vec<ModeScope>,
    pub services: Vec<ServiceRow>,
    pub timeouts: Vec<TimeoutRow>,
    pub bypass: BypassView,
    pub findings: Vec<Finding>,
}

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warning,
    Info,
}

/// One finding of the checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct Finding {
    pub code: String,
    pub level: Level,
    pub object: Option<ObjectRef>,
    pub field: String,
    pub file: String,
    pub line: u32,
    pub column: u32,
    pub message: String,
    pub fix: Option<String>,
    /// The change that mends it, where one is sure.
    pub offer: Option<FixOffer>,
}

/// A change that mends a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct FixOffer {
    /// In words.
    pub change: String,
    /// The same by hand.
    pub command: String,
    /// Why it cannot be made here.
    pub blocked_because: Option<String>,
}

/// The two kinds that have a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
pub enum DraftKind {
    ServiceEntry,
    VirtualService,
}

impl DraftKind {
    /// The kind's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceEntry => "ServiceEntry",
            Self::VirtualService => "VirtualService",
        }
    }
}

/// The form of a ServiceEntry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ServiceForm {
    pub name: String,
    pub namespace: String,
    pub hosts: Vec<String>,
    pub addresses: Vec<String>,
    pub ports: Vec<ServicePort>,
    pub resolution: String,
    pub location: String,
    pub export_to: Vec<String>,
}

/// The form of a timeout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct TimeoutForm {
    pub name: String,
    pub namespace: String,
    pub host: String,
    pub timeout_ms: Option<u64>,
}

/// One draft, two views. A form is absent while the YAML does not parse or has what the form cannot show.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct Draft {
    pub kind: DraftKind,
    pub yaml: String,
    pub service: Option<ServiceForm>,
    pub timeout: Option<TimeoutForm>,
    pub form_gap: Option<String>,
    pub sentence: String,
    pub resolution_why: Option<String>,
    pub file: String,
    /// The whole text of that file as it was when the object was opened; goes with the edit that is made of it.
    pub base: Option<String>,
    pub findings: Vec<Finding>,
    pub fault: Option<Fault>,
}
