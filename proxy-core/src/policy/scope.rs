//! What one egress listener of a Sidecar imports, and what clusters all of them need. Istio: `SidecarScope`.

use std::{
    collections::{BTreeSet, HashMap, HashSet, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use super::{
    Workload,
    registry::RegistryService,
    virtual_services::{self, Attachments},
    visibility::{self, Export, Fits},
};
use crate::model::{EgressListener, MeshConfig, Port, Protocol, World};

/// One egress listener with the services and VirtualServices that it imports.
pub(super) struct Scope<'w> {
    pub listener: &'w EgressListener,
    pub services: Vec<Arc<RegistryService>>,
    pub attachments: Attachments<'w>,
}

impl<'w> Scope<'w> {
    pub fn new(
        listener: &'w EgressListener,
        visible: &[Arc<RegistryService>],
        world: &'w World,
        mesh: &'w MeshConfig,
        workload: &Workload,
    ) -> Self {
        let services = imported(listener, visible, &workload.namespace);
        let all = virtual_services::visible(world, mesh, listener, workload);
        Self {
            listener,
            services,
            attachments: Attachments::new(all),
        }
    }

    /// The port that the listener is for; `None` for all that are not claimed by another one.
    pub fn port(&self) -> Option<(u16, Protocol)> {
        self.listener.port
    }

    /// The address that the listener is written for; a socket of its own is at the loopback where none is written.
    pub fn bind(&self) -> Option<IpAddr> {
        self.listener.address()
    }

    /// The listener is an explicit proxy (HTTP_PROXY).
    pub fn is_explicit(&self) -> bool {
        matches!(self.listener.port, Some((_, Protocol::HttpProxy)))
    }

    /// The service as the listener imports it: only the port that it is for, where it is for one.
    fn trimmed(&self, service: &Arc<RegistryService>) -> Option<Arc<RegistryService>> {
        trimmed(self.listener, service)
    }
}

/// An explicit proxy takes all ports; a listener for one port only that.
fn trimmed(listener: &EgressListener, service: &Arc<RegistryService>) -> Option<Arc<RegistryService>> {
    match listener.port {
        Some((number, protocol)) if protocol != Protocol::HttpProxy => {
            let port = service.port(number)?;
            Some(match &*service.ports {
                [_] => service.clone(),
                _ => with_ports(service, vec![port.clone()]),
            })
        }
        _ => Some(service.clone()),
    }
}

fn with_ports(service: &RegistryService, ports: Vec<Port>) -> Arc<RegistryService> {
    Arc::new(RegistryService {
        ports: ports.into(),
        ..service.clone()
    })
}

/// The services that `listener` imports. Of a host that several namespaces declare one namespace is kept: the
/// workload's own, else that of a Kubernetes Service, else the first in order.
fn imported(listener: &EgressListener, visible: &[Arc<RegistryService>], own: &str) -> Vec<Arc<RegistryService>> {
    let imports = |service: &&Arc<RegistryService>| {
        service.export != Export::Hidden
            && visibility::imports(listener, service.namespace(), &service.host, own, Fits::Covered)
    };
    let mut services: Vec<Arc<RegistryService>> = visible
        .iter()
        .filter(imports)
        .filter_map(|service| trimmed(listener, service))
        .collect();
    for service in services.iter_mut().filter(|service| !service.aliases.is_empty()) {
        let namespace = service.namespace().clone();
        let imported = |alias: &Arc<str>| visibility::imports(listener, &namespace, alias, own, Fits::Covered);
        Arc::make_mut(service).aliases.retain(imported);
    }
    let mut kept: HashMap<Arc<str>, (Arc<str>, bool)> = HashMap::with_capacity(services.len());
    for service in &services {
        let candidate = (service.namespace().clone(), service.is_kubernetes());
        match kept.entry(service.host.clone()) {
            Entry::Vacant(free) => {
                free.insert(candidate);
            }
            Entry::Occupied(mut known) => {
                let (namespace, of_kubernetes) = known.get();
                if &**service.namespace() == own || !of_kubernetes && candidate.1 && &**namespace != own {
                    known.insert(candidate);
                }
            }
        }
    }
    // Of most policies each host has one service, and nothing is to be chosen.
    if kept.len() == services.len() {
        return services;
    }
    services.retain(|service| {
        kept.get(&service.host)
            .is_some_and(|(namespace, _)| namespace == service.namespace())
    });
    services
}

/// The services that clusters are made of, one for each host: those that are imported, and the destinations of the
/// VirtualServices that are, even where no listener imports them.
pub(super) fn of_clusters(
    scopes: &[Scope<'_>],
    visible: &[Arc<RegistryService>],
    workload: &Workload,
) -> Vec<Arc<RegistryService>> {
    let mut services = Merged::with_capacity(scopes.iter().map(|scope| scope.services.len()).sum());
    let destinations: Vec<_> = scopes
        .iter()
        .map(|scope| scope.attachments.destinations(&workload.namespace))
        .collect();
    let wanted = destinations.iter().flatten().map(|(host, _)| host.as_str()).collect();
    let by_host = ByHost::new(visible, &wanted);
    for (scope, destinations) in scopes.iter().zip(&destinations) {
        for service in &scope.services {
            services.add(service);
        }
        for (host, ports) in destinations {
            let Some(service) = by_host.best(host, &workload.namespace) else {
                continue;
            };
            let wanted = match scope.port() {
                Some((_, protocol)) if protocol != Protocol::HttpProxy => scope.trimmed(service),
                _ => of_ports(service, ports),
            };
            if let Some(service) = wanted {
                services.add(&service);
            }
        }
    }
    services.all
}

/// The ports that destinations name; all where one names none.
fn of_ports(service: &Arc<RegistryService>, wanted: &BTreeSet<Option<u16>>) -> Option<Arc<RegistryService>> {
    if wanted.contains(&None) {
        return Some(service.clone());
    }
    let ports: Vec<_> = service
        .ports
        .iter()
        .filter(|port| wanted.contains(&Some(port.number)))
        .cloned()
        .collect();
    (!ports.is_empty()).then(|| with_ports(service, ports))
}

/// Services by host, for destinations that name a host and no namespace: of each namespace that of Kubernetes, else the
/// oldest.
struct ByHost<'r>(HashMap<&'r str, Vec<&'r Arc<RegistryService>>>);

impl<'r> ByHost<'r> {
    /// Those of the hosts that are `wanted`.
    fn new(all: &'r [Arc<RegistryService>], wanted: &HashSet<&str>) -> Self {
        let is_wanted = |service: &&Arc<RegistryService>| !wanted.is_empty() && wanted.contains(&*service.host);
        let mut by_age: Vec<&Arc<RegistryService>> = all.iter().filter(is_wanted).collect();
        by_age.sort_by(|a, b| a.age().cmp(&b.age()));
        let mut by_host: HashMap<&str, Vec<&Arc<RegistryService>>> = HashMap::new();
        for service in by_age {
            let of_host = by_host.entry(&service.host).or_default();
            match of_host
                .iter_mut()
                .find(|known| known.namespace() == service.namespace())
            {
                None => of_host.push(service),
                Some(known) if service.is_kubernetes() && !known.is_kubernetes() => *known = service,
                Some(_) => {}
            }
        }
        Self(by_host)
    }

    /// The service that `host` means: of the workload's namespace, exported or not, else of Kubernetes, else the oldest.
    fn best(&self, host: &str, own: &str) -> Option<&'r Arc<RegistryService>> {
        let all = self.0.get(host)?;
        let exported = || all.iter().filter(|service| service.export != Export::Hidden);
        all.iter()
            .find(|service| &**service.namespace() == own)
            .or_else(|| exported().min_by(|a, b| (!a.is_kubernetes(), a.age()).cmp(&(!b.is_kubernetes(), b.age()))))
            .copied()
    }
}

/// Services with one for each host: ports of entries that are alike are joined, of others the first stays.
struct Merged {
    all: Vec<Arc<RegistryService>>,
    by_host: HashMap<Arc<str>, usize>,
}

impl Merged {
    fn with_capacity(hosts: usize) -> Self {
        Self {
            all: Vec::with_capacity(hosts),
            by_host: HashMap::with_capacity(hosts),
        }
    }

    fn add(&mut self, service: &Arc<RegistryService>) {
        let index = match self.by_host.entry(service.host.clone()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => {
                free.insert(self.all.len());
                self.all.push(service.clone());
                return;
            }
        };
        let known = &mut self.all[index];
        match (known.is_kubernetes(), service.is_kubernetes()) {
            (true, false) => {}
            (false, true) => *known = service.clone(),
            _ if known.is_like(service) => {
                let more = service.ports.iter().filter(|port| known.port(port.number).is_none());
                // At the original address the first one's list of other ports to go to holds for all.
                let more: Vec<_> = more
                    .map(|port| Port {
                        target_port: match known.is_passthrough() {
                            true => known.target_at_own_address(port.number),
                            false => port.target_port,
                        },
                        ..port.clone()
                    })
                    .collect();
                if !more.is_empty() {
                    let ports = known.ports.iter().cloned().chain(more).collect();
                    Arc::make_mut(known).ports = ports;
                }
            }
            _ => {}
        }
    }
}
