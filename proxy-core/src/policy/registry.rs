//! Services as the listeners see them, in Istio's order: each host of a ServiceEntry at each of its addresses, and
//! Kubernetes Services.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;
use time::UtcDateTime;

use super::{allocation, visibility::Export};
use crate::model::{MeshConfig, Meta, Object, ObjectRef, Port, Resolution, Service, ServiceEntry, World};

/// One host of the registry at one address, with its ports.
#[derive(Debug, Clone)]
pub(super) struct RegistryService {
    pub host: Arc<str>,
    /// With `order`, what its age is compared by.
    pub created: Option<UtcDateTime>,
    pub order: u32,
    pub address: Address,
    pub ports: Arc<[Port]>,
    pub kind: ServiceKind,
    pub export: Export,
    /// ExternalName Services that stand for it.
    pub aliases: Vec<Arc<str>>,
    pub object: ObjectRef,
}

/// Where a service is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    /// At any address.
    Any,
    /// At a virtual address of its own.
    Ip(IpAddr),
    /// At the addresses of a range.
    Range(IpNet),
}

/// Where a service's endpoints come from.
#[derive(Debug, Clone)]
pub(super) enum ServiceKind {
    /// A Kubernetes Service with its cluster addresses; empty for a headless one.
    Kubernetes(Vec<IpAddr>),
    /// An ExternalName Service: another name of this host.
    Alias(Arc<str>),
    /// A ServiceEntry.
    Entry(Arc<Object<ServiceEntry>>),
}

/// Age of an object: `creationTimestamp`, else order of appearance (file, then place in it), then names.
pub(super) type Age<'o> = (UtcDateTime, &'o str, u32, &'o str, &'o str);

/// The age of an object; `first_name` breaks ties (the host for entries, the object's name for all others).
pub(super) fn age<'o, T>(object: &'o Object<T>, first_name: &'o str) -> Age<'o> {
    let Meta {
        created,
        order,
        namespace,
        ..
    } = &object.meta;
    aged(*created, &object.place.file, *order, first_name, namespace)
}

fn aged<'o>(
    created: Option<UtcDateTime>,
    file: &'o str,
    order: u32,
    first_name: &'o str,
    namespace: &'o str,
) -> Age<'o> {
    match created {
        Some(created) => (created, "", 0, first_name, namespace),
        None => (UtcDateTime::UNIX_EPOCH, file, order, first_name, namespace),
    }
}

impl Address {
    /// A bare address, one with a full-length prefix, or a range. `0.0.0.0` is no address at all.
    fn of(net: IpNet) -> Self {
        if net.prefix_len() < net.max_prefix_len() {
            Self::Range(net)
        } else if net.addr().is_unspecified() {
            Self::Any
        } else {
            Self::Ip(net.addr())
        }
    }
}

