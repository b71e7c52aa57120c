//! How VirtualServices attach to services: no merging on sidecars, the first in order owns a host.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use super::{
    Workload,
    clusters::{self, Clusters},
    hosts::{self, HostMap},
    listeners::{Chain, ChainMatch, Target},
    registry::{self, RegistryPort, RegistryService},
    routes::{
        Condition, Route, RouteAction, RouteTable, VirtualHost, WeightedCluster, default_retries, domains, retries,
    },
    visibility::{self, Export, Fits},
};
use crate::model::{
    EgressListener, HttpMatch, HttpRoute, L4Match, L4Route, Labels, MeshConfig, Object, ProtocolClass,
    RouteDestination, VirtualService, World,
};

/// A VirtualService that the workload sees, with its hosts written out.
pub(super) struct Visible<'w> {
    object: &'w Object<VirtualService>,
    hosts: Vec<String>,
    tracing: bool,
}

/// Visible VirtualServices in Istio's order: private to the namespace, exported to it, public; each by age.
pub(super) fn visible<'w>(
    world: &'w World,
    mesh: &MeshConfig,
    egress: &[EgressListener],
    workload: &Workload,
) -> Vec<Visible<'w>> {
    let mut found: Vec<(u8, Visible<'w>)> = world
        .virtual_services
        .iter()
        .filter_map(|object| {
            let spec = &object.spec;
            let own = &object.meta.namespace;
            let export = Export::of(
                &spec.export_to,
                &mesh.default_virtual_service_export_to,
                own,
                &workload.namespace,
            );
            let rank = match export {
                Export::Private => 0,
                Export::Listed => 1,
                Export::Public => 2,
                Export::Hidden => return None,
            };
            if !spec.gateways.is_empty() && !spec.gateways.iter().any(|gateway| gateway == "mesh") {
                return None;
            }
            let hosts: Vec<String> = spec.hosts.iter().map(|host| hosts::qualify(host, own)).collect();
            let admitted = egress.iter().any(|listener| {
                hosts
                    .iter()
                    .any(|host| visibility::imports(listener, own, host, &workload.namespace, Fits::Overlapping))
            });
            admitted.then_some((
                rank,
                Visible {
                    object,
                    hosts,
                    tracing: mesh.enable_tracing,
                },
            ))
        })
        .collect();
    found.sort_by_key(|(rank, visible)| (*rank, registry::age(visible.object, &visible.object.meta.name)));
    found.into_iter().map(|(_, visible)| visible).collect()
}

/// Visible VirtualServices with an index, so that attaching them to many services stays linear.
pub(super) struct Attachments<'w> {
    pub all: Vec<Visible<'w>>,
    /// The owner of each host: the most specific pattern, the first in order for equal ones.
    owners: HostMap<usize>,
    exact: HashMap<String, Vec<usize>>,
    wildcards: Vec<usize>,
}

impl<'w> Attachments<'w> {
    pub fn new(all: Vec<Visible<'w>>) -> Self {
        let (mut owners, mut exact, mut wildcards) = (HostMap::default(), HashMap::new(), Vec::new());
        for (index, visible) in all.iter().enumerate() {
            for host in &visible.hosts {
                owners.insert(host, index);
                if host.starts_with('*') {
                    wildcards.push(index);
                } else {
                    let same: &mut Vec<usize> = exact.entry(host.to_ascii_lowercase()).or_default();
                    same.push(index);
                }
            }
        }
        Self {
            all,
            owners,
            exact,
            wildcards,
        }
    }

    /// The VirtualService that owns `host`: an exact host before wildcards, a longer wildcard before a shorter one.
    pub fn owner(&self, host: &str) -> Option<&Visible<'w>> {
        self.owners.get(host).map(|index| &self.all[*index])
    }

    /// All VirtualServices whose hosts cover `host`, in order.
    fn covering(&self, host: &str) -> impl Iterator<Item = &Visible<'w>> {
        let exact = self.exact.get(&host.to_ascii_lowercase());
        let mut indices: Vec<usize> = exact.into_iter().flatten().chain(&self.wildcards).copied().collect();
        indices.sort_unstable();
        indices.dedup();
        let host = host.to_string();
        indices
            .into_iter()
            .map(|index| &self.all[index])
            .filter(move |visible| visible.hosts.iter().any(|own| hosts::covers(own, &host)))
    }
}

/// Hosts of services, asked whether a pattern covers any of them.
pub(super) struct Covered<'r> {
    exact: HashSet<String>,
    all: Vec<&'r str>,
}

