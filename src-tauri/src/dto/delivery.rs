//! The sidecar's image on its way to the nodes: the ways that there are, and how one stands.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::fault::Fault;

/// How it gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryWay {
    Kind,
    Minikube,
    K3d,
    /// Into the containerd of k3s on this computer.
    K3s,
    /// Into the containerd of this computer.
    Containerd,
    /// Pushed, for the nodes to fetch.
    Registry,
}

/// A way into the cluster that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct DeliveryChoice {
    pub way: DeliveryWay,
    pub title: String,
    /// Where it brings the image.
    pub text: String,
    /// The same by hand.
    pub command: String,
    /// Why it cannot be gone on this computer.
    pub refused: Option<String>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryPhase {
    #[default]
    None,
    Running,
    Done,
    Failed,
}

/// How a delivery stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
pub struct DeliveryState {
    pub phase: DeliveryPhase,
    pub way: Option<DeliveryWay>,
    /// What is being done.
    pub text: String,
    /// Bytes that a registry has; both 0 where they are not counted.
    pub sent: u64,
    pub total: u64,
    /// What the tool said.
    pub log: Vec<String>,
    /// The name by which pods find the image, once it is there.
    pub image: Option<String>,
    pub fault: Option<Fault>,
}
