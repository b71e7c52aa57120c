//! How VirtualServices attach to services: no merging on sidecars, the first in order owns a host.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{
    Workload,
    clusters::{self, Clusters},
    hosts,
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

/// The VirtualService that owns `host`: an exact host before wildcards, a longer wildcard before a shorter one.
pub(super) fn for_host<'v, 'w>(own: &'v [Visible<'w>], host: &str) -> Option<&'v Visible<'w>> {
    let mut best: Option<(usize, &Visible<'_>)> = None;
    for visible in own {
        for pattern in visible.hosts.iter().filter(|pattern| hosts::covers(pattern, host)) {
            let weight = if pattern.starts_with('*') {
                pattern.len()
            } else {
                usize::MAX
            };
            if best.is_none_or(|(known, _)| weight > known) {
                best = Some((weight, visible));
            }
        }
    }
    best.map(|(_, visible)| visible)
}

/// The services that visible VirtualServices send traffic to.
pub(super) fn destinations<'r>(visible: &'r [RegistryService], own: &[Visible<'_>]) -> Vec<&'r RegistryService> {
    let named: std::collections::HashSet<String> = own
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
                let port = destination.port.or_else(|| only_port(&host, clusters)).unwrap_or(port);
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
        has_service: &dyn Fn(&str) -> bool,
        table: &mut RouteTable,
        clusters: &Clusters,
        imported: &[RegistryService],
        workload: &Workload,
    ) {
        let known =
            |host: &String| has_service(host) || imported.iter().any(|service| hosts::covers(host, &service.host));
        if port != 80 && !self.hosts.iter().any(|host| has_service(host)) {
            return;
        }
        for host in self.hosts.iter().filter(|host| !known(host)) {
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

/// The only port of a service, as its clusters tell.
fn only_port(host: &str, clusters: &Clusters) -> Option<u16> {
    let mut ports = clusters
        .values()
        .filter(|cluster| &*cluster.host == host)
        .filter_map(|cluster| cluster.name.split('|').nth(1)?.parse().ok());
    let first = ports.next()?;
    ports.all(|port: u16| port == first).then_some(first)
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
    own: &[Visible<'_>],
    clusters: &Clusters,
    workload: &Workload,
) -> Vec<(ChainMatch, Chain)> {
    let class = port.protocol.class();
    let mut chains = Vec::new();
    for visible in own
        .iter()
        .filter(|visible| visible.hosts.iter().any(|host| hosts::covers(host, &service.host)))
    {
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
