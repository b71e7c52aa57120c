//! The hosts that an edit touches, and the part of a world that decides about them.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use super::{edits::Edits, hosts, registry};
use crate::model::{Object, Port, VirtualService, World};

/// Where more hosts are touched than this, the whole policy is compiled as fast.
const MOST_HOSTS: usize = 5_000;

/// Hosts, in lower case, whose listeners, routes and clusters depend on what was edited and on nothing else's.
pub(super) struct Region {
    hosts: HashSet<String>,
    /// Other hosts that their routes lead to.
    destinations: HashSet<String>,
}

impl Region {
    /// The hosts that `edits` touch: those of the objects that changed, and those that are routed together with them or to
    /// them. `None` where an edit may reach further than names tell: wildcards, routes that are supplied to others, names
    /// that stand for others.
    pub fn of(edits: &Edits<'_>, now: &World) -> Option<Self> {
        if now.services.iter().any(|service| service.spec.external_name.is_some()) {
            return None;
        }
        let mut hosts = HashSet::new();
        for entry in &edits.service_entries.changed {
            hosts.extend(entry.spec.hosts.iter().map(|host| hosts::lower_case(host)));
        }
        for rule in &edits.destination_rules.changed {
            hosts.insert(qualified(&rule.spec.host, &rule.meta.namespace));
        }
        for service in &edits.virtual_services.changed {
            // One without hosts supplies its routes to others.
            if service.spec.hosts.is_empty() {
                return None;
            }
            hosts.extend(own_hosts(service));
        }
        let mut region = Self {
            hosts,
            destinations: HashSet::new(),
        };
        let routed = region.grow(edits);
        (region.is_plain() && region.is_alone(edits, &routed)).then_some(())?;
        for service in routed {
            region.destinations.extend(named_destinations(service));
        }
        region.destinations.retain(|host| !region.hosts.contains(host));
        Some(region)
    }

    /// Takes in the hosts of each VirtualService that is for one of the hosts or leads to one; gives those services.
    fn grow<'w>(&mut self, edits: &Edits<'w>) -> Vec<&'w Object<VirtualService>> {
        let mut left: Vec<_> = edits
            .virtual_services
            .all()
            .map(|service| (service, own_hosts(service), named_destinations(service)))
            .collect();
        let mut routed = Vec::new();
        loop {
            let before = routed.len();
            left.retain(|(service, own, destinations)| {
                let met = own.iter().chain(destinations).any(|host| self.hosts.contains(host));
                if met {
                    self.hosts.extend(own.iter().cloned());
                    routed.push(&***service);
                }
                !met
            });
            if routed.len() == before {
                return routed;
            }
        }
    }

    /// No name in it is found by anything but itself.
    fn is_plain(&self) -> bool {
        // A trailing dot, and the short names of a Service, are other names of the same.
        let plain = |host: &String| {
            !host.is_empty() && !host.contains('*') && !host.ends_with('.') && !registry::is_of_kubernetes(host)
        };
        self.hosts.len() <= MOST_HOSTS && self.hosts.iter().all(plain)
    }

    /// No wildcard and no other object's routes have a say in it.
    fn is_alone(&self, edits: &Edits<'_>, routed: &[&Object<VirtualService>]) -> bool {
        let overlaps = |pattern: &String| self.hosts.iter().any(|host| hosts::overlap(pattern, host));
        let is_wildcard = |host: &String| host.starts_with('*');
        let services = edits.virtual_services.all();
        if services
            .flat_map(|service| own_hosts(service))
            .filter(is_wildcard)
            .any(|host| overlaps(&host))
        {
            return false;
        }
        // Of supplied routes neither side says whose they are: not who supplies them, which has no hosts, and not who
        // takes them, which has no destinations.
        let is_supplied = |service: &&Object<VirtualService>| {
            service.spec.hosts.is_empty() || service.spec.http.iter().any(|route| route.delegate.is_some())
        };
        if routed.iter().any(is_supplied) {
            return false;
        }
        // Of a port that is declared twice, a listener may have one half and a route table the other.
        let mut entries = edits.service_entries.all();
        if entries.any(|entry| entry.spec.hosts.iter().any(|host| self.has(host)) && declares_twice(&entry.spec.ports))
        {
            return false;
        }
        // Streams to a wildcard's service are routed by each VirtualService that meets it.
        let streams = routed
            .iter()
            .any(|service| !service.spec.tls.is_empty() || !service.spec.tcp.is_empty());
        let mut declared = edits.service_entries.all().flat_map(|entry| entry.spec.hosts.iter());
        !(streams && declared.any(|host| host.starts_with('*') && overlaps(&hosts::lower_case(host))))
    }

    /// Whether `host`, in whatever case, is one of those that are made anew.
    pub fn has(&self, host: &str) -> bool {
        self.hosts.contains(&*lower(host))
    }

    /// What decides about the region, before the edit and after it.
    pub fn worlds(&self, edits: &Edits<'_>, now: &World) -> [World; 2] {
        let is_near = |host: &str| {
            let host = lower(host);
            self.hosts.contains(&*host) || self.destinations.contains(&*host)
        };
        let entries = edits
            .service_entries
            .wanted(|entry| entry.spec.hosts.iter().any(|host| is_near(host)));
        let routes = edits
            .virtual_services
            .wanted(|service| own_hosts(service).iter().any(|host| self.hosts.contains(host)));
        let rules = edits.destination_rules.wanted(|rule| {
            let host = qualified(&rule.spec.host, &rule.meta.namespace);
            host.starts_with('*') || is_near(&host)
        });
        let of_kubernetes = |service: &&Arc<Object<crate::model::Service>>| {
            is_near(&format!(
                "{}.{}.svc.cluster.local",
                service.meta.name, service.meta.namespace
            ))
        };
        let services: Vec<_> = now.services.iter().filter(of_kubernetes).cloned().collect();
        let [was, now_] = [0, 1].map(|at| World {
            service_entries: entries[at].clone(),
            virtual_services: routes[at].clone(),
            destination_rules: rules[at].clone(),
            services: services.clone(),
            mesh_configs: now.mesh_configs.clone(),
            tags: now.tags.clone(),
            namespaces: now.namespaces.clone(),
            sidecars: now.sidecars.clone(),
            version: now.version,
            ..World::default()
        });
        [was, now_]
    }
}

fn declares_twice(ports: &[Port]) -> bool {
    let is_earlier = |at: usize| ports[..at].iter().any(|port| port.number == ports[at].number);
    (1..ports.len()).any(is_earlier)
}

fn lower(host: &str) -> Cow<'_, str> {
    match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => hosts::lower_case(host).into(),
        false => host.into(),
    }
}

fn qualified(host: &str, namespace: &str) -> String {
    hosts::lower_case(&hosts::qualify(host, namespace))
}

fn own_hosts(service: &Object<VirtualService>) -> Vec<String> {
    let hosts = service.spec.hosts.iter();
    hosts.map(|host| qualified(host, &service.meta.namespace)).collect()
}

/// All hosts that routes of a VirtualService lead to, and those that get copies.
fn named_destinations(service: &Object<VirtualService>) -> BTreeSet<String> {
    let spec = &service.spec;
    let http = spec.http.iter().flat_map(|route| {
        let mirrors = route.mirrors.iter().map(|mirror| &mirror.destination);
        route.route.iter().chain(route.mirror.as_deref()).chain(mirrors)
    });
    let streams = spec.tls.iter().chain(&spec.tcp).flat_map(|route| &route.route);
    let named = http
        .chain(streams)
        .map(|destination| qualified(&destination.host, &service.meta.namespace));
    named.collect()
}
