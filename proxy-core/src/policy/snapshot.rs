//! The compiled policy of one workload.

use std::{
    borrow::Cow,
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use super::{
    Action, Capture, Cluster, Decision, DnsNames, Forward, Layer, SniffNeeds, Verdict, Workload, listeners::Listener,
    names::NameMap, paths, routes::RouteTable, visibility::Mode,
};

use crate::model::{IstioVersion, PathNormalization};

/// An immutable, compiled policy: listeners, filter chains, virtual hosts, routes and clusters of one workload.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) hash: String,
    pub(super) workload: Workload,
    /// The release of Istio that it decides as.
    pub(super) version: IstioVersion,
    pub(super) capture: Capture,
    /// Where a Sidecar's listeners are sockets of their own (`captureMode: NONE`).
    pub(super) sockets: Box<[SocketAddr]>,
    pub(super) mode: Mode,
    /// What becomes of the paths of requests.
    pub(super) path_normalization: PathNormalization,
    pub(super) passthrough: Arc<Cluster>,
    /// Where unknown traffic goes that is let through: to its own address, or to the proxy that a Sidecar names, which
    /// may have no cluster.
    pub(super) unknown: Option<Arc<Cluster>>,
    pub(super) dynamic_dns: Arc<Cluster>,
    pub(super) clusters: NameMap<Arc<Cluster>>,
    /// Listeners of virtual addresses.
    pub(super) exact: Arc<HashMap<SocketAddr, Listener>>,
    /// Listeners of the wildcard address, by port.
    pub(super) wildcard: HashMap<u16, Arc<Listener>>,
    /// What takes everything else: `virtualOutbound`.
    pub(super) fallback: Listener,
    pub(super) tables: Vec<Arc<RouteTable>>,
    /// Where the workload's DNS is captured.
    pub(super) dns_names: Option<DnsNames>,
}

impl Snapshot {
    /// What the listener for `destination` must know of the first bytes before `decide` can answer.
    pub fn sniff_needs(&self, destination: SocketAddr) -> SniffNeeds {
        self.listener(destination).needs
    }

    /// Where a Sidecar wants to listen by itself (`captureMode: NONE`), rather than have traffic captured.
    pub fn sockets(&self) -> &[SocketAddr] {
        &self.sockets
    }

    /// The destination that a connection to one of these sockets is decided by; `None` where there is no such socket. One
    /// that listens everywhere is called at the loopback: its own address is nobody's.
    pub fn listened(&self, called: SocketAddr) -> Option<SocketAddr> {
        if self.sockets.contains(&called) {
            return Some(called);
        }
        let everywhere = |socket: &&SocketAddr| socket.ip().is_unspecified() && socket.port() == called.port();
        self.sockets.iter().find(everywhere).map(|socket| match socket {
            SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST, called.port()).into(),
            SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST, called.port()).into(),
        })
    }

    /// True where a Sidecar's listener is a socket at `destination`: it is called, and nothing has to capture that.
    pub(crate) fn opens(&self, destination: SocketAddr) -> bool {
        let is_called = |called: SocketAddr| self.listened(called) == Some(destination);
        !self.sockets.is_empty() && is_called(destination)
    }

    /// The path of a request, with its query, as routes see it and as it is sent: what `decide` is asked with.
    pub fn normalised<'p>(&self, path: &'p str) -> Cow<'p, str> {
        paths::normalised(self.path_normalization, path)
    }

    /// True where nothing declares the port of `destination`: no inspector runs there.
    pub fn undeclared(&self, destination: SocketAddr) -> bool {
        std::ptr::eq(self.listener(destination), &self.fallback)
    }

    /// To the destination as it was asked for, past all policy.
    pub fn as_asked(&self) -> Forward<'_> {
        Forward::plain(&self.passthrough)
    }

    /// What becomes of a decision where policy is watched and not enforced: everything passes to its own address, as under
    /// ALLOW_ANY, with nothing done to it on the way. What is not captured stays that.
    pub fn let_through<'s>(&'s self, decision: &Decision<'s>) -> Decision<'s> {
        if let Action::Bypass = decision.action {
            return *decision;
        }
        Decision {
            verdict: Verdict::Passthrough,
            virtual_host: None,
            route: (decision.layer == Layer::Http).then_some("allow_any"),
            action: Action::Forward(self.as_asked()),
            treatment: None,
            grpc_web: false,
            ..*decision
        }
    }

    /// The release of Istio that it decides as.
    pub fn version(&self) -> IstioVersion {
        self.version
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

    /// The names that the sidecar answers itself; `None` where it does not capture DNS.
    pub fn dns_names(&self) -> Option<&DnsNames> {
        self.dns_names.as_ref()
    }

    /// All clusters but the special ones.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.clusters.iter()
    }

    /// True where a cluster has this name, but for the special ones.
    pub fn has_cluster(&self, name: &str) -> bool {
        self.clusters.get(name).is_some()
    }

    /// Hash of everything it was made from, 16 hexadecimal digits.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    pub(super) fn listener(&self, destination: SocketAddr) -> &Listener {
        self.exact
            .get(&destination)
            .or_else(|| self.wildcard.get(&destination.port()).map(|listener| &**listener))
            .unwrap_or(&self.fallback)
    }
}
