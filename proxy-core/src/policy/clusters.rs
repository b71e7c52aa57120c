//! Upstream groups: one for each service and port, and one for each subset of it.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use super::{
    Cluster, ClusterSettings, Endpoints, OriginateTls, Spread, Upkeep, UpstreamHttp, Workload,
    balance::{self, Placed, Spreading},
    host_rules::HostRule,
    names::{NameMap, Named},
    registry::{RegistryService, ServiceKind},
    rules::{Rule, Rules},
    shared_endpoints::{Declared, OfHost, SamePort, SharedEndpoints},
};
use crate::model::{
    ConnectionPool, Keepalive, Labels, LocalitySetting, MeshConfig, Port, Protocol, ProtocolClass, Resolution,
    RouteDestination, SimpleBalancer, Subset, TrafficPolicy, World,
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
            let endpoints = |labels: Option<&Labels>, policy: Option<&TrafficPolicy>| {
                let spreading = Spreading {
                    labels: &workload.labels,
                    setting: locality_setting(policy, mesh),
                    ejects: policy.is_some_and(|policy| policy.outlier_detection.is_some()),
                    by_labels: labels.is_none() || !service.is_named(),
                };
                endpoints(service, port, labels, declared, &spreading)
            };
            let policy = rule.and_then(|rule| rule.policy).map(|set| set.of_port(port.number).0);
            let mut add = |subset: &str, endpoints, policy: Option<&TrafficPolicy>| {
                let (endpoints, spread): Spreaded = endpoints;
                let settings = match (policy, &spread) {
                    (None, None) => plain.of(port),
                    _ => Arc::new(settings(policy, rule, service, port, mesh, (&endpoints, spread))),
                };
                let cluster = made(service, port, subset, endpoints, settings);
                clusters.by_name.put(Arc::new(cluster));
            };
            // Istio leaves a service that has no endpoint to resolve out, with its subsets.
            let Some(all) = endpoints(None, policy) else { continue };
            add("", balanced(all, policy), policy);
            // What the sidecar resolves by itself has no parts.
            let subsets = rule.filter(|_| !service.is_dynamic()).map(|rule| &*rule.subsets);
            for subset in subsets.unwrap_or_default() {
                let own = of_subset(policy, subset, port.number);
                let to_itself = subset
                    .policy
                    .as_ref()
                    .is_some_and(|set| to_original_address(&set.policy));
                let endpoints = match endpoints(Some(&subset.labels), own.as_ref()) {
                    None if to_itself => Some((Endpoints::OriginalDst(None), None)),
                    endpoints => endpoints,
                };
                if let Some(endpoints) = endpoints {
                    add(&subset.name, balanced(endpoints, own.as_ref()), own.as_ref());
                }
            }
        }
    }
    clusters
}

/// The settings of clusters without a DestinationRule: there is one of each kind, which all of that kind share.
struct Plain<'m> {
    mesh: &'m MeshConfig,
    kinds: [Arc<ClusterSettings>; 3],
}

impl<'m> Plain<'m> {
    fn new(mesh: &'m MeshConfig) -> Self {
        let kinds = [UpstreamHttp::Http1, UpstreamHttp::Http2, UpstreamHttp::AsCaller];
        Self {
            mesh,
            kinds: kinds.map(|http| {
                Arc::new(ClusterSettings {
                    upkeep: upkeep(None, mesh).map(Box::new),
                    ..ClusterSettings::plain(http, mesh.connect_timeout())
                })
            }),
        }
    }

