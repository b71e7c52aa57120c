//! Endpoints of entries that declare the same host in the same namespace, which Istio keeps together.

use std::{
    collections::{HashMap, hash_map::Entry},
    slice,
    sync::Arc,
};

use super::registry::{self, RegistryService, ServiceKind};
use crate::model::{Endpoint, Labels, Object, Port, Resolution, ServiceEntry, World};

/// Host and namespace.
type Key<'w> = (&'w str, &'w str);

/// Entries by host and namespace, but for what nearly every service has: the one entry that it is made from.
#[derive(Default)]
pub(super) struct SharedEndpoints<'w> {
    /// The only one for the host of a Kubernetes Service.
    of_kubernetes: HashMap<Key<'w>, &'w Arc<Object<ServiceEntry>>>,
    /// Where there are several: all of them, the older first.
    several: HashMap<Key<'w>, Vec<Arc<Object<ServiceEntry>>>>,
}

/// The entries that declare one service's host.
#[derive(Clone, Copy)]
pub(super) struct OfHost<'s> {
    host: &'s str,
    entries: &'s [Arc<Object<ServiceEntry>>],
}

/// One endpoint on one port.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declared<'s> {
    /// Its address, or its name.
    pub address: &'s str,
    pub port: u16,
    /// How it is written; `None` where the host itself stands for it.
    pub written: Option<&'s Endpoint>,
}

/// What an endpoint's port must have in common with a service's.
#[derive(Debug, Clone, Copy)]
pub(super) enum SamePort<'p> {
    /// Its name: endpoints that Istio sends apart.
    Name(&'p str),
    /// Its number: endpoints that are part of a cluster.
    Number(u16),
}

impl<'w> SharedEndpoints<'w> {
    pub fn new(world: &'w World) -> Self {
        let mut only = HashMap::with_capacity(world.service_entries.len());
        let mut several: HashMap<Key<'w>, Vec<Arc<Object<ServiceEntry>>>> = HashMap::new();
        for entry in &world.service_entries {
            for host in &entry.spec.hosts {
                let key = (&**host, &*entry.meta.namespace);
                match only.entry(key) {
                    Entry::Vacant(free) => {
                        free.insert(entry);
                    }
                    Entry::Occupied(first) => {
                        let first: &Arc<_> = first.get();
                        let of_host = several.entry(key).or_insert_with(|| vec![first.clone()]);
                        of_host.push(entry.clone());
                    }
                }
            }
        }
        for entries in several.values_mut() {
            entries.sort_by(|a, b| registry::age(a, &a.meta.name).cmp(&registry::age(b, &b.meta.name)));
        }
        let of_kubernetes = only
            .into_iter()
            .filter(|((host, _), _)| registry::is_of_kubernetes(host));
        Self {
            of_kubernetes: of_kubernetes.collect(),
            several,
        }
    }

    /// What declares the host of `service` in its namespace.
    pub fn of<'s>(&'s self, service: &'s RegistryService) -> OfHost<'s> {
        let key = (&*service.host, &**service.namespace());
        let entries = match (self.several.get(&key), &service.kind) {
            (Some(several), _) => several.as_slice(),
            (None, ServiceKind::Entry(entry)) => slice::from_ref(entry),
            (None, _) => self
                .of_kubernetes
                .get(&key)
                .map(|entry| slice::from_ref(*entry))
                .unwrap_or_default(),
        };
        OfHost {
            host: &service.host,
            entries,
        }
    }
}

impl<'s> OfHost<'s> {
    /// The endpoints with `labels`.
    pub fn endpoints(
        self,
        port: SamePort<'s>,
        labels: Option<&'s Labels>,
    ) -> impl Iterator<Item = Declared<'s>> + use<'s> {
        let Self { host, entries } = self;
        entries.iter().enumerate().flat_map(move |(index, entry)| {
            let own = entry.spec.ports.iter().find(|own| match port {
                SamePort::Name(name) => &*own.name == name,
                SamePort::Number(number) => own.number == number,
            });
            // Istio: one that has a single endpoint at a time has none where an older entry has.
            let single = entry.spec.resolution == Resolution::DnsRoundRobin;
            let own = own.filter(|own| {
                let has = |older: &Arc<Object<ServiceEntry>>| has_endpoints(&older.spec, own.number);
                !(single && entries[..index].iter().any(has))
            });
            own.into_iter()
                .flat_map(move |own| of_port(&entry.spec, host, own, labels))
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
) -> impl Iterator<Item = Declared<'s>> {
    let wanted =
        move |own: &Labels| labels.is_none_or(|labels| labels.iter().all(|(key, value)| own.get(key) == Some(value)));
    let target = port.target_port.unwrap_or(port.number);
    let itself = (is_itself(entry) && wanted(&Labels::new())).then_some(Declared {
        address: host,
        port: target,
        written: None,
    });
    let written = entry.endpoints.iter().filter(move |endpoint| wanted(&endpoint.labels));
    itself.into_iter().chain(written.map(move |endpoint| Declared {
        address: &endpoint.address,
        port: endpoint.ports.get(&*port.name).copied().unwrap_or(target),
        written: Some(endpoint),
    }))
}
