//! Upstream groups: one for each service and port, and one for each subset of it.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use super::{
    Cluster, ClusterSettings, Endpoints, Spread, Workload,
    balance::{Placed, Spreading},
    cluster_settings::{Plain, is_refused, locality_setting, of_subset, over_mesh, settings},
    host_rules::HostRule,
    names::{NameMap, Named},
    registry::{RegistryService, ServiceKind},
    rules::Rules,
    shared_endpoints::{Declared, OfHost, SamePort, SharedEndpoints},
};
use crate::model::{
    Labels, MeshConfig, ObjectRef, Port, Protocol, Resolution, RouteDestination, SimpleBalancer, Subset, TrafficPolicy,
    World,
};

/// Clusters by name (`outbound|80||httpbin.org`), and what else of their services routes are made by.
#[derive(Debug, Default)]
pub(super) struct Clusters {
    pub by_name: NameMap<Arc<Cluster>>,
    /// The only port of a host's service; `None` where it has several. Known where VirtualServices route streams.
    only_port: HashMap<Arc<str>, Option<u16>>,
    /// What the names of ExternalName Services stand for.
    alias_of: HashMap<Arc<str>, Arc<str>>,
    /// What DestinationRules say of the routes and streams to a host, where they do.
    rules: HashMap<Arc<str>, HostRule>,
}

impl Named for Arc<Cluster> {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Clusters {
    pub fn get(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.by_name.get(name)
    }

    /// The cluster of this name with the name itself, which all that lead to it share.
    pub fn named(&self, name: String) -> (Option<Arc<Cluster>>, Arc<str>) {
        match self.get(&name) {
            Some(cluster) => (Some(cluster.clone()), cluster.name.clone()),
            None => (None, name.into()),
        }
    }

    /// The only port of a service.
    pub fn only_port(&self, host: &str) -> Option<u16> {
        self.only_port.get(host).copied().flatten()
    }
}

impl Clusters {
    /// What a DestinationRule says of the routes and streams to a host.
    pub fn rule(&self, host: &str) -> Option<&HostRule> {
        self.rules.get(host)
    }

