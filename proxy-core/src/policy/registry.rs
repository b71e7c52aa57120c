//! Services as the listeners see them: ServiceEntries host by host, and Kubernetes Services, in Istio's order.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use time::OffsetDateTime;

use super::visibility::Export;
use crate::model::{Endpoint, MeshConfig, Meta, Object, ObjectRef, Protocol, Resolution, Service, ServiceEntry, World};

/// One host of the registry with its ports.
#[derive(Debug, Clone)]
pub(super) struct RegistryService {
    pub host: Arc<str>,
    pub namespace: Arc<str>,
    pub age: Age,
    /// Virtual addresses; empty where there are none.
    pub addresses: Vec<IpNet>,
    pub ports: Vec<RegistryPort>,
    pub kind: ServiceKind,
    pub export: Export,
    pub object: ObjectRef,
}

/// Where a service's endpoints come from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ServiceKind {
    /// A Kubernetes Service with its cluster addresses; empty for a headless one.
    Kubernetes(Vec<IpAddr>),
    /// A ServiceEntry.
    Entry {
        resolution: Resolution,
        endpoints: Vec<Endpoint>,
    },
}

/// One port of a service.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RegistryPort {
    pub number: u16,
    pub name: String,
    pub protocol: Protocol,
    pub target_port: Option<u16>,
    pub line: u32,
    /// A younger entry's port whose cluster is not made because the older one differs too much: routes to it give `NC`.
    pub without_cluster: bool,
}

/// Age of an object: `creationTimestamp`, else order of appearance (file, then place in it), then names.
pub(super) type Age = (OffsetDateTime, Arc<str>, u64, Arc<str>, Arc<str>);

/// The age of an object; `first_name` breaks ties (the host for services, the object's name for configs).
pub(super) fn age<T>(object: &Object<T>, first_name: &Arc<str>) -> Age {
    let Meta {
        created,
        order,
        namespace,
        ..
    } = &object.meta;
    let (file, order) = if created.is_some() {
        ("".into(), 0)
    } else {
        (object.place.file.clone(), *order)
    };
    (
        created.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        file,
        order,
        first_name.clone(),
        namespace.clone(),
    )
}

impl RegistryService {
    /// The single virtual addresses (full-length prefixes).
    pub fn virtual_ips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses
            .iter()
            .filter(|net| net.prefix_len() == net.max_prefix_len())
            .map(IpNet::addr)
    }

    /// The ranges that are no single address.
    pub fn ranges(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.addresses
            .iter()
            .filter(|net| net.prefix_len() != net.max_prefix_len())
            .map(IpNet::trunc)
    }

    pub fn is_kubernetes(&self) -> bool {
        matches!(self.kind, ServiceKind::Kubernetes(_))
    }
}

/// All services that `namespace` may see by `exportTo`: exported to it first, then public, each by age.
pub(super) fn services(world: &World, mesh: &MeshConfig, namespace: &str) -> Vec<RegistryService> {
    let mut services: Vec<_> = world
        .service_entries
        .iter()
        .flat_map(|entry| entry_services(entry, mesh, namespace))
        .chain(
            world
                .services
                .iter()
                .filter_map(|service| kubernetes_service(service, mesh, namespace)),
        )
        .filter(|service| service.export != Export::Hidden)
        .collect();
    services.sort_by(|a, b| (a.export.rank(), &a.age).cmp(&(b.export.rank(), &b.age)));
    services
}

fn entry_services<'w>(
    entry: &'w Object<ServiceEntry>,
    mesh: &MeshConfig,
    namespace: &str,
) -> impl Iterator<Item = RegistryService> + 'w {
    let spec = &entry.spec;
    let export = Export::of(
        &spec.export_to,
        &mesh.default_service_export_to,
        &entry.meta.namespace,
        namespace,
    );
    let allocated = mesh.dns_capture && spec.addresses.is_empty();
    let addresses: Vec<IpNet> = if allocated {
        spec.allocated.iter().copied().map(IpNet::from).collect()
    } else {
        spec.addresses.clone()
    };
    spec.hosts.iter().enumerate().map(move |(index, host)| RegistryService {
        host: host.clone(),
        namespace: entry.meta.namespace.clone(),
        age: age(entry, host),
        addresses: addresses.clone(),
        ports: spec
            .ports
            .iter()
            .map(|port| RegistryPort {
                number: port.number,
                name: port.name.clone(),
                protocol: port.protocol,
                target_port: port.target_port,
                line: port.line,
                without_cluster: false,
            })
            .collect(),
        kind: ServiceKind::Entry {
            resolution: spec.resolution,
            endpoints: spec.endpoints.clone(),
        },
        export,
        object: entry.reference("ServiceEntry", spec.host_lines.get(index).copied().unwrap_or_default()),
    })
}

