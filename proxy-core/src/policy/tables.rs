//! The route table of a port: which virtual hosts there are, with which domains and routes. Istio: RDS.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Workload,
    clusters::{self, Clusters},
    hosts,
    registry::RegistryService,
    routes::{Otherwise, Route, RouteAction, RouteTable, VirtualHost, WeightedCluster, domains, retries},
    scope::Scope,
    virtual_services::Visible,
};
use crate::model::{MeshConfig, ObjectRef, Port, Protocol, ProtocolClass};

/// Makes the tables of one workload.
pub(super) struct Tables<'s> {
    pub clusters: &'s Clusters,
    pub workload: &'s Workload,
    pub mesh: &'s MeshConfig,
}

/// A service on the table's port, by its host in lower case: routes and virtual hosts name it so.
pub(super) struct OnPort<'s> {
    host: String,
    service: &'s RegistryService,
    port: &'s Port,
}

impl OnPort<'_> {
    fn is_http(&self) -> bool {
        matches!(self.port.protocol.class(), ProtocolClass::Http | ProtocolClass::Auto)
    }
}

/// Services on the table's port by host.
pub(super) struct ByHost<'s>(HashMap<&'s str, &'s OnPort<'s>>);

impl<'s> ByHost<'s> {
    fn get(&self, host: &str) -> Option<&'s OnPort<'s>> {
        self.0.get(host).copied()
    }

    /// The host whose cluster `host` stands for.
    pub fn meant(&self, host: &str) -> String {
        let alias = self.get(host).and_then(|one| one.service.alias_of());
        alias.map_or_else(|| host.to_string(), |target| target.to_string())
    }
}

/// Routes that some hosts share.
struct Routed<'s> {
    routes: Arc<[Route]>,
    object: ObjectRef,
    /// Hosts that no service has.
    hosts: Vec<String>,
    services: Vec<&'s OnPort<'s>>,
}

