//! Gateway: a proxy at the mesh's edge, and what it takes.

use std::sync::Arc;

use super::Labels;

/// Spec of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gateway {
    /// `selector`: the pods that serve it, in any namespace; empty selects none.
    pub selector: Labels,
    /// `servers`.
    pub servers: Vec<GatewayServer>,
}

/// One of `servers`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatewayServer {
    /// Line of the entry.
    pub line: u32,
    /// Port it listens on.
    pub port: u16,
    /// Protocol, as written.
    pub protocol: String,
    /// `tls.mode`, as written.
    pub tls_mode: Option<String>,
    /// `namespace/host` patterns, as written.
    pub hosts: Vec<Arc<str>>,
}
