//! The route table of a port: which virtual hosts there are, with which domains and routes. Istio: RDS.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Cluster, RetryPolicy, Workload,
    clusters::{self, Clusters},
    entries::Tabled,
    hosts,
    registry::RegistryService,
    routes::{
        DEFAULT_ROUTE, Otherwise, OwnRoute, Route, RouteAction, RouteTable, Routes, VirtualHost, WeightedCluster,
        domains, retries,
    },
    scope::Scope,
    version::{self, Change},
    virtual_services::Visible,
};
use crate::model::{HashKey, MeshConfig, ObjectRef, Port, Protocol, ProtocolClass};

/// Makes the tables of one workload.
pub(super) struct Tables<'s> {
    clusters: &'s Clusters,
    workload: &'s Workload,
    mesh: &'s MeshConfig,
    /// What holds for routes that no VirtualService makes.
    retries: Option<Arc<RetryPolicy>>,
    default_name: Arc<str>,
}

/// A service on the table's port, by its host in lower case: routes and virtual hosts name it so.
pub(super) struct OnPort<'s> {
    /// Its place among those on the port.
    at: usize,
    host: Arc<str>,
    service: &'s RegistryService,
    port: &'s Port,
}

impl OnPort<'_> {
    fn is_http(&self) -> bool {
        is_http(self.port)
    }
}

fn is_http(port: &Port) -> bool {
    matches!(port.protocol.class(), ProtocolClass::Http | ProtocolClass::Auto)
}

/// Services with the table's port, one for each host: Istio keeps the last.
pub(super) struct PortServices<'s> {
    all: Vec<OnPort<'s>>,
    by_host: HashMap<Arc<str>, usize>,
    /// All that the table is made of, where it is of an explicit proxy.
    proxied: &'s [Arc<RegistryService>],
}

impl<'s> PortServices<'s> {
    fn of(scope: &'s Scope<'_>, port: u16) -> Self {
        let mut services = Self {
            all: Vec::with_capacity(scope.services.len()),
            by_host: HashMap::with_capacity(scope.services.len()),
            proxied: if scope.is_explicit() { &scope.services } else { &[] },
        };
        // Of an explicit proxy it is the last whatever its ports.
        let last: HashMap<&str, &Arc<RegistryService>> = services
            .proxied
            .iter()
            .map(|service| (&*service.host, service))
            .collect();
        let counts =
            |service: &&Arc<RegistryService>| last.get(&*service.host).is_none_or(|last| Arc::ptr_eq(last, service));
        for service in scope.services.iter().filter(counts) {
            let mut ports = service.ports.iter().filter(|own| own.protocol != Protocol::Udp);
            let own = match scope.is_explicit() {
                // The first port for HTTP has the host's plain name, which those of other ports lose.
                true => ports.find(|own| is_http(own)).filter(|own| own.number == port),
                false => ports.find(|own| own.number == port),
            };
            let Some(own) = own else { continue };
            // Istio has a service's host in lower case, but for an explicit proxy, where it stays as it is written.
            let host = match scope.is_explicit() {
                true => service.host.clone(),
                false => hosts::shared_lower_case(&service.host),
            };
            let at = *services.by_host.entry(host.clone()).or_insert(services.all.len());
            let one = OnPort {
                at,
                host,
                service,
                port: own,
            };
            match services.all.get_mut(at) {
                Some(known) => *known = one,
                None => services.all.push(one),
            }
        }
        services
    }

    fn get(&self, host: &str) -> Option<&OnPort<'s>> {
        self.by_host.get(host).map(|at| &self.all[*at])
    }

    /// Whether an explicit proxy has such a host with other ports than this, or with none: it is that service's all the same.
    fn has_elsewhere(&self, is: impl Fn(&str) -> bool) -> bool {
        self.proxied.iter().any(|service| is(&service.host))
    }

    /// The port that a destination means which names none, on a listener of `port`: an explicit proxy has no port of its
    /// own, so that it is that of a service with one port, or none that a cluster has.
    pub fn meant_port(&self, host: &str, port: u16) -> u16 {
        let service = self.proxied.iter().find(|service| *service.host == *host);
        match service.map(|service| &*service.ports) {
            Some([only]) => only.number,
            _ => port,
        }
    }

    /// The host whose cluster `host` stands for.
    pub fn meant(&self, host: &str) -> String {
        let alias = self.get(host).and_then(|one| one.service.alias_of());
        alias.map_or_else(|| host.to_string(), |target| target.to_string())
    }
}

/// Routes of a VirtualService, that its hosts share.
struct Routed<'s> {
    routes: Arc<[Route]>,
    object: ObjectRef,
    /// Hosts that no service has.
    hosts: Vec<String>,
    services: Vec<&'s OnPort<'s>>,
}

