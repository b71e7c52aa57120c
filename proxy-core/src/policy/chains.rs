//! The TCP chains of a TLS, TCP or sniffed port: from VirtualServices, else the one to the service itself.

use std::sync::Arc;

use ipnet::IpNet;

use super::{
    StreamSettings, Workload, clusters,
    clusters::Clusters,
    hosts,
    listeners::{Chain, ChainMatch, Weighted},
    registry::{Address, RegistryService},
    routes::{WeightedCluster, other_names},
    virtual_services::{Attachments, Visible, stream_fits},
};
use crate::model::{L4Match, L4Route, Port, ProtocolClass};

/// What a service's chains on one port are made from.
pub(super) struct Stream<'s> {
    pub service: &'s RegistryService,
    /// The port as the listener has it, which may be a Sidecar's own.
    pub port: &'s Port,
    /// The listener is that of any address.
    pub on_wildcard: bool,
    /// The listener's address is written, not the service's own.
    pub bound: bool,
    pub attachments: &'s Attachments<'s>,
    pub clusters: &'s Clusters,
    pub workload: &'s Workload,
}

impl Stream<'_> {
    /// The chains, in order.
    pub fn chains(&self) -> Vec<(ChainMatch, Chain)> {
        if self.port.protocol.class() == ProtocolClass::Tls {
            self.tls()
        } else {
            self.tcp()
        }
    }

    /// The service's own ranges, which a chain asks for where the VirtualService names none.
    fn ranges(&self) -> Vec<IpNet> {
        match self.service.address {
            Address::Range(net) if !self.bound => vec![net],
            _ => Vec::new(),
        }
    }

    fn fits(&self, condition: &L4Match) -> bool {
        stream_fits(condition, self.port.number, self.workload)
    }

    fn routed(&self, visible: &Visible<'_>, route: &L4Route) -> Chain {
        let targets = visible.weighted(&route.route, self.clusters, |host| {
            let port = self.clusters.only_port(host).unwrap_or(self.port.number);
            (self.clusters.concrete(host).to_string(), port)
        });
        let target = |target: WeightedCluster| (target.cluster, target.weight);
        // Istio: the rule of the first destination counts for all.
        let first = route.route.first();
        let host = first.map_or_else(String::new, |first| {
            hosts::qualify(&first.host, &visible.object.meta.namespace)
        });
        let only = first.filter(|_| route.route.len() == 1);
        let subset = only.and_then(|only| only.subset.as_deref()).unwrap_or_default();
        Chain::Weighted(Arc::new(Weighted {
            targets: targets.into_iter().map(target).collect(),
            object: visible.reference(route.line),
            stream: self.settings(&host, subset),
        }))
    }

    /// What the DestinationRule of `host` says of streams.
    fn settings(&self, host: &str, subset: &str) -> Option<Box<StreamSettings>> {
        let settings = self.clusters.rule(host)?.stream(subset);
        (settings != StreamSettings::default()).then(|| Box::new(settings))
    }

    /// Istio: each match by name is a chain, an equal one only once; ranges that one match names hold for those after it.
    fn tls(&self) -> Vec<(ChainMatch, Chain)> {
        let mut ranges = self.ranges();
        let (mut chains, mut seen) = (Vec::new(), Vec::new());
        for visible in self.attachments.meeting(&self.service.host) {
            for route in &visible.object.spec.tls {
                for condition in route.matches.iter().filter(|condition| self.fits(condition)) {
                    if !condition.destination_subnets.is_empty() {
                        ranges = condition.destination_subnets.clone();
                    }
                    let same = (&condition.sni_hosts, &condition.destination_subnets);
                    if seen.contains(&same) {
                        continue;
                    }
                    seen.push(same);
                    chains.push((by_name(&condition.sni_hosts, &ranges), self.routed(visible, route)));
                }
            }
        }
        if chains.is_empty() {
            // With a virtual address no name is checked: whatever is sent to it goes to that service.
            let by_address = match self.service.address {
                Address::Any => !self.on_wildcard,
                Address::Ip(_) => true,
                Address::Range(_) => false,
            };
            let names = if ranges.is_empty() && by_address && !self.service.is_dynamic() {
                Vec::new()
            } else {
                self.names()
            };
            chains.push((by_name(&names, &ranges), self.own()));
        }
        chains
    }

    /// Istio: the first route that asks for no range takes everything and ends the list; otherwise the service's own
    /// chain does, unless one for the very same ranges is there.
    fn tcp(&self) -> Vec<(ChainMatch, Chain)> {
        let (own, mut own_is_there) = (self.ranges(), false);
        let mut chains = Vec::new();
        for visible in self.attachments.meeting(&self.service.host) {
            for route in visible.object.spec.tcp.iter().filter(|route| !route.route.is_empty()) {
                let fitting = || route.matches.iter().filter(|condition| self.fits(condition));
                let anywhere = fitting().any(|condition| condition.destination_subnets.is_empty());
                if route.matches.is_empty() || anywhere {
                    chains.push((by_name(&[], &own), self.routed(visible, route)));
                    return chains;
                }
                let ranges: Vec<IpNet> = fitting()
                    .flat_map(|condition| condition.destination_subnets.iter().copied())
                    .collect();
                if !ranges.is_empty() {
                    own_is_there |= ranges == own;
                    chains.push((by_name(&[], &ranges), self.routed(visible, route)));
                }
            }
        }
        if !own_is_there {
            chains.push((by_name(&[], &own), self.own()));
        }
        chains
    }

    /// The service's names: its own, and those of the ExternalName Services that stand for it.
    fn names(&self) -> Vec<Arc<str>> {
        let mut names = vec![self.service.host.clone()];
        for alias in &self.service.aliases {
            names.push(alias.clone());
            let others = other_names(alias, &self.workload.namespace);
            names.extend(others.into_iter().map(Into::into));
        }
        names
    }

    /// The chain to the service itself. Istio: on a Sidecar's own port it leads to the only port that the service has.
    fn own(&self) -> Chain {
        let port = match &*self.service.ports {
            [only] => only.number,
            _ => self.port.number,
        };
        let name = clusters::name(port, "", &self.service.host);
        match (self.clusters.get(&name), self.settings(&self.service.host, "")) {
            (Some(cluster), None) => Chain::Own(cluster.clone()),
            (cluster, stream) => Chain::Weighted(Arc::new(Weighted {
                targets: vec![(cluster.cloned(), 1)],
                object: self.service.object.at(self.port.line),
                stream,
            })),
        }
    }
}

fn by_name(names: &[Arc<str>], ranges: &[IpNet]) -> ChainMatch {
    ChainMatch {
        ranges: ranges.to_vec(),
        names: names.to_vec(),
        http: false,
    }
}