impl Tables<'_> {
    /// The table of `port` for everything that `scope` imports.
    pub fn shared(&self, scope: &Scope<'_>, port: u16) -> RouteTable {
        let on_port = on_port(scope, port);
        let by_host = ByHost(on_port.iter().map(|one| (one.host.as_str(), one)).collect());
        let mut all: Vec<Routed<'_>> = Vec::new();
        for (index, visible) in scope.attachments.all.iter().enumerate() {
            // Istio keeps VirtualServices without a service for port 80 alone, where hosts of no service are served.
            if port == 80 || meets(visible, &on_port, &by_host) {
                all.extend(self.routed(scope, visible, index, port, &on_port, &by_host));
            }
        }
        let taken: HashSet<&str> = all
            .iter()
            .flat_map(|routed| &routed.services)
            .map(|one| one.host.as_str())
            .collect();
        let left = on_port
            .iter()
            .filter(|one| one.is_http() && one.service.alias_of().is_none() && !taken.contains(one.host.as_str()));
        all.extend(left.map(|one| self.unrouted(one)).collect::<Vec<_>>());
        self.table(&all, port)
    }

    /// The table of a sniffed port at a virtual address: the host of `service` alone, whatever a request's Host says.
    pub fn own(&self, scope: &Scope<'_>, service: &RegistryService, port: u16) -> RouteTable {
        let mut shared = self.shared(scope, port);
        // Istio looks its own host up as it is written, among domains in lower case.
        let found = shared.domains.get(&service.host).copied();
        let found = found.filter(|_| *service.host == *hosts::lower_case(&service.host));
        let Some(index) = found else {
            return RouteTable {
                otherwise: Otherwise::Nothing,
                ..RouteTable::default()
            };
        };
        RouteTable {
            virtual_hosts: vec![shared.virtual_hosts.swap_remove(index)],
            otherwise: Otherwise::VirtualHost(0),
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
        on_port: &'s [OnPort<'s>],
        by_host: &ByHost<'s>,
    ) -> Option<Routed<'s>> {
        let routes = visible.routes(port, by_host, self.clusters, self.workload);
        if routes.is_empty() {
            return None;
        }
        let (mut free, mut services) = (Vec::new(), Vec::new());
        let (wildcards, exact): (Vec<_>, Vec<_>) = visible.hosts.iter().partition(|host| host.starts_with('*'));
        for host in exact {
            match by_host.get(hosts::lower_case(host).as_str()) {
                Some(one) => services.push(one),
                None => free.push(host.clone()),
            }
        }
        for host in wildcards.into_iter().map(|host| hosts::lower_case(host)) {
            let mut met = on_port.iter().filter(|one| hosts::overlap(&one.host, &host)).peekable();
            if met.peek().is_none() {
                free.push(host);
                continue;
            }
            // A wildcard leaves the services that a more specific host, of this or another one, is for.
            // Istio looks for that by the host in lower case, in a list of hosts as they are written.
            let owned =
                |one: &&OnPort<'_>| *one.host == *one.service.host && scope.attachments.owner(&one.host) == Some(index);
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

    /// A service that no VirtualService has.
    fn unrouted<'s>(&self, one: &'s OnPort<'s>) -> Routed<'s> {
        // The route names the host in lower case; a cluster declared in upper case is therefore not found (503 NC).
        let name = clusters::name(one.port.number, "", &one.host);
        let route = Route {
            name: Some("default".into()),
            condition: None,
            action: RouteAction::Forward {
                clusters: vec![WeightedCluster {
                    cluster: self.clusters.get(&name).cloned(),
                    name,
                    weight: 1,
                    edits: None,
                }],
                timeout: None,
                retries: retries(None, self.mesh),
            },
            operation: self
                .mesh
                .enable_tracing
                .then(|| format!("{}:{}/*", one.host, one.port.number)),
            object: one.service.object.clone(),
            treatment: None,
        };
        Routed {
            routes: Arc::new([route]),
            object: ObjectRef {
                line: one.port.line,
                ..one.service.object.clone()
            },
            hosts: Vec::new(),
            services: vec![one],
        }
    }

    /// Virtual hosts in order; of equal names and equal domains the first stays.
    fn table(&self, all: &[Routed<'_>], port: u16) -> RouteTable {
        let known: HashSet<&str> = all
            .iter()
            .flat_map(|routed| &routed.services)
            .map(|one| one.host.as_str())
            .collect();
        let (mut table, mut names) = (RouteTable::default(), HashSet::new());
        for routed in all {
            let free = routed.hosts.iter().map(|host| (hosts::lower_case(host), None));
            let services = routed.services.iter().map(|one| (one.host.clone(), Some(*one)));
            for (host, service) in free.chain(services) {
                let name = match host.contains(':') {
                    true => format!("[{host}]:{port}"),
                    false => format!("{host}:{port}"),
                };
                if !names.insert(name.clone()) {
                    continue;
                }
                let domains = match service {
                    Some(one) => domains(&one.host, &self.workload.namespace, one.service, &known),
                    None => vec![host],
                };
                let virtual_host = VirtualHost {
                    name,
                    object: routed.object.clone(),
                    routes: routed.routes.clone(),
                };
                table.add(virtual_host, domains.iter().map(String::as_str));
            }
        }
        table
    }
}

/// Services with `port`, one for each host: Istio keeps the last.
fn on_port<'s>(scope: &'s Scope<'_>, port: u16) -> Vec<OnPort<'s>> {
    let (mut found, mut by_host): (Vec<OnPort<'_>>, HashMap<String, usize>) = Default::default();
    for service in &scope.services {
        let own = service
            .ports
            .iter()
            .find(|own| own.number == port && own.protocol != Protocol::Udp);
        let Some(own) = own else { continue };
        let host = hosts::lower_case(&service.host);
        let one = OnPort {
            host: host.clone(),
            service,
            port: own,
        };
        match by_host.get(&host) {
            Some(index) => found[*index] = one,
            None => {
                by_host.insert(host, found.len());
                found.push(one);
            }
        }
    }
    found
}

/// Some host of the VirtualService is that of a service on the port, or covers one, or is covered by one.
fn meets(visible: &Visible<'_>, on_port: &[OnPort<'_>], by_host: &ByHost<'_>) -> bool {
    visible.hosts.iter().map(|host| hosts::lower_case(host)).any(|host| {
        by_host.get(host.as_str()).is_some()
            || on_port
                .iter()
                .filter(|one| host.starts_with('*') || one.host.starts_with('*'))
                .any(|one| hosts::overlap(&host, &one.host))
    })
}
