//! Sidecar: what a namespace or workload may see, and its own outbound mode.

use std::net::{IpAddr, Ipv4Addr};

use super::{Labels, OutboundMode, Protocol, RouteDestination};

/// Spec of a Sidecar, egress part.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sidecar {
    /// `workloadSelector.labels`; `Some(empty)` counts as a selector that matches every pod.
    pub workload_selector: Option<Labels>,
    /// Egress listeners; empty is one `*/*`.
    pub egress: Vec<EgressListener>,
    /// `outboundTrafficPolicy`; a present but empty one is REGISTRY_ONLY, absent takes the mesh's.
    pub mode: Option<OutboundMode>,
    /// Line of the policy, 0 when absent.
    pub mode_line: u32,
    /// The policy is written without a mode, which means REGISTRY_ONLY.
    pub mode_is_implied: bool,
    /// `outboundTrafficPolicy.egressProxy`: where unknown traffic is sent instead of its own address.
    pub egress_proxy: Option<RouteDestination>,
    /// It says something of inbound traffic, which is not read.
    pub has_inbound: bool,
}

/// One `egress[]` entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EgressListener {
    /// Line of the entry.
    pub line: u32,
    /// `namespace/dnsName` patterns.
    pub hosts: Vec<String>,
    /// Port and protocol; absent is the catch-all.
    pub port: Option<(u16, Protocol)>,
    /// Name of the port.
    pub port_name: String,
    /// Bind address.
    pub bind: Option<String>,
    /// `captureMode`.
    pub capture: CaptureMode,
}

impl EgressListener {
    /// The address that it is written for; one that callers connect to is at the loopback where none is written.
    pub fn address(&self) -> Option<IpAddr> {
        let written = self.bind.as_deref().filter(|bind| !bind.is_empty());
        match written {
            Some(bind) => bind.parse().ok(),
            None => (self.capture == CaptureMode::None).then_some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        }
    }
}

/// How traffic comes to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CaptureMode {
    /// As the sidecar is set up.
    #[default]
    Default,
    /// It is captured.
    Iptables,
    /// Callers connect to it.
    None,
}
