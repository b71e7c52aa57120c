//! The compiled policy of one workload.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
};

use super::{
    Capture, Cluster, Facts, Forward, SniffNeeds, Workload,
    clusters::Clusters,
    compile::RESERVED_PORTS,
    listeners::{Listener, Seen},
    routes::RouteTable,
    visibility::Mode,
};
use crate::model::EgressListener;

/// An immutable, compiled policy: listeners, filter chains, virtual hosts, routes and clusters of one workload.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) hash: String,
    pub(super) workload: Workload,
    pub(super) capture: Capture,
    pub(super) mode: Mode,
    pub(super) passthrough: Arc<Cluster>,
    /// Where unknown traffic goes that is let through: to its own address, or to the proxy that a Sidecar names, which
    /// may have no cluster.
    pub(super) unknown: Option<Arc<Cluster>>,
    pub(super) dynamic_dns: Arc<Cluster>,
    pub(super) clusters: Clusters,
    /// Listeners of virtual addresses.
    pub(super) exact: HashMap<SocketAddr, Listener>,
    /// Listeners of the wildcard address, by port.
    pub(super) wildcard: HashMap<u16, Listener>,
    /// What takes everything else: `virtualOutbound`.
    pub(super) fallback: Listener,
    pub(super) tables: Vec<RouteTable>,
    /// Hosts, in lower case, with virtual addresses of their own: nothing but HTTP is found by their names elsewhere.
    pub(super) addressed: HashSet<String>,
    /// What the workload's Sidecar imports.
    pub(super) egress: Vec<EgressListener>,
}

impl Snapshot {
    /// What the listener for `destination` must know of the first bytes before `decide` can answer.
    pub fn sniff_needs(&self, destination: SocketAddr) -> SniffNeeds {
        self.listener(destination).needs
    }

    /// True where nothing declares the port of `destination`: no inspector runs there.
    pub fn undeclared(&self, destination: SocketAddr) -> bool {
        std::ptr::eq(self.listener(destination), &self.fallback)
    }

    /// To the destination as it was asked for, past all policy.
    pub fn as_asked(&self) -> Forward<'_> {
        Forward::plain(&self.passthrough)
    }

    /// Who calls.
    pub fn workload(&self) -> &Workload {
        &self.workload
    }

    /// What is captured at all.
    pub fn capture(&self) -> &Capture {
        &self.capture
    }

    /// The outbound mode that holds, and where it is written.
    pub fn mode(&self) -> &Mode {
        &self.mode
    }

    /// All clusters but the special ones.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.clusters.values()
    }

    /// Hash of everything it was made from, 16 hexadecimal digits.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// True where a new entry's chain by name would be consulted for `destination`: no listener of that very address
    /// stands before the wildcard one, and no chain for a range that holds it hides the others.
    pub(super) fn takes_names(&self, destination: SocketAddr) -> bool {
        !self.exact.contains_key(&destination)
            && !RESERVED_PORTS.contains(&destination.port())
            && self
                .wildcard
                .get(&destination.port())
                .is_none_or(|listener| !listener.exclusive && !listener.has_range(destination.ip()))
    }

    /// True where a new entry for this very address would take the connection: nothing listens on it, or what does has
    /// neither a chain for it nor a default one.
    pub(super) fn takes_streams(&self, facts: &Facts<'_>) -> bool {
        self.exact.get(&facts.destination).is_none_or(|listener| {
            !listener.exclusive && listener.default.is_none() && listener.chain(&Seen::of(listener, facts)).is_none()
        })
    }

    pub(super) fn listener(&self, destination: SocketAddr) -> &Listener {
        self.exact
            .get(&destination)
            .or_else(|| self.wildcard.get(&destination.port()))
            .unwrap_or(&self.fallback)
    }
}