    fn of(&self, port: &Port) -> Arc<ClusterSettings> {
        let [one, two, as_caller] = &self.kinds;
        match upstream_http(port.protocol, None, self.mesh) {
            UpstreamHttp::Http1 => one.clone(),
            UpstreamHttp::Http2 => two.clone(),
            UpstreamHttp::AsCaller => as_caller.clone(),
        }
    }
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

/// The locality setting that holds: the rule's, else the mesh's, which falls back where nothing is written. Istio:
/// `GetEffectiveLbSetting`.
fn locality_setting<'s>(policy: Option<&'s TrafficPolicy>, mesh: &'s MeshConfig) -> Option<&'s LocalitySetting> {
    static FAILS_OVER: LocalitySetting = LocalitySetting {
        enabled: None,
        distribute: Vec::new(),
        failover: Vec::new(),
        failover_priority: Vec::new(),
    };
    let balancer = policy.and_then(|policy| policy.load_balancer.as_ref());
    if balancer.is_some_and(|balancer| balancer.is_zone_aware) {
        return None;
    }
    let own = balancer.and_then(|balancer| balancer.locality.as_ref());
    let setting = own.or(mesh.locality.as_ref()).unwrap_or(&FAILS_OVER);
    (setting.enabled != Some(false)).then_some(setting)
}

/// How connections are kept: what the mesh says of probes holds but for what the rule says of the same.
pub(super) fn upkeep(policy: Option<&TrafficPolicy>, mesh: &MeshConfig) -> Option<Upkeep> {
    let pool = policy.and_then(|policy| policy.connection_pool.as_ref());
    let own = pool.and_then(|pool| pool.keepalive);
    let keepalive = match (mesh.keepalive, own) {
        (Some(mesh), Some(own)) => Some(Keepalive {
            probes: if own.probes > 0 { own.probes } else { mesh.probes },
            time: own.time.or(mesh.time),
            interval: own.interval.or(mesh.interval),
        }),
        (mesh, own) => own.or(mesh),
    };
    let upkeep = Upkeep {
        idle_timeout: pool.and_then(|pool| pool.http_idle_timeout.or(pool.idle_timeout)),
        max_duration: pool.and_then(|pool| pool.max_connection_duration),
        keepalive,
    };
    (upkeep != Upkeep::default()).then_some(upkeep)
}

/// The policy of a subset: its own blocks over the rule's; a policy for the very port replaces all of them.
fn of_subset(rule: Option<&TrafficPolicy>, subset: &Subset, port: u16) -> Option<TrafficPolicy> {
    let Some(own) = &subset.policy else {
        return rule.cloned();
    };
    let (own, replaces) = own.of_port(port);
    let rule = rule.filter(|_| !replaces);
    let over = |block: fn(&TrafficPolicy) -> bool| if block(own) { Some(own) } else { rule };
    Some(TrafficPolicy {
        tls: over(|policy| policy.tls.is_some()).and_then(|policy| policy.tls.clone()),
        connection_pool: over(|policy| policy.connection_pool.is_some())
            .and_then(|policy| policy.connection_pool.clone()),
        load_balancer: over(|policy| policy.load_balancer.is_some()).and_then(|policy| policy.load_balancer.clone()),
        outlier_detection: over(|policy| policy.outlier_detection.is_some())
            .and_then(|policy| policy.outlier_detection.clone()),
        unapplied: {
            let rule = rule.into_iter().flat_map(|rule| &rule.unapplied);
            let inherited = rule.filter(|part| !own.unapplied.contains(part));
            own.unapplied.iter().chain(inherited).copied().collect()
        },
    })
}

fn made(
    service: &RegistryService,
    port: &Port,
    subset: &str,
    endpoints: Endpoints,
    settings: Arc<ClusterSettings>,
) -> Cluster {
    Cluster {
        name: name(port.number, subset, &service.host).into(),
        host: service.host.clone(),
        endpoints,
        settings,
        object: Some(service.object.at(port.line)),
    }
}

/// What `policy`, which is of `rule`, and differences among its `endpoints` make of a cluster of `service`.
fn settings(
    policy: Option<&TrafficPolicy>,
    rule: Option<&Rule<'_>>,
    service: &RegistryService,
    port: &Port,
    mesh: &MeshConfig,
    (endpoints, spread): (&Endpoints, Option<Spread>),
) -> ClusterSettings {
    let pool = policy.and_then(|policy| policy.connection_pool.as_ref());
    let connect_timeout = pool.and_then(|pool| pool.connect_timeout);
    let of_pool = pool.into_iter().flat_map(|pool| &pool.unapplied);
    let of_policy = policy.into_iter().flat_map(|policy| &policy.unapplied);
    ClusterSettings {
        connect_timeout: connect_timeout.unwrap_or(mesh.connect_timeout()),
        balance: match endpoints {
            // Neither has anything to choose from.
            Endpoints::OriginalDst(_) | Endpoints::DynamicDns(_) => None,
            Endpoints::Static(_) | Endpoints::Host(_) | Endpoints::Dns(_) => balance::balance_of(policy, spread),
        },
        upkeep: upkeep(policy, mesh).map(Box::new),
        http: upstream_http(port.protocol, pool, mesh),
        tls: policy.and_then(|policy| originate(policy, rule, service)),
        limits: pool.map(|pool| pool.limits).unwrap_or_default(),
        unapplied: of_policy.chain(of_pool).copied().collect(),
    }
}

/// The HTTP of a cluster. Istio: what a port declares stands; a rule upgrades any port that says neither HTTP/2 nor
/// nothing, the mesh those of HTTP alone; and to keep the caller's protocol goes before all.
fn upstream_http(protocol: Protocol, pool: Option<&ConnectionPool>, mesh: &MeshConfig) -> UpstreamHttp {
    let upgrade = pool.and_then(|pool| pool.h2_upgrade);
    let upgraded = upgrade.unwrap_or(mesh.h2_upgrade && protocol.class() == ProtocolClass::Http);
    match protocol {
        _ if pool.is_some_and(|pool| pool.use_client_protocol) => UpstreamHttp::AsCaller,
        Protocol::Auto => UpstreamHttp::AsCaller,
        protocol if protocol.is_http2() || upgraded => UpstreamHttp::Http2,
        _ => UpstreamHttp::Http1,
    }
}

fn originate(policy: &TrafficPolicy, rule: Option<&Rule<'_>>, service: &RegistryService) -> Option<OriginateTls> {
    let tls = policy.tls.as_ref()?;
    // Istio: secrets reach a sidecar only by a rule that selects it; otherwise it speaks plain text.
    let secret = tls
        .credential_name
        .as_ref()
        .filter(|name| !name.starts_with("configmap://"));
    if secret.is_some() && rule.is_none_or(|rule| rule.selector.is_none()) {
        return None;
    }
    matches!(&*tls.mode, "SIMPLE" | "MUTUAL").then(|| OriginateTls {
        sni: tls.sni.as_deref().map(Into::into),
        // Istio: those of the ServiceEntry where the rule has none.
        names: match &service.kind {
            ServiceKind::Entry(entry) if tls.subject_alt_names.is_empty() => entry.spec.subject_alt_names.iter(),
            _ => tls.subject_alt_names.iter(),
        }
        .map(|name| name.as_str().into())
        .collect(),
    })
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
    let distributes = spreading.setting.is_some_and(|setting| !setting.distribute.is_empty());
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
