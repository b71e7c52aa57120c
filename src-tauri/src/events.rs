//! What the windows are told. Events name what changed and carry little: a window asks for what it shows.

use std::{fmt, sync::Arc};

use serde_json::Value;

use crate::dto::{
    CommandEvent, Connecting, DeliveryState, DeployState, FlowsAdded, ProbeStep, SandboxState, SourceState, StagedEdit,
};

/// One event.
#[derive(Debug, Clone)]
pub enum Event {
    SourceChanged(Box<SourceState>),
    StagedChanged(Vec<StagedEdit>),
    SandboxChanged(Box<SandboxState>),
    FlowsAdded(FlowsAdded),
    JournalChanged,
    ConnectingChanged(Option<Connecting>),
    PodsChanged,
    SyncChanged,
    LogsChanged,
    CommandOutput(CommandEvent),
    ProbeChanged(ProbeStep),
    DeployChanged(Box<DeployState>),
    DeliveryChanged(Box<DeliveryState>),
}

impl Event {
    /// Name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SourceChanged(_) => "source-changed",
            Self::StagedChanged(_) => "staged-changed",
            Self::SandboxChanged(_) => "sandbox-changed",
            Self::FlowsAdded(_) => "flows-added",
            Self::JournalChanged => "journal-changed",
            Self::ConnectingChanged(_) => "connecting-changed",
            Self::PodsChanged => "pods-changed",
            Self::SyncChanged => "sync-changed",
            Self::LogsChanged => "logs-changed",
            Self::CommandOutput(_) => "command-output",
            Self::ProbeChanged(_) => "probe-changed",
            Self::DeployChanged(_) => "deploy-changed",
            Self::DeliveryChanged(_) => "delivery-changed",
        }
    }

    /// What it carries.
    pub fn payload(&self) -> Value {
        let value = match self {
            Self::SourceChanged(state) => serde_json::to_value(state),
            Self::StagedChanged(edits) => serde_json::to_value(edits),
            Self::SandboxChanged(state) => serde_json::to_value(state),
            Self::FlowsAdded(added) => serde_json::to_value(added),
            Self::CommandOutput(event) => serde_json::to_value(event),
            Self::ProbeChanged(step) => serde_json::to_value(step),
            Self::DeployChanged(state) => serde_json::to_value(state),
            Self::DeliveryChanged(state) => serde_json::to_value(state),
            Self::ConnectingChanged(connecting) => serde_json::to_value(connecting),
            Self::JournalChanged | Self::LogsChanged | Self::PodsChanged | Self::SyncChanged => Ok(Value::Null),
        };
        value.expect("these are plain structs with text keys")
    }
}

/// Where events go: the windows, or a test.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    pub fn new(send: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(send))
    }

    pub fn send(&self, event: Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