impl RegistryService {
    /// The age of the object that declares it.
    pub fn age(&self) -> Age<'_> {
        let first_name = match self.is_kubernetes() {
            true => &self.object.name,
            false => &self.host,
        };
        aged(
            self.created,
            &self.object.file,
            self.order,
            first_name,
            self.namespace(),
        )
    }

    /// The namespace of the object that declares it.
    pub fn namespace(&self) -> &Arc<str> {
        &self.object.namespace
    }

    /// Addresses of a Kubernetes Service beside its first.
    pub fn more_addresses(&self) -> &[IpAddr] {
        match &self.kind {
            ServiceKind::Kubernetes(addresses) => addresses.get(1..).unwrap_or_default(),
            ServiceKind::Alias(_) | ServiceKind::Entry(_) => &[],
        }
    }

    /// Its virtual addresses.
    pub fn virtual_ips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let first = match self.address {
            Address::Ip(address) => Some(address),
            Address::Any | Address::Range(_) => None,
        };
        first.into_iter().chain(self.more_addresses().iter().copied())
    }

    /// The port that clients call by `number`.
    pub fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// True where its endpoints are names to resolve.
    pub fn is_named(&self) -> bool {
        let resolution = match &self.kind {
            ServiceKind::Entry(entry) => entry.spec.resolution,
            ServiceKind::Kubernetes(_) | ServiceKind::Alias(_) => return false,
        };
        matches!(resolution, Resolution::Dns | Resolution::DnsRoundRobin)
    }

    pub fn is_kubernetes(&self) -> bool {
        matches!(self.kind, ServiceKind::Kubernetes(_) | ServiceKind::Alias(_))
    }

    /// The host that an ExternalName Service stands for.
    pub fn alias_of(&self) -> Option<&Arc<str>> {
        match &self.kind {
            ServiceKind::Alias(target) => Some(target),
            ServiceKind::Kubernetes(_) | ServiceKind::Entry(_) => None,
        }
    }

    /// A Kubernetes Service without a cluster address: its pods' addresses, which are not known here, are called.
    pub fn is_headless(&self) -> bool {
        matches!(&self.kind, ServiceKind::Kubernetes(addresses) if addresses.is_empty())
    }

    /// A wildcard whose names the sidecar resolves itself.
    pub fn is_dynamic(&self) -> bool {
        let dynamic =
            matches!(&self.kind, ServiceKind::Entry(entry) if entry.spec.resolution == Resolution::DynamicDns);
        dynamic && self.host.starts_with('*')
    }

    /// The port at its own address that a call to `number` goes to, where that is another one.
    pub fn target_at_own_address(&self, number: u16) -> Option<u16> {
        let ServiceKind::Entry(entry) = &self.kind else {
            return None;
        };
        let targets = entry.spec.ports.iter().filter(|port| port.target_port.is_some());
        targets.into_iter().find(|port| port.number == number)?.target_port
    }

    /// Called at the connection's own address.
    pub fn is_passthrough(&self) -> bool {
        match &self.kind {
            ServiceKind::Kubernetes(addresses) => addresses.is_empty(),
            ServiceKind::Alias(_) => false,
            ServiceKind::Entry(entry) => entry.spec.resolution == Resolution::None,
        }
    }

    /// Its endpoints are pods, which are not known here.
    pub fn selects_pods(&self) -> bool {
        let selector = match &self.kind {
            ServiceKind::Entry(entry) => entry.spec.workload_selector.as_ref(),
            ServiceKind::Kubernetes(_) | ServiceKind::Alias(_) => None,
        };
        selector.is_some_and(|labels| !labels.is_empty())
    }

    /// Istio: ports of two entries for one host become one service's only where the entries are alike in everything else.
    pub fn is_like(&self, other: &Self) -> bool {
        let alike = match (&self.kind, &other.kind) {
            (ServiceKind::Kubernetes(_), ServiceKind::Kubernetes(_)) => true,
            (ServiceKind::Alias(mine), ServiceKind::Alias(other)) => mine == other,
            (ServiceKind::Entry(mine), ServiceKind::Entry(other)) => {
                let (spec, others) = (&mine.spec, &other.spec);
                let selector = |spec: &ServiceEntry| spec.workload_selector.clone().unwrap_or_default();
                spec.resolution == others.resolution
                    && mine.meta.labels == other.meta.labels
                    && selector(spec) == selector(others)
                    && sorted(&spec.export_to) == sorted(&others.export_to)
            }
            _ => false,
        };
        alike && self.namespace() == other.namespace()
    }
}

fn sorted(list: &[String]) -> Vec<&String> {
    let mut sorted: Vec<&String> = list.iter().collect();
    sorted.sort_unstable();
    sorted
}

/// Whether a Kubernetes Service may have this host.
pub(super) fn is_of_kubernetes(host: &str) -> bool {
    host.ends_with(".svc.cluster.local")
}

/// All services, with what `exportTo` makes them for `namespace`: exported to it first, then public, each by age.
pub(super) fn services(world: &World, mesh: &MeshConfig, namespace: &str) -> Vec<Arc<RegistryService>> {
    let mut services = Vec::with_capacity(world.service_entries.len() + world.services.len());
    for entry in &world.service_entries {
        entry_services(entry, mesh, namespace, &mut services);
    }
    allocation::allocate(&mut services, mesh);
    let of_kubernetes = world
        .services
        .iter()
        .map(|service| Arc::new(kubernetes_service(service, mesh, namespace)));
    services.extend(of_kubernetes);
    services.sort_by(|a, b| (a.export.rank(), a.age()).cmp(&(b.export.rank(), b.age())));
    resolve_aliases(&mut services);
    services
}

