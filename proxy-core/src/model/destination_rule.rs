//! DestinationRule, as far as this engine acts on it: which host it is for and whether it originates TLS.

use std::{sync::Arc, time::Duration};

/// Spec of a DestinationRule.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DestinationRule {
    /// Host as written.
    pub host: Arc<str>,
    /// `exportTo`; empty means the mesh's default.
    pub export_to: Vec<String>,
    /// Top-level policy.
    pub policy: TrafficPolicy,
    /// Policies by port; they replace the top-level one entirely.
    pub port_policies: Vec<(u16, TrafficPolicy)>,
    /// Names of the subsets.
    pub subsets: Vec<Arc<str>>,
}

/// A traffic policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrafficPolicy {
    /// TLS mode as written (`DISABLE`, `SIMPLE`, `MUTUAL`, `ISTIO_MUTUAL`).
    pub tls_mode: Option<String>,
    /// Explicit SNI.
    pub sni: Option<String>,
    /// `connectionPool.tcp.connectTimeout`.
    pub connect_timeout: Option<Duration>,
}