fn kubernetes_service(service: &Object<Service>, mesh: &MeshConfig, namespace: &str) -> Option<RegistryService> {
    let spec = &service.spec;
    // An ExternalName is an alias in DNS; what it points at is decided by its own name.
    if spec.external_name.is_some() {
        return None;
    }
    let own = &service.meta.namespace;
    let host: Arc<str> = format!("{}.{own}.svc.cluster.local", service.meta.name).into();
    let annotation = service.meta.annotations.get("networking.istio.io/exportTo");
    let export_to: Vec<String> = annotation
        .map(|list| list.split(',').map(|item| item.trim().to_string()).collect())
        .unwrap_or_default();
    Some(RegistryService {
        namespace: own.clone(),
        age: age(service, &host),
        addresses: spec.cluster_ips.iter().copied().map(IpNet::from).collect(),
        ports: spec
            .ports
            .iter()
            .map(|port| RegistryPort {
                number: port.number,
                name: port.name.clone(),
                protocol: port.protocol,
                target_port: None,
                line: port.line,
                without_cluster: false,
            })
            .collect(),
        kind: ServiceKind::Kubernetes(spec.cluster_ips.clone()),
        export: Export::of(&export_to, &mesh.default_service_export_to, own, namespace),
        object: service.reference("Service", 0),
        host,
    })
}

/// Folds services of one host into what a proxy in `namespace` sees of it. Istio: one namespace is chosen, the proxy's
/// own if it declares the host, else a Kubernetes Service's, else the first in order; within it, entries with the same
/// ports are unioned, with the same settings their ports are merged, otherwise the younger keeps routes without clusters.
pub(super) fn merge_same_host(services: Vec<RegistryService>, namespace: &str) -> Vec<RegistryService> {
    let mut by_host: std::collections::HashMap<String, Vec<usize>> = Default::default();
    for (index, service) in services.iter().enumerate() {
        by_host
            .entry(service.host.to_ascii_lowercase())
            .or_default()
            .push(index);
    }
    let mut kept: Vec<Option<RegistryService>> = services.into_iter().map(Some).collect();
    for indices in by_host.into_values().filter(|indices| indices.len() > 1) {
        let all: Vec<(usize, RegistryService)> = indices
            .iter()
            .filter_map(|index| Some((*index, kept[*index].take()?)))
            .collect();
        let chosen = all
            .iter()
            .find(|(_, service)| &*service.namespace == namespace)
            .or_else(|| all.iter().find(|(_, service)| service.is_kubernetes()))
            .or(all.first())
            .map(|(_, service)| service.namespace.clone());
        let mut merged: Option<(usize, RegistryService)> = None;
        let same_namespace = all
            .into_iter()
            .filter(|(_, service)| Some(&service.namespace) == chosen.as_ref());
        for (index, service) in same_namespace {
            match &mut merged {
                None => merged = Some((index, service)),
                Some((_, older)) if service.is_kubernetes() && !older.is_kubernetes() => {
                    merged = Some((index, service))
                }
                Some((_, older)) => merge_into(older, service),
            }
        }
        if let Some((index, service)) = merged {
            kept[index] = Some(service);
        }
    }
    kept.into_iter().flatten().collect()
}

fn merge_into(older: &mut RegistryService, younger: RegistryService) {
    let (
        ServiceKind::Entry {
            resolution: mine,
            endpoints,
        },
        ServiceKind::Entry {
            resolution: other,
            endpoints: more,
        },
    ) = (&mut older.kind, younger.kind)
    else {
        return;
    };
    let numbers = |ports: &[RegistryPort]| {
        ports
            .iter()
            .map(|port| (port.number, port.protocol))
            .collect::<Vec<_>>()
    };
    if numbers(&older.ports) == numbers(&younger.ports) {
        endpoints.extend(more);
        return;
    }
    let alike = *mine == other && older.export == younger.export;
    for port in younger.ports {
        if !older.ports.iter().any(|known| known.number == port.number) {
            older.ports.push(RegistryPort {
                without_cluster: !alike,
                ..port
            });
        }
    }
}
