//! From a `World` to the snapshot of one workload: the listeners, routes and clusters that Istio would send its sidecar.

use std::{
    collections::{HashMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use super::{
    Cluster, Endpoints, Snapshot, SniffNeeds, Workload,
    capture::{Capture, capture_of},
    clusters::{self, Clusters, Rules},
    listeners::{Chain, ChainMatch, Listener, Target},
    registry::{self, RegistryPort, RegistryService},
    routes::{Route, RouteAction, RouteTable, VirtualHost, default_retries, domains},
    virtual_services::{self, Attachments, Covered},
    visibility::{self, Fits},
};
use crate::model::{EgressListener, MeshConfig, OutboundMode, Protocol, ProtocolClass, World};

/// Ports that Istio keeps for itself on the wildcard address.
pub(super) const RESERVED_PORTS: [u16; 4] = [15021, 15090, 15001, 15006];

/// Compiles what `workload` is subject to. Never fails: what the world does not say takes Istio's defaults.
pub fn compile(world: &World, workload: &Workload) -> Snapshot {
    let revision = visibility::revision(world, workload);
    let mesh = world.mesh_config(revision);
    let settings = mesh.as_ref().map(|mesh| mesh.spec.clone()).unwrap_or_default();
    let sidecar = visibility::sidecar_of(world, workload, &settings.root_namespace);
    let mode = visibility::mode(
        workload,
        sidecar.as_deref(),
        mesh.map(|mesh| &**mesh),
        &settings.root_namespace,
    );
    let capture = capture_of(world, workload);

    let everything = [EgressListener {
        hosts: vec!["*/*".into()],
        ..EgressListener::default()
    }];
    let egress = match &sidecar {
        Some(sidecar) if !sidecar.spec.egress.is_empty() => sidecar.spec.egress.as_slice(),
        _ => &everything,
    };
    let visible = registry::services(world, &settings, &workload.namespace);
    let imported = import(&visible, egress, workload);
    let own_services = Attachments::new(virtual_services::visible(world, &settings, egress, workload));

    let mut build = Build::new(world, &settings, workload);
    for service in &imported {
        for port in &service.ports {
            clusters::add(&mut build.clusters, service, port, &build.rules);
        }
    }
    // A VirtualService's destinations get clusters even where the Sidecar imports no listener for them.
    for service in virtual_services::destinations(&visible, &own_services.all) {
        for port in &service.ports {
            clusters::add(&mut build.clusters, service, port, &build.rules);
        }
    }
    for service in &imported {
        for port in &service.ports {
            build.listener(service, port, &own_services);
        }
    }
    let tables = build.routes(&imported, &own_services);
    let addressed = imported
        .iter()
        .filter(|service| !service.addresses.is_empty())
        .map(|service| service.host.to_ascii_lowercase())
        .collect();
    Snapshot {
        tables,
        addressed,
        egress: egress.to_vec(),
        ..build.finish(world, capture, mode)
    }
}

/// The services that the egress listeners import, each with the ports it may be called on.
fn import(visible: &[RegistryService], egress: &[EgressListener], workload: &Workload) -> Vec<RegistryService> {
    let claimed: HashSet<u16> = egress
        .iter()
        .filter_map(|listener| listener.port.map(|(port, _)| port))
        .collect();
    let mut imported: Vec<RegistryService> = Vec::new();
    for listener in egress {
        let of_listener: Vec<_> = visible
            .iter()
            .filter(|service| {
                visibility::imports(
                    listener,
                    &service.namespace,
                    &service.host,
                    &workload.namespace,
                    Fits::Covered,
                )
            })
            .filter_map(|service| {
                let keep = |port: &RegistryPort| match listener.port {
                    Some((number, _)) => port.number == number,
                    None => !claimed.contains(&port.number),
                };
                let ports: Vec<_> = service.ports.iter().filter(|port| keep(port)).cloned().collect();
                (!ports.is_empty()).then(|| RegistryService {
                    ports,
                    ..service.clone()
                })
            })
            .collect();
        imported.extend(registry::merge_same_host(of_listener, &workload.namespace));
    }
    imported
}

/// A snapshot in the making.
struct Build<'w> {
    workload: &'w Workload,
    rules: Rules<'w>,
    clusters: Clusters,
    exact: HashMap<SocketAddr, Listener>,
    wildcard: HashMap<u16, Listener>,
    /// Sniffed virtual addresses, each with a route table of its own.
    sniffed: Vec<(RegistryService, RegistryPort)>,
    /// Route table of each wildcard port.
    tables: HashMap<u16, usize>,
    table_count: usize,
    detection_timeout: Option<Duration>,
}

impl<'w> Build<'w> {
    fn new(world: &'w World, mesh: &'w MeshConfig, workload: &'w Workload) -> Self {
        let timeout = mesh.protocol_detection_timeout;
        Self {
            workload,
            rules: Rules {
                world,
                mesh,
                namespace: &workload.namespace,
                connect_timeout: mesh.connect_timeout,
            },
            clusters: Clusters::default(),
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            sniffed: Vec::new(),
            tables: HashMap::new(),
            table_count: 0,
            detection_timeout: (!timeout.is_zero()).then_some(timeout),
        }
    }

    fn table(&mut self, port: u16) -> usize {
        *self.tables.entry(port).or_insert_with(|| {
            self.table_count += 1;
            self.table_count - 1
        })
    }

    /// Istio: HTTP always listens on the wildcard address; TLS, TCP and sniffed ports on the virtual address where the
    /// service has one.
    fn listener(&mut self, service: &RegistryService, port: &RegistryPort, own: &Attachments<'_>) {
        let class = port.protocol.class();
        if class == ProtocolClass::None || class != ProtocolClass::Http && is_headless(service) {
            return;
        }
        if class == ProtocolClass::Http {
            if Self::refused(self.wildcard.get(&port.number), false) {
                return;
            }
            let table = self.table(port.number);
            if let Some(listener) = self.wildcard_listener(port.number) {
                listener.add(
                    &ChainMatch {
                        http: true,
                        ..ChainMatch::default()
                    },
                    Chain {
                        target: Target::Http(table),
                        object: None,
                    },
                );
            }
            return;
        }
        let addresses: Vec<IpAddr> = service.virtual_ips().collect();
        let ranges: Vec<_> = service.ranges().collect();
        let chains = virtual_services::chains(service, port, &ranges, &addresses, own, &self.clusters, self.workload);
        let exclusive = matches!(port.protocol, Protocol::Mongo | Protocol::MySql);
        for address in &addresses {
            let key = SocketAddr::new(*address, port.number);
            if Self::refused(self.exact.get(&key), exclusive) {
                continue;
            }
            let listener = self
                .exact
                .entry(key)
                .or_insert_with(|| Listener::new(format!("{address}_{}", port.number)));
            listener.exclusive = exclusive;
            for (condition, chain) in &chains {
                listener.add(condition, chain.clone());
            }
            if class == ProtocolClass::Auto {
                let table = self.table_count;
                self.table_count += 1;
                self.sniffed.push((service.clone(), port.clone()));
                listener.add(
                    &ChainMatch {
                        http: true,
                        ..ChainMatch::default()
                    },
                    Chain {
                        target: Target::Http(table),
                        object: None,
                    },
                );
            }
        }
        if !addresses.is_empty() && ranges.is_empty() || Self::refused(self.wildcard.get(&port.number), exclusive) {
            return;
        }
        let table = (class == ProtocolClass::Auto).then(|| self.table(port.number));
        if let Some(listener) = self.wildcard_listener(port.number) {
            listener.exclusive = exclusive;
            for (condition, chain) in &chains {
                listener.add(condition, chain.clone());
            }
            if let Some(table) = table {
                listener.add(
                    &ChainMatch {
                        http: true,
                        ..ChainMatch::default()
                    },
                    Chain {
                        target: Target::Http(table),
                        object: None,
                    },
                );
            }
        }
    }

    /// Mongo and MySQL refuse to share a listener with anything: the newcomer is dropped.
    fn refused(listener: Option<&Listener>, exclusive: bool) -> bool {
        listener.is_some_and(|listener| exclusive || listener.exclusive)
    }

    fn wildcard_listener(&mut self, port: u16) -> Option<&mut Listener> {
        if RESERVED_PORTS.contains(&port) {
            return None;
        }
        Some(
            self.wildcard
                .entry(port)
                .or_insert_with(|| Listener::new(format!("0.0.0.0_{port}"))),
        )
    }

    fn routes(&mut self, imported: &[RegistryService], own: &Attachments<'_>) -> Vec<RouteTable> {
        let mut tables: Vec<RouteTable> = (0..self.table_count).map(|_| RouteTable::default()).collect();
        let known = Covered::new(imported.iter().map(|service| &*service.host));
        for (port, table) in self.tables.clone() {
            let http = |candidate: &&RegistryPort| {
                candidate.number == port
                    && matches!(candidate.protocol.class(), ProtocolClass::Http | ProtocolClass::Auto)
            };
            let services: Vec<(&RegistryService, &RegistryPort)> = imported
                .iter()
                .filter_map(|service| Some((service, service.ports.iter().find(http)?)))
                .collect();
            for (service, own_port) in &services {
                self.virtual_host(&mut tables[table], service, own_port, own);
            }
            let on_port = Covered::new(services.iter().map(|(service, _)| &*service.host));
            for extra in &own.all {
                extra.add_unregistered(
                    port,
                    &on_port,
                    &mut tables[table],
                    &self.clusters,
                    &known,
                    self.workload,
                );
            }
        }
        let wildcard: HashSet<usize> = self.tables.values().copied().collect();
        let free = (0..self.table_count).filter(|table| !wildcard.contains(table));
        for (table, (service, port)) in free.zip(std::mem::take(&mut self.sniffed)) {
            self.virtual_host(&mut tables[table], &service, &port, own);
        }
        tables
    }

    fn virtual_host(
        &self,
        table: &mut RouteTable,
        service: &RegistryService,
        port: &RegistryPort,
        own: &Attachments<'_>,
    ) {
        let name = format!("{}:{}", service.host.to_ascii_lowercase(), port.number);
        let routes = own
            .owner(&service.host)
            .map(|visible| visible.routes(port.number, &self.clusters, self.workload, &name))
            .filter(|routes| !routes.is_empty())
            .unwrap_or_else(|| vec![self.default_route(service, port, &name)]);
        let namespace = service.is_kubernetes().then_some(&*self.workload.namespace);
        let domains = domains(&service.host, namespace, service.virtual_ips());
        let object = crate::model::ObjectRef {
            line: port.line,
            ..service.object.clone()
        };
        table.add(VirtualHost { name, object, routes }, domains.iter().map(String::as_str));
    }

    fn default_route(&self, service: &RegistryService, port: &RegistryPort, virtual_host: &str) -> Route {
        // The route names the host in lower case; a cluster declared in upper case is therefore not found (503 NC).
        let name = clusters::name(port.number, "", &service.host.to_ascii_lowercase());
        let cluster = self.clusters.get(&name).cloned();
        Route {
            name: Some("default".into()),
            condition: None,
            action: RouteAction::Forward {
                clusters: vec![super::routes::WeightedCluster {
                    cluster,
                    name,
                    weight: 1,
                }],
                timeout: None,
                retries: Some(default_retries()),
            },
            operation: self.rules.mesh.enable_tracing.then(|| format!("{virtual_host}/*")),
            object: service.object.clone(),
            unsupported: Vec::new(),
        }
    }

    fn finish(mut self, world: &World, capture: Capture, mode: visibility::Mode) -> Snapshot {
        let timeout = self.detection_timeout;
        for listener in self.exact.values_mut().chain(self.wildcard.values_mut()) {
            // Istio: the detection timeout counts only where the HTTP inspector is attached.
            listener.needs.timeout = timeout.filter(|_| listener.needs.http);
        }
        let mut fallback = Listener::new("virtualOutbound".into());
        let dynamic = mode.mode == OutboundMode::AllowAnyDynamicDns;
        if dynamic {
            fallback.needs = SniffNeeds {
                http: true,
                tls: false,
                timeout,
            };
        }
        let special = |name: &str, endpoints| {
            Arc::new(Cluster {
                name: name.into(),
                host: "".into(),
                namespace: "unknown".into(),
                endpoints,
                connect_timeout: self.rules.connect_timeout,
                tls: None,
                object: None,
            })
        };
        Snapshot {
            hash: hash(world, self.workload),
            workload: self.workload.clone(),
            capture,
            mode,
            passthrough: special("PassthroughCluster", Endpoints::OriginalDst(None)),
            dynamic_dns: special("AllowAnyDynamicDNSCluster", Endpoints::DynamicDns(80)),
            clusters: self.clusters,
            exact: self.exact,
            wildcard: self.wildcard,
            fallback,
            tables: Vec::new(),
            addressed: HashSet::new(),
            egress: Vec::new(),
        }
    }
}

/// A headless Kubernetes Service has no address to listen on.
fn is_headless(service: &RegistryService) -> bool {
    service.is_kubernetes() && service.addresses.is_empty()
}

/// A hash over everything the snapshot was made from, stable from run to run.
fn hash(world: &World, workload: &Workload) -> String {
    let mut hasher = DefaultHasher::new();
    format!("{workload:?}").hash(&mut hasher);
    for text in [
        world
            .mesh_configs
            .iter()
            .map(|object| format!("{object:?}"))
            .collect::<String>(),
        world.injectors.iter().map(|object| format!("{object:?}")).collect(),
        world.services.iter().map(|object| format!("{object:?}")).collect(),
        world
            .service_entries
            .iter()
            .map(|object| format!("{object:?}"))
            .collect(),
        world
            .virtual_services
            .iter()
            .map(|object| format!("{object:?}"))
            .collect(),
        world
            .destination_rules
            .iter()
            .map(|object| format!("{object:?}"))
            .collect(),
        world.sidecars.iter().map(|object| format!("{object:?}")).collect(),
    ] {
        text.hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}