impl<'s> Tables<'s> {
    /// Tables for `workload`, of routes to `clusters`.
    pub fn new(clusters: &'s Clusters, workload: &'s Workload, mesh: &'s MeshConfig) -> Self {
        Self {
            clusters,
            workload,
            mesh,
            retries: retries(None, mesh, false).map(Arc::new),
            default_name: DEFAULT_ROUTE.into(),
        }
    }
}

impl Tables<'_> {
    /// The tables that listeners ask for, in their order.
    pub fn all(&self, scopes: &[Scope<'_>], wanted: Vec<Tabled<'_>>) -> Vec<RouteTable> {
        let shared = |port| {
            scope_of(scopes, port)
                .map(|scope| self.shared(scope, port))
                .unwrap_or_default()
        };
        // Many virtual addresses have a table that is taken out of the same one.
        let mut at_addresses: HashMap<u16, RouteTable> = HashMap::new();
        let tables = wanted.into_iter().map(|wanted| match wanted {
            Tabled::Shared(port) => shared(port),
            Tabled::Own(service, port) => Self::own(at_addresses.entry(port).or_insert_with(|| shared(port)), service),
        });
        tables.collect()
    }

    /// The table of `port` for everything that `scope` imports.
    fn shared(&self, scope: &Scope<'_>, number: u16) -> RouteTable {
        // Istio: an explicit proxy has the virtual hosts of all ports, and those that are not of port 80 by names with a
        // port, which no request is found by.
        let (port, of_listener) = match scope.is_explicit() {
            true => (80, 0),
            false => (number, number),
        };
        let services = PortServices::of(scope, port);
        let mut all: Vec<Routed<'_>> = Vec::new();
        for (index, visible) in scope.attachments.all.iter().enumerate() {
            // Istio keeps VirtualServices without a service for port 80 alone, where hosts of no service are served.
            if of_listener == 80 || meets(visible, &services) {
                all.extend(self.routed(scope, visible, index, of_listener, &services));
            }
        }
        let mut taken = vec![false; services.all.len()];
        for one in all.iter().flat_map(|routed| &routed.services) {
            taken[one.at] = true;
        }
        let left = services
            .all
            .iter()
            .filter(|one| one.is_http() && one.service.alias_of().is_none() && !taken[one.at]);
        let mut table = self.table(&all, &left.collect::<Vec<_>>(), &services, port);
        table.port = Some(number);
        let served = |one: &&OnPort<'_>| one.is_http() && one.service.alias_of().is_none();
        table.services = services.all.iter().filter(served).count();
        table
    }

    /// The table of a sniffed port at a virtual address: the host of `service` alone, whatever a request's Host says.
    /// `shared` is that of everything on the port.
    fn own(shared: &RouteTable, service: &RegistryService) -> RouteTable {
        // Istio looks its own host up as it is written, among domains in lower case.
        let found = shared.domains.get(&service.host).cloned();
        let found = found.filter(|_| *service.host == *hosts::lower_case(&service.host));
        RouteTable {
            otherwise: found.map_or(Otherwise::Nothing, Otherwise::VirtualHost),
            ..RouteTable::default()
        }
    }

    /// What `visible` makes of its hosts; nothing where none of its routes is for this caller and port.
    fn routed<'s>(
        &self,
        scope: &Scope<'_>,
        visible: &Visible<'_>,
        index: usize,
        port: u16,
        on_port: &'s PortServices<'s>,
    ) -> Option<Routed<'s>> {
        let routes = visible.routes(port, on_port, self.clusters, self.workload);
        if routes.is_empty() {
            return None;
        }
        let (mut free, mut services) = (Vec::new(), Vec::new());
        let (wildcards, exact): (Vec<_>, Vec<_>) = visible.hosts.iter().partition(|host| host.starts_with('*'));
        for host in exact {
            let known = hosts::lower_case(host);
            match on_port.get(&known) {
                Some(one) => services.push(one),
                None if on_port.has_elsewhere(|other| *other == *known) => {}
                None => free.push(host.clone()),
            }
        }
        for host in wildcards.into_iter().map(|host| hosts::lower_case(host)) {
            let mut met = on_port
                .all
                .iter()
                .filter(|one| hosts::overlap(&one.host, &host))
                .peekable();
            if met.peek().is_none() {
                if !on_port.has_elsewhere(|other| hosts::overlap(other, &host)) {
                    free.push(host);
                }
                continue;
            }
            // A wildcard leaves the services that a more specific host, of this or another one, is for.
            // Istio looks for that by the host in lower case, in a list of hosts as they are written.
            let owned =
                |one: &&OnPort<'_>| one.host == one.service.host && scope.attachments.owner(&one.host) == Some(index);
            services.extend(met.filter(owned));
        }
        services.retain(|one| one.is_http());
        (port == 80 || !services.is_empty()).then(|| Routed {
            routes: routes.into(),
            object: visible.reference(0),
            hosts: free,
            services,
        })
    }

    /// The virtual host of a service that no VirtualService has.
    fn unrouted(&self, one: &OnPort<'_>) -> VirtualHost {
        // The route names the host in lower case; a cluster declared in upper case is therefore not found (503 NC).
        let (cluster, name) = self.clusters.named(clusters::name(one.port.number, "", &one.host));
        let routes = match cluster {
            Some(cluster) if !one.host.contains(':') && self.hash(one).is_none() => Routes::Own(OwnRoute {
                cluster,
                retries: self.retries.clone(),
                traced: self.mesh.enable_tracing,
                line: one.service.object.line,
            }),
            cluster => Routes::Several(Arc::new([self.default_route(one, cluster, name)])),
        };
        VirtualHost::new(&one.host, one.port.number, one.service.object.at(one.port.line), routes)
    }

    /// What of a request to a service is hashed.
    fn hash(&self, one: &OnPort<'_>) -> Option<&HashKey> {
        self.clusters.rule(&one.host)?.of_service(one.port.number)
    }

    /// The same route where it is to a cluster that does not exist, is called by an address, or hashes.
    fn default_route(&self, one: &OnPort<'_>, cluster: Option<Arc<Cluster>>, name: Arc<str>) -> Route {
        Route {
            name: Some(self.default_name.clone()),
            condition: None,
            action: RouteAction::Forward {
                clusters: vec![WeightedCluster {
                    cluster,
                    name,
                    weight: 1,
                    edits: None,
                }],
                timeout: None,
                retries: self.retries.clone(),
                hash: self.hash(one).cloned().into_iter().collect(),
            },
            operation: self
                .mesh
                .enable_tracing
                .then(|| format!("{}:{}/*", one.host, one.port.number)),
            object: one.service.object.clone(),
            treatment: None,
        }
    }

    /// Virtual hosts in order, those of `routed` before those of services that are `left`; of equal names and equal
    /// domains the first stays.
    fn table(&self, routed: &[Routed<'_>], left: &[&OnPort<'_>], on_port: &PortServices<'_>, port: u16) -> RouteTable {
        let mut known = vec![false; on_port.all.len()];
        for one in routed.iter().flat_map(|routed| &routed.services).chain(left) {
            known[one.at] = true;
        }
        // Names that a service would have, were they not those of another one.
        let mut left_out: HashSet<Arc<str>> = HashSet::new();
        let mut is_known = |name: &str| {
            let is_known = on_port.get(name).is_some_and(|one| known[one.at]);
            if is_known {
                left_out.insert(hosts::lower_case(name).into());
            }
            is_known
        };
        let mut table = RouteTable::default();
        // Each has a second name with a dot behind it.
        table.domains.reserve(2 * (routed.len() + left.len()));
        let mut domains = |one: &OnPort<'_>| {
            let mut domains = domains(&one.host, &self.workload.namespace, one.service, &mut is_known);
            if !version::has(self.mesh.version, Change::TrailingDots) {
                domains.retain(|domain| !domain.ends_with('.'));
            }
            domains
        };
        // A host of a service is never one of those that no service has.
        let (mut done, mut free) = (vec![false; on_port.all.len()], HashSet::new());
        for routed in routed {
            let made = |host: &str| {
                let routes = Routes::Several(routed.routes.clone());
                VirtualHost::new(host, port, routed.object.clone(), routes)
            };
            for host in routed.hosts.iter().map(|host| hosts::lower_case(host)) {
                if free.insert(host.clone()) {
                    table.add(made(&host), vec![host.into()]);
                }
            }
            for one in &routed.services {
                if !std::mem::replace(&mut done[one.at], true) {
                    table.add(made(&one.host), domains(one));
                }
            }
        }
        for one in left {
            table.add(self.unrouted(one), domains(one));
        }
        table.contested.extend(left_out);
        table
    }
}

/// The egress listener whose services and routes a port's table is made of: that for the port, else the one for the rest.
fn scope_of<'s, 'w>(scopes: &'s [Scope<'w>], port: u16) -> Option<&'s Scope<'w>> {
    scopes.iter().find(|scope| match scope.port() {
        Some((number, _)) => number == port,
        None => true,
    })
}

/// Some host of the VirtualService is that of a service on the port, or covers one, or is covered by one.
fn meets(visible: &Visible<'_>, on_port: &PortServices<'_>) -> bool {
    visible.hosts.iter().map(|host| hosts::lower_case(host)).any(|host| {
        on_port.get(&host).is_some()
            || on_port
                .all
                .iter()
                .filter(|one| host.starts_with('*') || one.host.starts_with('*'))
                .any(|one| hosts::overlap(&host, &one.host))
    })
}
