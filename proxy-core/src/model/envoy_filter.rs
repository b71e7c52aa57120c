//! EnvoyFilter, as far as it makes proxies write access logs.

use super::{Labels, LogFormat, Object};

/// The access logs that an EnvoyFilter adds; those without any are not kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EnvoyFilter {
    /// `workloadSelector.labels`; empty for all pods of its namespace, or of the mesh where it is in the root namespace.
    pub selector: Labels,
    /// It is for gateways or waypoints by name (`targetRefs`), and so for no sidecar.
    pub targeted: bool,
    /// In the order of the patches.
    pub logs: Vec<FilterLog>,
}

/// One access log that a patch adds.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterLog {
    /// Line of the entry.
    pub line: u32,
    /// The patch's `match.context`.
    pub context: FilterContext,
    /// What it tells of.
    pub of: LoggedTraffic,
    /// The file that it is written to; `None` where it goes to a service instead.
    pub file: Option<String>,
    /// Its format, or why that is not known.
    pub format: Result<LogFormat, String>,
    /// Only lines that fit a condition are written.
    pub filtered: bool,
}

/// Which proxies and directions a patch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterContext {
    /// All of them.
    Any,
    /// What leaves through sidecars.
    Outbound,
    /// What comes in through sidecars.
    Inbound,
    /// Gateways.
    Gateway,
}

/// What an access log tells of, by the filter that it is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoggedTraffic {
    /// Requests: the HTTP connection manager.
    Http,
    /// Connections that are passed on as bytes: the TCP proxy.
    Tcp,
    /// Connections as a listener sees them.
    Listener,
}

impl Object<EnvoyFilter> {
    /// Whether it holds for pods with `labels` in `namespace`; the mesh's root namespace is `root`.
    pub fn selects(&self, root: &str, namespace: &str, labels: &Labels) -> bool {
        let own = &*self.meta.namespace;
        let selector = &self.spec.selector;
        !self.spec.targeted
            && (own == root || own == namespace)
            && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}
