//! Listeners and their filter chains.
//!
//! Envoy: destination address by longest prefix, then server name, then transport and application protocol; each step
//! keeps only the most specific group and never goes back. A dead end leads to the default chain.

use std::{collections::HashSet, sync::Arc};

use ipnet::IpNet;

use super::{
    Claims, Cluster, Facts, HttpVersion, SniffNeeds, StreamSettings,
    hosts::{self, HostMap},
    nets::NetMap,
};
use crate::model::ObjectRef;

/// One listener.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    /// `0.0.0.0_80`, `10.0.0.1_443` or `virtualOutbound`.
    pub name: String,
    pub needs: SniffNeeds,
    /// Mongo and MySQL share a listener with nothing else.
    pub exclusive: bool,
    by_address: Option<NetMap<NameGroup>>,
    any_address: NameGroup,
    /// More has made it than chains that are told apart by name, and that of all HTTP: what it is depends on the order in
    /// which services come.
    pub mixed: bool,
    /// Names that several chains have asked for; the oldest has them.
    contested: HashSet<Arc<str>>,
    /// Where connections go that no chain takes; `None` is the mode's fallback.
    pub default: Option<Chain>,
}

/// Chains by server name. A name comes with TLS alone, and so asks for nothing further.
#[derive(Debug, Clone, Default)]
struct NameGroup {
    by_name: HostMap<Chain>,
    any_name: Leaf,
}

/// Chains by transport and application protocol.
#[derive(Debug, Default, Clone)]
struct Leaf {
    /// Transport `raw_buffer` with HTTP's application protocols.
    http: Option<Chain>,
    /// No further condition.
    any: Option<Chain>,
}

/// What a filter chain does.
#[derive(Debug, Clone)]
pub(super) enum Chain {
    /// HTTP connection manager.
    Http(HttpChain),
    /// tcp_proxy to the cluster of the service that declares it, as of nearly every chain of a large policy.
    Own(Arc<Cluster>),
    /// tcp_proxy to weighted clusters.
    Weighted(Arc<Weighted>),
}

/// An HTTP connection manager.
#[derive(Debug, Clone, Copy)]
pub(super) struct HttpChain {
    /// Its route table.
    pub table: usize,
    /// It makes calls of gRPC-Web into calls of gRPC. Istio: where the service that made it declares `GRPC-Web`, for all that
    /// share it.
    pub grpc_web: bool,
}

/// Where a tcp_proxy leads that does not simply lead to one service's cluster.
#[derive(Debug)]
pub(super) struct Weighted {
    /// `None` where the cluster does not exist.
    pub targets: Vec<(Option<Arc<Cluster>>, u32)>,
    /// What declares the chain.
    pub object: ObjectRef,
    /// How its streams are kept, where something is said of it.
    pub stream: Option<Box<StreamSettings>>,
}

/// What a chain asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct ChainMatch {
    pub ranges: Vec<IpNet>,
    pub names: Vec<Arc<str>>,
    pub http: bool,
}

/// What makes two chains of one listener the same to Istio: order, `*` and the range of everything do not count.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum ChainKey {
    /// One name and nothing else, as nearly every chain of a large policy asks for.
    Name(Arc<str>),
    /// HTTP, names, ranges.
    Other(Box<(bool, Vec<Arc<str>>, Vec<IpNet>)>),
}

impl ChainMatch {
    pub fn key(&self) -> ChainKey {
        let mut names: Vec<_> = self.names.iter().filter(|name| &***name != "*").cloned().collect();
        let mut ranges: Vec<_> = self.ranges().collect();
        names.sort_unstable();
        names.dedup();
        ranges.sort_unstable();
        ranges.dedup();
        match (&*names, &*ranges, self.http) {
            ([only], [], false) => ChainKey::Name(only.clone()),
            _ => ChainKey::Other(Box::new((self.http, names, ranges))),
        }
    }

    /// Told from others by names and nothing else.
    fn is_by_name(&self) -> bool {
        !self.http && self.ranges.is_empty() && !self.names().is_empty()
    }

    /// For whatever HTTP reaches the listener.
    fn is_all_http(&self) -> bool {
        self.http && self.ranges.is_empty() && self.names.is_empty()
    }

    /// The ranges that narrow anything down.
    fn ranges(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.ranges
            .iter()
            .filter(|range| !range.addr().is_unspecified())
            .map(IpNet::trunc)
    }

    /// The names, unless any name will do.
    fn names(&self) -> &[Arc<str>] {
        if self.names.iter().any(|name| &**name == "*") {
            &[]
        } else {
            &self.names
        }
    }
}

/// What the inspectors of a listener say of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub address: std::net::IpAddr,
    /// Transport is TLS.
    pub tls: bool,
    pub name: Option<&'a str>,
    /// HTTP/1.1 or h2c.
    pub http: bool,
}