    /// The host whose cluster traffic to `host` goes to.
    pub fn concrete<'h>(&'h self, host: &'h str) -> &'h str {
        self.alias_of.get(host).map_or(host, |target| target)
    }
}

/// Istio's name of a cluster.
pub(super) fn name(port: u16, subset: &str, host: &str) -> String {
    // A name is made for every port of every service: put together without growing, and without formatting the host.
    ["outbound|", &port.to_string(), "|", subset, "|", host].concat()
}

/// The name of a destination's cluster that is written out in full: no short name, and a port.
pub(super) fn name_of(destination: &RouteDestination) -> String {
    let subset = destination.subset.as_deref().unwrap_or_default();
    name(destination.port.unwrap_or_default(), subset, &destination.host)
}

/// Host and port of a cluster's name.
pub(super) fn host_and_port(name: &str) -> Option<(&str, &str)> {
    let mut parts = name.split('|');
    let (_, port, _, host) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some((host, port))
}

/// The clusters of `services`, one service for each host; with their only ports where VirtualServices route streams.
pub(super) fn clusters(
    services: &[Arc<RegistryService>],
    routes_streams: bool,
    shared: &SharedEndpoints<'_>,
    world: &World,
    mesh: &MeshConfig,
    workload: &Workload,
) -> Clusters {
    let rules = Rules::new(world, mesh);
    let ports = services.iter().map(|service| service.ports.len()).sum();
    let mut clusters = Clusters::default();
    clusters.by_name.reserve(ports);
    let plain = Plain::new(mesh);
    for service in services {
        if routes_streams {
            let only_port = match &*service.ports {
                [only] => Some(only.number),
                _ => None,
            };
            clusters.only_port.insert(service.host.clone(), only_port);
        }
        if let Some(target) = service.alias_of() {
            clusters.alias_of.insert(service.host.clone(), target.clone());
            continue;
        }
        let rule = rules.for_service(service, workload);
        if let Some(rule) = rule.and_then(HostRule::of) {
            clusters.rules.insert(service.host.clone(), rule);
        }
        let declared = shared.of(service);
        for port in service.ports.iter().filter(|port| has_cluster(service, port)) {
            let ejects =
                |policy: Option<&TrafficPolicy>| policy.is_some_and(|policy| policy.outlier_detection.is_some());
            let endpoints = |labels: Option<&Labels>, policy: Option<&TrafficPolicy>, ejects: bool| {
                let spreading = Spreading {
                    labels: &workload.labels,
                    setting: locality_setting(policy, mesh),
                    ejects,
                    by_labels: labels.is_none() || !service.is_named(),
                };
                endpoints(service, port, labels, declared, &spreading)
            };
            let written = rule.and_then(|rule| rule.policy).map(|set| set.of_port(port.number).0);
            let policy = over_mesh(written, mesh);
            let policy = policy.as_deref();
            // Istio tells addresses apart from their clusters, and asks no more than the rule of these.
            let by_rule = !service.is_named() && mesh.default_traffic_policy.outlier_detection.is_some();
            let mut add = |subset: Option<&Subset>, endpoints, policy: Option<&TrafficPolicy>| {
                let (endpoints, spread): Spreaded = endpoints;
                let selects = rule.is_some_and(|rule| rule.selector.is_some());
                if let ServiceKind::Entry(entry) = &service.kind
                    && service.is_dynamic()
                    && is_refused(&entry.spec, port.protocol, policy, selects, mesh)
                {
                    return;
                }
                let settings = match (policy, &spread) {
                    (None, None) => plain.of(port),
                    _ => Arc::new(settings(policy, rule, service, port, mesh, (&endpoints, spread))),
                };
                let name = subset.map_or("", |subset| &subset.name);
                let says = policy.is_some_and(|policy| *policy != TrafficPolicy::default());
                let written = rule.filter(|_| says).and_then(|rule| rule.reference(subset));
                let cluster = made(service, port, name, endpoints, settings, written);
                clusters.by_name.put(Arc::new(cluster));
            };
            // Istio leaves a service that has no endpoint to resolve out, with its subsets.
            let fails_over = ejects(if by_rule { written } else { policy });
            let Some(all) = endpoints(None, policy, fails_over) else {
                continue;
            };
            add(None, balanced(all, policy), policy);
            // What the sidecar resolves by itself has no parts.
            let subsets = rule.filter(|_| !service.is_dynamic()).map(|rule| &*rule.subsets);
            for subset in subsets.unwrap_or_default() {
                let own = of_subset(policy, subset, port.number);
                let to_itself = subset
                    .policy
                    .as_ref()
                    .is_some_and(|set| to_original_address(&set.policy));
                let fails_over = match by_rule {
                    true => ejects(of_subset(written, subset, port.number).as_ref()),
                    false => ejects(own.as_ref()),
                };
                let endpoints = match endpoints(Some(&subset.labels), own.as_ref(), fails_over) {
                    None if to_itself => Some((Endpoints::OriginalDst(None), None)),
                    endpoints => endpoints,
                };
                if let Some(endpoints) = endpoints {
                    add(Some(subset), balanced(endpoints, own.as_ref()), own.as_ref());
                }
            }
        }
    }
    clusters
}

fn has_cluster(service: &RegistryService, port: &Port) -> bool {
    match port.protocol {
        Protocol::Udp => false,
        Protocol::Http | Protocol::Tls | Protocol::Grpc | Protocol::Http2 => true,
        _ => !service.is_dynamic(),
    }
}

/// Endpoints, and how they differ where they do.
type Spreaded = (Endpoints, Option<Spread>);

/// Istio: load balancing by PASSTHROUGH goes to the connection's own address, whatever the endpoints are.
fn balanced((endpoints, spread): Spreaded, policy: Option<&TrafficPolicy>) -> Spreaded {
    match endpoints {
        Endpoints::OriginalDst(_) | Endpoints::DynamicDns(_) => (endpoints, None),
        _ if policy.is_some_and(to_original_address) => (Endpoints::OriginalDst(None), None),
        _ => (endpoints, spread),
    }
}

fn to_original_address(policy: &TrafficPolicy) -> bool {
    let balancer = policy.load_balancer.as_ref();
    balancer.is_some_and(|balancer| balancer.simple == SimpleBalancer::Passthrough)
}

fn made(
    service: &RegistryService,
    port: &Port,
    subset: &str,
    endpoints: Endpoints,
    settings: Arc<ClusterSettings>,
    rule: Option<ObjectRef>,
) -> Cluster {
    Cluster {
        name: name(port.number, subset, &service.host).into(),
        host: service.host.clone(),
        endpoints,
        settings,
        object: Some(service.object.at(port.line)),
        rule: rule.map(Box::new),
    }
}

/// Where the endpoints with `labels` come from, and how they differ; `None` where Istio leaves the cluster out.
fn endpoints(
    service: &RegistryService,
    port: &Port,
    labels: Option<&Labels>,
    declared: OfHost<'_>,
    spreading: &Spreading<'_>,
) -> Option<Spreaded> {
    let target = port.target_port.unwrap_or(port.number);
    let plain = match &service.kind {
        // Outside the cluster's network the cluster address is what can be dialled; inside, kube-proxy does the rest.
        ServiceKind::Kubernetes(addresses) if addresses.is_empty() => Endpoints::OriginalDst(None),
        ServiceKind::Kubernetes(addresses) => Endpoints::Static(
            addresses
                .iter()
                .map(|address| SocketAddr::new(*address, port.number))
                .collect(),
        ),
        ServiceKind::Alias(_) => return None,
        ServiceKind::Entry(entry) => match entry.spec.resolution {
            Resolution::None => Endpoints::OriginalDst(port.target_port),
            Resolution::DynamicDns => Endpoints::DynamicDns(target),
            Resolution::Static => {
                let named = declared.endpoints(SamePort::Name(&port.name), labels);
                let addresses = named.filter_map(|declared| {
                    let address = SocketAddr::new(declared.address.parse().ok()?, declared.port);
                    Some((address, declared))
                });
                let (addresses, spread) = placed(addresses.collect(), spreading);
                return Some((Endpoints::Static(addresses.into()), spread));
            }
            Resolution::Dns | Resolution::DnsRoundRobin => {
                let named = declared.endpoints(SamePort::Number(port.number), labels);
                let names: Vec<_> = named
                    .map(|declared| match *declared.address == *service.host {
                        true => ((service.host.clone(), declared.port), declared),
                        false => ((declared.address.into(), declared.port), declared),
                    })
                    .collect();
                if names.is_empty() {
                    return None;
                }
                let (names, spread) = placed(names, spreading);
                let endpoints = match &*names {
                    [(name, port)] if *name == service.host => Endpoints::Host(*port),
                    _ => Endpoints::Dns(names.into()),
                };
                return Some((endpoints, spread));
            }
        },
    };
    Some((plain, None))
}

/// The endpoints that there are to this caller, and how they differ.
fn placed<T>(endpoints: Vec<(T, Declared<'_>)>, spreading: &Spreading<'_>) -> (Vec<T>, Option<Spread>) {
    static NO_LABELS: Labels = Labels::new();
    let distributes = spreading
        .setting
        .is_some_and(|holding| !holding.setting().distribute.is_empty());
    if endpoints.len() < 2 && !distributes {
        return (endpoints.into_iter().map(|(endpoint, _)| endpoint).collect(), None);
    }
    let places: Vec<Placed<'_>> = endpoints
        .iter()
        .map(|(_, declared)| Placed {
            weight: declared.written.map_or(0, |written| written.weight),
            locality: declared.written.map_or("", |written| &written.locality),
            labels: declared.written.map_or(&NO_LABELS, |written| &written.labels),
        })
        .collect();
    let (spread, there) = spreading.places(&places);
    let endpoints = endpoints.into_iter().zip(there);
    let endpoints = endpoints.filter_map(|((endpoint, _), there)| there.then_some(endpoint));
    (endpoints.collect(), spread)
}
