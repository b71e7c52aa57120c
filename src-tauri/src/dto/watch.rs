//! Where a cluster's flows come from: the pods that are followed, and the access logs that are on.

use serde::Serialize;
use ts_rs::TS;

use super::ObjectRef;
use crate::fault::Fault;

/// A workload whose pods have sidecars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct FollowedWorkload {
    /// `namespace/name`.
    pub name: String,
    pub pods: usize,
    pub followed: usize,
}

/// Which pods' logs are followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct FollowView {
    pub pods: usize,
    pub followed: usize,
    /// Pods that are followed at most.
    pub bound: usize,
    pub workloads: Vec<FollowedWorkload>,
    /// Workloads and namespaces that were chosen; none for all.
    pub chosen: Vec<String>,
    pub unread: u64,
    pub unread_because: Option<String>,
    /// How often lines may be missing: no node had them any more, or the last ones did not come.
    pub gaps: u64,
    /// Pods whose log cannot be read.
    pub failing: usize,
    /// One of them, with the reason.
    pub failing_because: Option<String>,
    /// Why no log can be read, where none can.
    pub fault: Option<Fault>,
}

/// An access log that Egret switched on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct SwitchedOn {
    /// `mesh`, `namespace shop` or `workload shop/cart`.
    pub scope: String,
    pub object: ObjectRef,
    /// When it ends, RFC 3339; it stays until somebody removes it where there is no time.
    pub until: Option<String>,
    pub overdue: bool,
}

/// Whose access logs are on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct AccessLogView {
    /// Workloads there are.
    pub workloads: usize,
    /// Of these, the ones whose sidecars write no access log.
    pub off: usize,
    /// The first of them.
    pub first_off: Vec<String>,
    /// Why that is so, for the first of them.
    pub because: Option<String>,
    /// Whose sidecars write about each flow twice, and why.
    pub twice: Option<String>,
    /// Why it cannot be told, where it cannot.
    pub unknown: Option<Fault>,
    pub switched_on: Vec<SwitchedOn>,
    /// Why one that is due could not be removed, where it could not.
    pub removal: Option<Fault>,
}

/// Where a cluster's flows come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct LogSource {
    pub follow: FollowView,
    pub access_log: AccessLogView,
}