impl<'r> Covered<'r> {
    pub fn new(hosts: impl Iterator<Item = &'r str>) -> Self {
        let all: Vec<&str> = hosts.collect();
        Self {
            exact: all.iter().map(|host| host.to_ascii_lowercase()).collect(),
            all,
        }
    }

    fn by(&self, pattern: &str) -> bool {
        if pattern.starts_with('*') {
            self.all.iter().any(|host| hosts::covers(pattern, host))
        } else {
            self.exact.contains(&pattern.to_ascii_lowercase())
        }
    }
}

/// The services that visible VirtualServices send traffic to.
pub(super) fn destinations<'r>(visible: &'r [RegistryService], own: &[Visible<'_>]) -> Vec<&'r RegistryService> {
    let named: HashSet<String> = own
        .iter()
        .flat_map(|service| {
            let spec = &service.object.spec;
            let routes = spec.http.iter().flat_map(|route| &route.route);
            let l4 = spec.tls.iter().chain(&spec.tcp).flat_map(|route| &route.route);
            let namespace = &service.object.meta.namespace;
            routes
                .chain(l4)
                .map(|destination| hosts::qualify(&destination.host, namespace))
        })
        .collect();
    visible
        .iter()
        .filter(|service| named.contains(&*service.host))
        .collect()
}

impl Visible<'_> {
    /// Routes for one listener port; empty where none fits it, so that the service's default route holds.
    pub fn routes(&self, port: u16, clusters: &Clusters, workload: &Workload, virtual_host: &str) -> Vec<Route> {
        let mut routes = Vec::new();
        for route in &self.object.spec.http {
            let whole = [HttpMatch::default()];
            let conditions = if route.matches.is_empty() {
                whole.as_slice()
            } else {
                route.matches.as_slice()
            };
            for condition in conditions.iter().filter(|condition| {
                fits(
                    &condition.gateways,
                    &condition.source_labels,
                    condition.source_namespace.as_deref(),
                    condition.port,
                    port,
                    workload,
                )
            }) {
                let compiled = Condition::of(condition);
                let catch_all = compiled.is_none();
                routes.push(self.route(route, condition, compiled, port, clusters, virtual_host));
                if catch_all {
                    return routes;
                }
            }
        }
        routes
    }

    fn route(
        &self,
        route: &HttpRoute,
        condition: &HttpMatch,
        compiled: Option<Condition>,
        port: u16,
        clusters: &Clusters,
        virtual_host: &str,
    ) -> Route {
        let action = if let Some(redirect) = &route.redirect {
            if matches!(redirect.code, 301 | 302 | 303 | 307 | 308) {
                RouteAction::Redirect(redirect.clone())
            } else {
                RouteAction::Nothing
            }
        } else if let Some(response) = &route.direct_response {
            RouteAction::Respond {
                status: response.status,
                body: response.body.clone(),
            }
        } else {
            RouteAction::Forward {
                clusters: self.weighted(&route.route, port, clusters),
                timeout: route.timeout,
                retries: match &route.retries {
                    Some(own) => retries(own),
                    None => Some(default_retries()),
                },
            }
        };
        let name = match (&route.name, &condition.name) {
            (Some(route), Some(own)) => Some(format!("{route}.{own}").into()),
            (name, _) => name.clone(),
        };
        let path = compiled.as_ref().map_or_else(|| "/*".into(), Condition::operation_path);
        Route {
            name,
            operation: self.tracing.then(|| format!("{virtual_host}{path}")),
            condition: compiled,
            action,
            object: self.object.reference("VirtualService", route.line),
            unsupported: route.unsupported.clone(),
        }
    }

    fn weighted(&self, destinations: &[RouteDestination], port: u16, clusters: &Clusters) -> Vec<WeightedCluster> {
        let single = destinations.len() == 1;
        destinations
            .iter()
            .filter(|destination| single || destination.weight > 0)
            .map(|destination| {
                let host = hosts::qualify(&destination.host, &self.object.meta.namespace);
                let port = destination.port.or_else(|| clusters.only_port(&host)).unwrap_or(port);
                let name = clusters::name(port, destination.subset.as_deref().unwrap_or_default(), &host);
                WeightedCluster {
                    cluster: clusters.get(&name).cloned(),
                    name,
                    weight: destination.weight.max(1),
                }
            })
            .collect()
    }

    /// Istio: a host that no service has gets a virtual host on port 80, or on a port that another host of the same
    /// VirtualService is served on.
    pub fn add_unregistered(
        &self,
        port: u16,
        on_port: &Covered<'_>,
        table: &mut RouteTable,
        clusters: &Clusters,
        imported: &Covered<'_>,
        workload: &Workload,
    ) {
        if port != 80 && !self.hosts.iter().any(|host| on_port.by(host)) {
            return;
        }
        for host in self.hosts.iter().filter(|host| !imported.by(host)) {
            let name = format!("{host}:{port}");
            let routes = self.routes(port, clusters, workload, &name);
            if !routes.is_empty() {
                let object = self.object.reference("VirtualService", 0);
                let names = domains(host, None, std::iter::empty());
                table.add(VirtualHost { name, object, routes }, names.iter().map(String::as_str));
            }
        }
    }
}