/// Gives each service the names of the ExternalName Services that lead to it, over others or directly.
fn resolve_aliases(services: &mut [Arc<RegistryService>]) {
    let alias = |service: &Arc<RegistryService>| Some((service.host.clone(), service.alias_of()?.clone()));
    let targets: HashMap<Arc<str>, Arc<str>> = services.iter().filter_map(alias).collect();
    if targets.is_empty() {
        return;
    }
    // By namespace and host, in that order.
    type Names = BTreeSet<(Arc<str>, Arc<str>)>;
    let mut of_host: HashMap<Arc<str>, Names> = HashMap::new();
    for service in services.iter() {
        let Some(mut target) = service.alias_of() else { continue };
        let mut seen = vec![&service.host];
        while let Some(next) = targets.get(target).filter(|_| !seen.contains(&target)) {
            seen.push(target);
            target = next;
        }
        // A circle leads nowhere.
        if !targets.contains_key(target) {
            let name = (service.namespace().clone(), service.host.clone());
            of_host.entry(target.clone()).or_default().insert(name);
        }
    }
    for service in services {
        if let Some(own) = of_host.get(&service.host) {
            Arc::make_mut(service).aliases = own.iter().map(|(_, host)| host.clone()).collect();
        }
    }
}

fn entry_services(
    entry: &Arc<Object<ServiceEntry>>,
    mesh: &MeshConfig,
    namespace: &str,
    services: &mut Vec<Arc<RegistryService>>,
) {
    let spec = &entry.spec;
    let export = Export::of(
        &spec.export_to,
        &mesh.default_service_export_to,
        &entry.meta.namespace,
        namespace,
    );
    let addresses: Vec<Address> = spec.addresses.iter().map(|net| Address::of(*net)).collect();
    for (index, host) in spec.hosts.iter().enumerate() {
        let line = spec.host_lines.get(index).copied().unwrap_or_default();
        let allocated = [allocated(entry, host, mesh)];
        let addresses = if addresses.is_empty() {
            &allocated[..]
        } else {
            &addresses
        };
        services.extend(addresses.iter().map(|address| {
            Arc::new(RegistryService {
                host: host.clone(),
                created: entry.meta.created,
                order: entry.meta.order,
                address: *address,
                ports: spec.ports.clone(),
                kind: ServiceKind::Entry(entry.clone()),
                export,
                aliases: Vec::new(),
                object: entry.reference("ServiceEntry", line),
            })
        }));
    }
}

/// The address that was allocated to a host, where this mesh's sidecars use it: those that capture DNS do.
fn allocated(entry: &Object<ServiceEntry>, host: &str, mesh: &MeshConfig) -> Address {
    let spec = &entry.spec;
    let switched_off = entry
        .meta
        .labels
        .get("networking.istio.io/enable-autoallocate-ip")
        .is_some_and(|value| value.eq_ignore_ascii_case("false"));
    if !mesh.dns_capture || switched_off || !spec.addresses.is_empty() || spec.resolution == Resolution::None {
        return Address::Any;
    }
    // A sidecar has one family; which, is not known here, and nearly all have the older.
    let mut own = spec
        .allocated
        .iter()
        .filter(|own| *own.host == *host && own.address.is_ipv4());
    own.next_back().map_or(Address::Any, |own| Address::Ip(own.address))
}

fn kubernetes_service(service: &Object<Service>, mesh: &MeshConfig, namespace: &str) -> RegistryService {
    let spec = &service.spec;
    let own = &service.meta.namespace;
    let host: Arc<str> = format!("{}.{own}.svc.cluster.local", service.meta.name).into();
    let annotation = service.meta.annotations.get("networking.istio.io/exportTo");
    let export_to: Vec<String> = annotation
        .map(|list| list.split(',').map(|item| item.trim().to_string()).collect())
        .unwrap_or_default();
    RegistryService {
        created: service.meta.created,
        order: service.meta.order,
        address: spec
            .cluster_ips
            .first()
            .map_or(Address::Any, |first| Address::Ip(*first)),
        ports: spec
            .ports
            .iter()
            .map(|port| Port {
                number: port.number,
                name: port.name.as_str().into(),
                protocol: port.protocol,
                target_port: None,
                line: port.line,
            })
            .collect(),
        kind: match &spec.external_name {
            Some(target) => ServiceKind::Alias(target.as_str().into()),
            None => ServiceKind::Kubernetes(spec.cluster_ips.clone()),
        },
        aliases: Vec::new(),
        export: Export::of(&export_to, &mesh.default_service_export_to, own, namespace),
        object: service.reference("Service", 0),
        host,
    }
}