impl<'a> Seen<'a> {
    /// What the inspectors of `listener` see of what was spoken.
    pub fn of(listener: &Listener, facts: &Facts<'a>) -> Self {
        let (tls, name, http) = match facts.claims {
            Claims::Tls { sni } if listener.needs.tls => (true, sni, false),
            Claims::Http(http) => (false, None, listener.needs.http && http.version != HttpVersion::Http10),
            _ => (false, None, false),
        };
        Self {
            address: facts.destination.ip(),
            tls,
            name,
            http,
        }
    }
}

impl Listener {
    pub fn new(name: String) -> Self {
        Self {
            name,
            needs: SniffNeeds::default(),
            exclusive: false,
            by_address: None,
            any_address: NameGroup::default(),
            mixed: false,
            contested: HashSet::new(),
            default: None,
        }
    }

    /// Adds a chain; where an equal one exists the older stays. A chain without any condition is the default chain.
    pub fn add(&mut self, condition: &ChainMatch, chain: &Chain) {
        self.needs.tls |= !condition.names.is_empty();
        self.needs.http |= condition.http;
        self.mixed |= !condition.is_by_name() && !condition.is_all_http();
        self.mixed |= matches!(chain, Chain::Http(http) if http.grpc_web);
        if condition.ranges.is_empty() && condition.names().is_empty() && !condition.http {
            self.default = Some(chain.clone());
            return;
        }
        let mut anywhere = true;
        for range in condition.ranges() {
            anywhere = false;
            let nets = self.by_address.get_or_insert_default();
            nets.entry(range, NameGroup::default).add(condition, chain);
        }
        if anywhere {
            let refused = self.any_address.add(condition, chain);
            self.contest(&refused);
        }
    }

    /// Notes that a chain was left out, since an older one asks for the same.
    pub fn left_out(&mut self, condition: &ChainMatch) {
        self.mixed |= !condition.is_by_name();
        self.contest(&condition.names);
    }

    /// Notes that others have asked for these names too. Chains are found by them in lower case.
    fn contest(&mut self, names: &[Arc<str>]) {
        self.contested.extend(names.iter().map(hosts::shared_lower_case));
    }

    /// The same listener with the names of `new` in the place of those of `old`, which are parts of what makes it, before
    /// a change and after it. `None` where names do not say all.
    pub fn patched(&self, old: Option<&Self>, new: Option<&Self>) -> Option<Self> {
        let empty = Self::new(String::new());
        let (old, new) = (old.unwrap_or(&empty), new.unwrap_or(&empty));
        let plain = [self, old, new]
            .iter()
            .all(|listener| !listener.mixed && !listener.exclusive);
        let (own, old_names, new_names) = (&self.any_address, &old.any_address.by_name, &new.any_address.by_name);
        let mut names = old_names.names()?.chain(new_names.names()?);
        let is_free = !names.any(|name| self.contested.contains(name));
        // It has a chain for HTTP by then, and asks for names by then: both are for the whole listener.
        let has_http = own.any_name.http.is_some() || new.any_address.any_name.http.is_none();
        if !(plain && is_free && has_http) {
            return None;
        }
        let mut patched = self.clone();
        patched.any_address.by_name.replace(old_names, new_names)?;
        patched.contested.extend(new.contested.iter().cloned());
        (patched.any_address.by_name.is_empty() == own.by_name.is_empty()).then_some(patched)
    }

    /// The same without what is only kept for the next change.
    #[cfg(test)]
    pub fn as_decided(&self) -> Self {
        Self {
            contested: HashSet::new(),
            ..self.clone()
        }
    }

    /// The chain for a connection; `None` leads to the default chain.
    pub fn chain(&self, seen: &Seen<'_>) -> Option<&Chain> {
        let group = self
            .by_address
            .as_ref()
            .and_then(|nets| nets.get(seen.address))
            .unwrap_or(&self.any_address);
        if let Some(chain) = seen.name.and_then(|name| group.by_name.for_server_name(name)) {
            return Some(chain);
        }
        match &group.any_name.http {
            // The group of transport raw_buffer holds only HTTP: anything else in it is a dead end.
            Some(http) if !seen.tls => seen.http.then_some(http),
            _ => group.any_name.any.as_ref(),
        }
    }
}

impl NameGroup {
    /// Adds a chain; gives the names that another one has. A second chain for one name is a conflict, and the older stays.
    fn add(&mut self, condition: &ChainMatch, chain: &Chain) -> Vec<Arc<str>> {
        if condition.names().is_empty() {
            self.any_name.add(condition.http, chain);
        }
        let refused = |name: &&Arc<str>| !self.by_name.insert((*name).clone(), chain.clone());
        condition.names().iter().filter(refused).cloned().collect()
    }
}

impl Leaf {
    fn add(&mut self, http: bool, chain: &Chain) {
        let slot = if http { &mut self.http } else { &mut self.any };
        slot.get_or_insert_with(|| chain.clone());
    }
}
