//! Upstream groups: one for each visible service and port.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use super::{
    Cluster, Endpoints, OriginateTls, hosts,
    registry::{self, RegistryPort, RegistryService, ServiceKind},
    visibility::Export,
};
use crate::model::{DestinationRule, MeshConfig, Object, Resolution, TrafficPolicy, World};

/// Clusters by name (`outbound|80||httpbin.org`).
#[derive(Debug, Default)]
pub(super) struct Clusters {
    by_name: HashMap<String, Arc<Cluster>>,
    /// The port of a host's clusters; `None` where they differ.
    only_port: HashMap<Arc<str>, Option<u16>>,
}

impl Clusters {
    pub fn get(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.by_name.get(name)
    }

    pub fn values(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.by_name.values()
    }

    /// The only port of a service.
    pub fn only_port(&self, host: &str) -> Option<u16> {
        self.only_port.get(host).copied().flatten()
    }

    /// Adds a cluster; where one of its name exists the older stays.
    fn add(&mut self, cluster: Cluster, port: u16) {
        self.only_port
            .entry(cluster.host.clone())
            .and_modify(|known| *known = known.filter(|known| *known == port))
            .or_insert(Some(port));
        self.by_name
            .entry(cluster.name.to_string())
            .or_insert_with(|| Arc::new(cluster));
    }
}

/// Istio's name of a cluster.
pub(super) fn name(port: u16, subset: &str, host: &str) -> String {
    format!("outbound|{port}|{subset}|{host}")
}

/// Adds the cluster of one port, and one for each subset that a DestinationRule names.
pub(super) fn add(clusters: &mut Clusters, service: &RegistryService, port: &RegistryPort, rules: &Rules<'_>) {
    if port.without_cluster {
        return;
    }
    let Some(endpoints) = endpoints(service, port) else {
        return;
    };
    let rule = rules.for_service(service);
    let policy = rule.map(|rule| {
        // A port's policy replaces the top-level one, it does not inherit.
        let own = rule
            .spec
            .port_policies
            .iter()
            .find(|(number, _)| *number == port.number);
        own.map_or(&rule.spec.policy, |(_, policy)| policy)
    });
    let subsets = rule.map(|rule| rule.spec.subsets.as_slice()).unwrap_or_default();
    for subset in std::iter::once("").chain(subsets.iter().map(|subset| &**subset)) {
        let name = name(port.number, subset, &service.host);
        let cluster = Cluster {
            name: name.as_str().into(),
            host: service.host.clone(),
            namespace: service.namespace.clone(),
            endpoints: endpoints.clone(),
            connect_timeout: policy
                .and_then(|policy| policy.connect_timeout)
                .unwrap_or(rules.connect_timeout),
            tls: policy.and_then(originate),
            object: Some(crate::model::ObjectRef {
                line: port.line,
                ..service.object.clone()
            }),
        };
        clusters.add(cluster, port.number);
    }
}

fn originate(policy: &TrafficPolicy) -> Option<OriginateTls> {
    let mode = policy.tls_mode.as_deref()?;
    matches!(mode, "SIMPLE" | "MUTUAL").then(|| OriginateTls {
        sni: policy.sni.as_deref().map(Into::into),
    })
}

/// Where the endpoints come from; `None` where Istio leaves the cluster out.
fn endpoints(service: &RegistryService, port: &RegistryPort) -> Option<Endpoints> {
    let target = port.target_port.unwrap_or(port.number);
    Some(match &service.kind {
        // Outside the cluster's network the cluster address is what can be dialled; inside, kube-proxy does the rest.
        ServiceKind::Kubernetes(addresses) if addresses.is_empty() => Endpoints::OriginalDst(None),
        ServiceKind::Kubernetes(addresses) => Endpoints::Static(
            addresses
                .iter()
                .map(|address| SocketAddr::new(*address, port.number))
                .collect(),
        ),
        ServiceKind::Entry { resolution, endpoints } => {
            let port_of = |endpoint: &crate::model::Endpoint| endpoint.ports.get(&port.name).copied().unwrap_or(target);
            match resolution {
                Resolution::None => Endpoints::OriginalDst(port.target_port),
                Resolution::Static => Endpoints::Static(
                    endpoints
                        .iter()
                        .filter_map(|endpoint| Some(SocketAddr::new(endpoint.address.parse().ok()?, port_of(endpoint))))
                        .collect(),
                ),
                Resolution::Dns | Resolution::DnsRoundRobin if endpoints.is_empty() => {
                    if service.host.starts_with('*') {
                        return None;
                    }
                    Endpoints::Dns(vec![(service.host.clone(), target)])
                }
                Resolution::Dns | Resolution::DnsRoundRobin => Endpoints::Dns(
                    endpoints
                        .iter()
                        .map(|endpoint| (endpoint.address.as_str().into(), port_of(endpoint)))
                        .collect(),
                ),
                Resolution::DynamicDns => Endpoints::DynamicDns(target),
            }
        }
    })
}

/// The DestinationRules that a proxy sees.
pub(super) struct Rules<'w> {
    pub world: &'w World,
    pub mesh: &'w MeshConfig,
    pub namespace: &'w str,
    pub connect_timeout: Duration,
}

impl<'w> Rules<'w> {
    /// The rule for a service: of the caller's namespace, else of the service's, else of the root namespace; within
    /// one, the most specific host, then the oldest.
    fn for_service(&self, service: &RegistryService) -> Option<&'w Object<DestinationRule>> {
        let best = |namespace: &str| {
            self.world
                .destination_rules
                .iter()
                .map(|rule| &**rule)
                .filter(|rule| &*rule.meta.namespace == namespace)
                .filter(|rule| hosts::covers(&hosts::qualify(&rule.spec.host, namespace), &service.host))
                .filter(|rule| {
                    Export::of(&rule.spec.export_to, &["*".to_string()], namespace, self.namespace) != Export::Hidden
                })
                .min_by_key(|rule| {
                    let wildcard = rule.spec.host.starts_with('*');
                    let length = rule.spec.host.len();
                    (wildcard, usize::MAX - length, registry::age(rule, &rule.meta.name))
                })
        };
        if self.world.destination_rules.is_empty() {
            return None;
        }
        best(self.namespace)
            .or_else(|| best(&service.namespace))
            .or_else(|| best(&self.mesh.root_namespace))
    }
}
