//! Endpoints of entries that declare the same host in the same namespace, which Istio keeps together.

use std::collections::{HashMap, HashSet};

use super::registry::{self, RegistryService};
use crate::model::{Labels, Object, Port, Resolution, ServiceEntry, World};

/// Entries by host and namespace, the older first.
pub(super) struct SharedEndpoints<'w>(HashMap<(&'w str, &'w str), Vec<&'w Object<ServiceEntry>>>);

/// What an endpoint's port must have in common with a service's.
#[derive(Debug, Clone, Copy)]
pub(super) enum SamePort<'p> {
    /// Its name: endpoints that Istio sends apart.
    Name(&'p str),
    /// Its number: endpoints that are part of a cluster.
    Number(u16),
}

impl<'w> SharedEndpoints<'w> {
    /// Those of the hosts of `services`; others are never asked for.
    pub fn new(world: &'w World, services: &[RegistryService]) -> Self {
        let wanted: HashSet<&str> = services.iter().map(|service| &*service.host).collect();
        let mut by_host: HashMap<_, Vec<_>> = HashMap::new();
        for entry in &world.service_entries {
            for host in entry.spec.hosts.iter().filter(|host| wanted.contains(&***host)) {
                let key = (&**host, &*entry.meta.namespace);
                by_host.entry(key).or_default().push(&**entry);
            }
        }
        for entries in by_host.values_mut().filter(|entries| entries.len() > 1) {
            entries.sort_by_key(|entry| registry::age(entry, &entry.meta.name));
        }
        Self(by_host)
    }

    /// Addresses or names with their port, of the endpoints of `service` with `labels`.
    pub fn of<'s>(
        &'s self,
        service: &'s RegistryService,
        port: SamePort<'s>,
        labels: Option<&'s Labels>,
    ) -> impl Iterator<Item = (&'s str, u16)> {
        let entries = self.0.get(&(&*service.host, &*service.namespace));
        let entries: &[&Object<ServiceEntry>] = entries.map(Vec::as_slice).unwrap_or_default();
        entries.iter().enumerate().flat_map(move |(index, entry)| {
            let own = entry.spec.ports.iter().find(|own| match port {
                SamePort::Name(name) => own.name == name,
                SamePort::Number(number) => own.number == number,
            });
            // Istio: one that has a single endpoint at a time has none where an older entry has.
            let single = entry.spec.resolution == Resolution::DnsRoundRobin;
            let own = own.filter(|own| {
                let has = |older: &&Object<ServiceEntry>| has_endpoints(&older.spec, own.number);
                !(single && entries[..index].iter().any(has))
            });
            own.into_iter()
                .flat_map(move |own| of_port(&entry.spec, &service.host, own, labels))
        })
    }
}

fn has_endpoints(entry: &ServiceEntry, port: u16) -> bool {
    (is_itself(entry) || !entry.endpoints.is_empty()) && entry.ports.iter().any(|own| own.number == port)
}

/// Where nothing else is written the host itself is resolved.
fn is_itself(entry: &ServiceEntry) -> bool {
    entry.endpoints.is_empty()
        && entry.workload_selector.is_none()
        && matches!(entry.resolution, Resolution::Dns | Resolution::DnsRoundRobin)
}

/// Endpoints of one entry on one port of it.
fn of_port<'s>(
    entry: &'s ServiceEntry,
    host: &'s str,
    port: &'s Port,
    labels: Option<&'s Labels>,
) -> impl Iterator<Item = (&'s str, u16)> {
    let wanted =
        move |own: &Labels| labels.is_none_or(|labels| labels.iter().all(|(key, value)| own.get(key) == Some(value)));
    let target = port.target_port.unwrap_or(port.number);
    let itself = (is_itself(entry) && wanted(&Labels::new())).then_some((host, target));
    let written = entry.endpoints.iter().filter(move |endpoint| wanted(&endpoint.labels));
    itself.into_iter().chain(written.map(move |endpoint| {
        let port = endpoint.ports.get(&port.name).copied().unwrap_or(target);
        (endpoint.address.as_str(), port)
    }))
}