/// The part of a match that is decided when the policy is compiled.
fn fits(
    gateways: &[String],
    labels: &Labels,
    namespace: Option<&str>,
    port: Option<u16>,
    listener: u16,
    workload: &Workload,
) -> bool {
    if port.is_some_and(|port| port != listener) {
        return false;
    }
    if !gateways.is_empty() {
        // With gateways named, only they count for the source.
        return gateways.iter().any(|gateway| gateway == "mesh");
    }
    labels
        .iter()
        .all(|(key, value)| workload.labels.get(key) == Some(value))
        && namespace.is_none_or(|namespace| namespace == &*workload.namespace)
}

/// The TCP chains of a TLS, TCP or sniffed port: from VirtualServices, else the default one.
pub(super) fn chains(
    service: &RegistryService,
    port: &RegistryPort,
    ranges: &[IpNet],
    addresses: &[IpAddr],
    own: &Attachments<'_>,
    clusters: &Clusters,
    workload: &Workload,
) -> Vec<(ChainMatch, Chain)> {
    let class = port.protocol.class();
    let mut chains = Vec::new();
    for visible in own.covering(&service.host) {
        let spec = &visible.object.spec;
        let tls = class == ProtocolClass::Tls;
        for route in if tls { &spec.tls } else { &spec.tcp } {
            let terminal = visible.l4_route(route, port, tls, ranges, clusters, workload, &mut chains);
            if terminal {
                return chains;
            }
        }
    }
    if !chains.is_empty() && class == ProtocolClass::Tls {
        return chains;
    }
    let cluster = clusters.get(&clusters::name(port.number, "", &service.host)).cloned();
    // With a virtual address no name is checked: whatever is sent to it goes to that service.
    let by_name = class == ProtocolClass::Tls && (!ranges.is_empty() || addresses.is_empty());
    chains.push((
        ChainMatch {
            ranges: ranges.to_vec(),
            names: if by_name {
                vec![service.host.clone()]
            } else {
                Vec::new()
            },
            http: false,
        },
        Chain {
            target: Target::Tcp(vec![(cluster, 1)]),
            object: Some(crate::model::ObjectRef {
                line: port.line,
                ..service.object.clone()
            }),
        },
    ));
    chains
}

impl Visible<'_> {
    /// Adds the chains of one `tls[]` or `tcp[]` entry; true when it takes everything and ends the list.
    #[allow(clippy::too_many_arguments)] // one step of `chains`, which has them all at hand
    fn l4_route(
        &self,
        route: &L4Route,
        port: &RegistryPort,
        tls: bool,
        ranges: &[IpNet],
        clusters: &Clusters,
        workload: &Workload,
        chains: &mut Vec<(ChainMatch, Chain)>,
    ) -> bool {
        let targets = self
            .weighted(&route.route, port.number, clusters)
            .into_iter()
            .map(|target| (target.cluster, target.weight))
            .collect();
        let chain = Chain {
            target: Target::Tcp(targets),
            object: Some(self.object.reference("VirtualService", route.line)),
        };
        if route.matches.is_empty() {
            chains.push((
                ChainMatch {
                    ranges: ranges.to_vec(),
                    ..ChainMatch::default()
                },
                chain,
            ));
            return true;
        }
        let fitting = route.matches.iter().filter(|condition: &&L4Match| {
            fits(
                &condition.gateways,
                &condition.source_labels,
                condition.source_namespace.as_deref(),
                condition.port,
                port.number,
                workload,
            )
        });
        let mut terminal = false;
        for condition in fitting {
            let subnets = &condition.destination_subnets;
            let names: Vec<Arc<str>> = if tls { condition.sni_hosts.clone() } else { Vec::new() };
            let ranges = if subnets.is_empty() {
                ranges.to_vec()
            } else {
                subnets.iter().map(IpNet::trunc).collect()
            };
            chains.push((
                ChainMatch {
                    ranges,
                    names,
                    http: false,
                },
                chain.clone(),
            ));
            terminal |= !tls && subnets.is_empty();
        }
        terminal
    }
}
