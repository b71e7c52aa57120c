//! Endpoints of entries that declare the same host in the same namespace, which Istio keeps together.

use std::collections::{HashMap, HashSet};

use super::registry::RegistryService;
use crate::model::{Labels, Resolution, ServiceEntry, World};

/// Entries by host and namespace.
pub(super) struct SharedEndpoints<'w>(HashMap<(&'w str, &'w str), Vec<&'w ServiceEntry>>);

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
                by_host.entry(key).or_default().push(&entry.spec);
            }
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
        let wanted = move |own: &Labels| {
            labels.is_none_or(|labels| labels.iter().all(|(key, value)| own.get(key) == Some(value)))
        };
        entries.into_iter().flatten().flat_map(move |entry| {
            let own = entry.ports.iter().find(|own| match port {
                SamePort::Name(name) => own.name == name,
                SamePort::Number(number) => own.number == number,
            });
            // Where nothing else is written the host itself is resolved.
            let itself = entry.endpoints.is_empty()
                && entry.workload_selector.is_none()
                && matches!(entry.resolution, Resolution::Dns | Resolution::DnsRoundRobin)
                && wanted(&Labels::new());
            own.into_iter().flat_map(move |own| {
                let target = own.target_port.unwrap_or(own.number);
                let written = entry.endpoints.iter().filter(move |endpoint| wanted(&endpoint.labels));
                let written = written.map(move |endpoint| {
                    let port = endpoint.ports.get(&own.name).copied().unwrap_or(target);
                    (endpoint.address.as_str(), port)
                });
                itself.then_some((&*service.host, target)).into_iter().chain(written)
            })
        })
    }
}
