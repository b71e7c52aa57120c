//! What a DestinationRule says of the routes and the streams to a host, rather than of its clusters. Istio puts these on
//! routes and filter chains, by rules of their own about ports and subsets.

use std::{sync::Arc, time::Duration};

use super::rules::Rule;
use crate::model::{ConsistentHash, HashKey, PolicySet, Subset, TrafficPolicy};

/// How a stream is kept, where a rule says something of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamSettings {
    /// A stream on which nothing passes for so long ends; zero is never.
    pub idle_timeout: Option<Duration>,
    /// No stream lasts longer.
    pub max_duration: Option<Duration>,
    /// The caller's address chooses the endpoint.
    pub by_source: bool,
    /// The endpoint is a proxy, which is asked for the way.
    pub tunnel: Option<StreamTunnel>,
}

/// What a proxy is asked for, for a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamTunnel {
    /// Host and port.
    pub target: Arc<str>,
    /// It is asked by POST, which the sidecar does not; else by CONNECT.
    pub by_post: bool,
}

impl StreamTunnel {
    fn of(set: Option<&PolicySet>) -> Option<Self> {
        let tunnel = set?.policy.tunnel.as_ref()?;
        let target = match tunnel.host.contains(':') {
            true => format!("[{}]:{}", tunnel.host, tunnel.port),
            false => format!("{}:{}", tunnel.host, tunnel.port),
        };
        Some(Self {
            target: target.into(),
            by_post: tunnel.protocol == "POST",
        })
    }
}

/// What holds for one host.
#[derive(Debug)]
pub(super) struct HostRule {
    whole: Hashes,
    subsets: Vec<(Arc<str>, Hashes, bool)>,
    /// Of the whole, under an empty name, and of subsets.
    tunnels: Vec<(Arc<str>, StreamTunnel)>,
    idle_timeout: Option<Duration>,
    max_duration: Option<Duration>,
}

/// Hashes of a policy and of its ports.
#[derive(Debug, Default)]
struct Hashes {
    all: Option<ConsistentHash>,
    ports: Vec<(u16, Option<ConsistentHash>)>,
}

impl Hashes {
    fn of(set: Option<&PolicySet>) -> Self {
        let Some(set) = set else { return Self::default() };
        let hash = |policy: &TrafficPolicy| policy.load_balancer.as_ref()?.consistent_hash.clone();
        Self {
            all: hash(&set.policy),
            ports: set.ports.iter().map(|(port, policy)| (*port, hash(policy))).collect(),
        }
    }

    fn of_port(&self, port: u16) -> Option<&ConsistentHash> {
        let own = self.ports.iter().find(|(number, _)| *number == port);
        own.and_then(|(_, hash)| hash.as_ref())
    }

    fn says_something(&self) -> bool {
        self.all.is_some() || self.ports.iter().any(|(_, hash)| hash.is_some())
    }
}

impl HostRule {
    /// What `rule` says; `None` where that is nothing.
    pub fn of(rule: &Rule<'_>) -> Option<Self> {
        let pool = rule.policy.and_then(|set| set.policy.connection_pool.as_ref());
        let subsets = rule.subsets.iter().map(|subset| {
            let balancer = subset.policy.as_ref().and_then(|set| set.policy.load_balancer.as_ref());
            (
                subset.name.clone(),
                Hashes::of(subset.policy.as_ref()),
                balancer.is_some(),
            )
        });
        let whole = [("".into(), StreamTunnel::of(rule.policy))];
        let own = |subset: &Subset| (subset.name.clone(), StreamTunnel::of(subset.policy.as_ref()));
        let tunnels = whole.into_iter().chain(rule.subsets.iter().copied().map(own));
        let made = Self {
            tunnels: tunnels.filter_map(|(name, tunnel)| Some((name, tunnel?))).collect(),
            whole: Hashes::of(rule.policy),
            subsets: subsets.collect(),
            idle_timeout: pool.and_then(|pool| pool.idle_timeout),
            max_duration: pool.and_then(|pool| pool.max_connection_duration),
        };
        let says_something = made.whole.says_something()
            || made.subsets.iter().any(|(_, hashes, _)| hashes.says_something())
            || !made.tunnels.is_empty()
            || made.idle_timeout.is_some()
            || made.max_duration.is_some();
        says_something.then_some(made)
    }

    /// What is hashed on the route that no VirtualService makes. Istio: `hashForService`.
    pub fn of_service(&self, port: u16) -> Option<&HashKey> {
        let hash = self.whole.of_port(port).or(self.whole.all.as_ref());
        hash.and_then(|hash| hash.key.as_ref())
    }

    /// The hash on a route of a VirtualService: a port's counts only where the destination names the port. Istio:
    /// `HashForHTTPDestination`.
    pub fn of_destination(&self, port: Option<u16>, subset: &str) -> Option<&ConsistentHash> {
        let own = self
            .subsets
            .iter()
            .find(|(name, ..)| **name == *subset)
            .map(|(_, hashes, _)| hashes);
        own.and_then(|hashes| hashes.of_port(port?))
            .or_else(|| own.and_then(|hashes| hashes.all.as_ref()))
            .or_else(|| self.whole.of_port(port?))
            .or(self.whole.all.as_ref())
    }

    /// How streams to a subset are kept. Istio: `buildOutboundNetworkFiltersWithSingleDestination`, which asks neither ports
    /// nor subsets for more than the hash; and `tunnelingconfig`, where a subset has nothing of the whole.
    pub fn stream(&self, subset: &str) -> StreamSettings {
        let whole = self.whole.all.as_ref();
        let own = self.subsets.iter().find(|(name, ..)| **name == *subset);
        let hash = match own {
            Some((_, hashes, true)) => hashes.all.as_ref(),
            _ => whole,
        };
        let tunnel = self.tunnels.iter().find(|(name, _)| **name == *subset);
        StreamSettings {
            tunnel: tunnel.map(|(_, tunnel)| tunnel.clone()),
            idle_timeout: self.idle_timeout,
            max_duration: self.max_duration,
            by_source: hash.is_some_and(|hash| hash.key == Some(HashKey::SourceIp(true))),
        }
    }
}
