//! What Gateways are used for: the pods that serve each, the VirtualServices that bind to it, and the hosts that go through
//! it, hop by hop. A Gateway has no outbound mode and no passthrough: a host that nothing routes there ends in 404 or a
//! closed connection.

use std::{collections::HashMap, sync::Arc};

use super::{hosts, overlap, qualify};
use crate::model::{
    Gateway, HttpMatch, L4Match, Labels, Object, RouteDestination, Service, VirtualService, WorkloadManifest, World,
};

/// The name under which a VirtualService binds to sidecars.
const MESH: &str = "mesh";

/// One Gateway and everything that has to do with it.
#[derive(Debug, Clone)]
pub struct GatewayUse<'w> {
    /// The Gateway.
    pub gateway: &'w Arc<Object<Gateway>>,
    /// Workloads whose pods serve it, in any namespace.
    pub workloads: Vec<&'w Object<WorkloadManifest>>,
    /// Services that lead to those pods.
    pub services: Vec<&'w Object<Service>>,
    /// Hosts that VirtualServices route through it.
    pub routes: Vec<GatewayRoute<'w>>,
}

/// One host of one VirtualService that binds to a Gateway.
#[derive(Debug, Clone)]
pub struct GatewayRoute<'w> {
    /// The host.
    pub host: &'w Arc<str>,
    /// Who routes it.
    pub virtual_service: &'w Object<VirtualService>,
    /// Ports of the servers that take the host; with none the Gateway does not listen for it.
    pub ports: Vec<u16>,
    /// Line of the rule by which sidecars send the host to the Gateway; 0 where none does.
    pub from_mesh: u32,
    /// Line of the rule by which the Gateway sends it on; 0 where none does.
    pub line: u32,
    /// Where it sends it.
    pub onward: Vec<(String, Option<u16>)>,
}

impl GatewayUse<'_> {
    /// Whether traffic leaves by it: a sidecar is told to send something there.
    pub fn is_egress(&self) -> bool {
        self.routes.iter().any(|route| route.from_mesh > 0)
    }
}

/// All Gateways, in the order of the source.
pub fn gateways(world: &World) -> Vec<GatewayUse<'_>> {
    let mut bound: HashMap<String, Vec<&Object<VirtualService>>> = HashMap::new();
    for service in &world.virtual_services {
        for gateway in &service.spec.gateways {
            let name = resolve(gateway, &service.meta.namespace);
            bound.entry(name).or_default().push(service);
        }
    }
    let all = world.gateways.iter();
    all.map(|gateway| {
        let name = name_of(gateway);
        let bound = bound.get(&name).map(Vec::as_slice).unwrap_or_default();
        gateway_use(world, gateway, &name, bound)
    })
    .collect()
}

fn gateway_use<'w>(
    world: &'w World,
    gateway: &'w Arc<Object<Gateway>>,
    name: &str,
    bound: &[&'w Object<VirtualService>],
) -> GatewayUse<'w> {
    let selector = &gateway.spec.selector;
    let serves = |labels: &Labels| !selector.is_empty() && within(selector, labels);
    let workloads: Vec<&Object<WorkloadManifest>> = world
        .workloads
        .iter()
        .map(|workload| &**workload)
        .filter(|workload| serves(&workload.spec.pod_labels))
        .collect();
    let leads = |service: &Object<Service>| {
        let own = &service.spec.selector;
        let to = |workload: &&Object<WorkloadManifest>| {
            workload.meta.namespace == service.meta.namespace && within(own, &workload.spec.pod_labels)
        };
        // Where the pods are not declared, their Service says by its selector whose it is.
        !own.is_empty() && (workloads.iter().any(to) || serves(own))
    };
    let services: Vec<&Object<Service>> = world
        .services
        .iter()
        .map(|service| &**service)
        .filter(|service| leads(service))
        .collect();
    let own: Vec<String> = services.iter().map(|service| service_host(service)).collect();
    let routes = bound.iter().flat_map(|service| {
        let service: &'w Object<VirtualService> = service;
        let hosts = service.spec.hosts.iter();
        hosts
            .map(|host| route(gateway, name, &own, service, host))
            .collect::<Vec<_>>()
    });
    GatewayUse {
        routes: routes.collect(),
        gateway,
        workloads,
        services,
    }
}

fn route<'w>(
    gateway: &Object<Gateway>,
    name: &str,
    own: &[String],
    service: &'w Object<VirtualService>,
    host: &'w Arc<str>,
) -> GatewayRoute<'w> {
    let namespace = &service.meta.namespace;
    let to = |destination: &RouteDestination| qualify(&destination.host, namespace);
    let rules = rules(service, host);
    let binds =
        |rule: &&Rule<'_>, gateway: &str| rule.gateways.is_empty() || rule.gateways.iter().any(|own| own == gateway);
    let in_mesh = service.spec.gateways.iter().any(|gateway| gateway == MESH);
    let sends = |rule: &&Rule<'_>| rule.route.iter().any(|destination| own.contains(&to(destination)));
    let from_mesh = rules
        .iter()
        .filter(|_| in_mesh)
        .find(|rule| binds(rule, MESH) && sends(rule));
    let here: Vec<&Rule<'_>> = rules.iter().filter(|rule| binds(rule, name) && !sends(rule)).collect();
    let mut onward: Vec<_> = here
        .iter()
        .flat_map(|rule| rule.route)
        .map(|destination| (to(destination), destination.port))
        .collect();
    onward.dedup();
    let servers = gateway.spec.servers.iter();
    let taking = servers.filter(|server| {
        let mut patterns = server.hosts.iter();
        patterns.any(|pattern| takes(pattern, &gateway.meta.namespace, host, namespace))
    });
    GatewayRoute {
        host,
        virtual_service: service,
        ports: taking.map(|server| server.port).collect(),
        from_mesh: from_mesh.map_or(0, |rule| rule.line),
        line: here.first().map_or(0, |rule| rule.line),
        onward,
    }
}

/// One rule of a VirtualService, whatever its protocol.
struct Rule<'w> {
    line: u32,
    /// Gateways of its conditions, `namespace/name` or `mesh`; empty for those of the VirtualService.
    gateways: Vec<String>,
    route: &'w [RouteDestination],
}

/// The rules of `service` that can apply to `host`. A condition that names no gateway is one for all of them.
fn rules<'w>(service: &'w Object<VirtualService>, host: &str) -> Vec<Rule<'w>> {
    let namespace = &service.meta.namespace;
    let gateways = |conditions: Vec<&Vec<String>>| match conditions.iter().any(|own| own.is_empty()) {
        true => Vec::new(),
        false => conditions
            .into_iter()
            .flatten()
            .map(|gateway| resolve(gateway, namespace))
            .collect(),
    };
    let applies = |conditions: &[L4Match]| {
        let named = |sni: &Arc<str>| overlap(sni, host);
        let mut conditions = conditions.iter();
        conditions.len() == 0 || conditions.any(|each| each.sni_hosts.is_empty() || each.sni_hosts.iter().any(named))
    };
    let http = service.spec.http.iter().map(|rule| Rule {
        line: rule.line,
        gateways: gateways(rule.matches.iter().map(|each: &HttpMatch| &each.gateways).collect()),
        route: &rule.route,
    });
    let others = service.spec.tls.iter().chain(&service.spec.tcp);
    let others = others.filter(|rule| applies(&rule.matches)).map(|rule| Rule {
        line: rule.line,
        gateways: gateways(rule.matches.iter().map(|each| &each.gateways).collect()),
        route: &rule.route,
    });
    http.chain(others).collect()
}

/// A gateway as `namespace/name`, out of how a VirtualService of `namespace` may write it: `name`, `namespace/name`,
/// `./name`, or the old `name.namespace.svc.cluster.local` (`pilot/pkg/model`, `resolveGatewayName`).
fn resolve(gateway: &str, namespace: &str) -> String {
    if gateway == MESH {
        return MESH.into();
    }
    match (gateway.split_once('/'), gateway.split_once('.')) {
        (Some((".", name)), _) => format!("{namespace}/{name}"),
        (Some(_), _) => gateway.into(),
        (None, Some((name, rest))) => format!("{}/{name}", rest.split('.').next().unwrap_or_default()),
        (None, None) => format!("{namespace}/{gateway}"),
    }
}

fn name_of(gateway: &Object<Gateway>) -> String {
    format!("{}/{}", gateway.meta.namespace, gateway.meta.name)
}

/// The name by which sidecars know a Kubernetes Service.
pub fn service_host(service: &Object<Service>) -> String {
    qualify(&service.meta.name, &service.meta.namespace)
}

/// True where a server's pattern, in a Gateway of `own`, takes `host` of a VirtualService in `namespace`.
fn takes(pattern: &str, own: &str, host: &str, namespace: &str) -> bool {
    let (from, pattern) = pattern.split_once('/').unwrap_or(("*", pattern));
    let from_here = match from {
        "*" => true,
        "." => own == namespace,
        from => from == namespace,
    };
    from_here && hosts::overlap(pattern, host)
}

fn within(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model, yaml};

    /// The two hops of reference 12.1, with a wildcard server, an ingress beside it, and a gateway that nobody serves.
    const OBJECTS: &str = include_str!("../../tests/egress-gateway.yaml");

    fn world() -> World {
        let (mut world, mut order, mut errors) = (World::default(), 0, Vec::new());
        for document in yaml::read(OBJECTS.as_bytes()).unwrap() {
            model::add_document(&document, &"g.yaml".into(), &mut order, &mut world, &mut errors);
        }
        assert_eq!(errors, []);
        world
    }

    #[test]
    fn both_hops_of_a_host_are_found_and_an_ingress_is_no_egress() {
        let world = world();
        let all = gateways(&world);
        let egress = all.iter().find(|each| &*each.gateway.meta.name == "egress").unwrap();
        assert!(egress.is_egress());
        assert_eq!(&*egress.workloads[0].meta.name, "istio-egressgateway");
        assert_eq!(
            service_host(egress.services[0]),
            "istio-egressgateway.istio-system.svc.cluster.local"
        );
        let told: Vec<_> = egress
            .routes
            .iter()
            .map(|route| {
                (
                    &**route.host,
                    route.ports.clone(),
                    route.from_mesh > 0,
                    route.onward.clone(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (
                    "httpbin.org",
                    vec![80],
                    true,
                    vec![("httpbin.org".to_string(), Some(80))]
                ),
                (
                    "www.google.com",
                    vec![443],
                    true,
                    vec![("www.google.com".to_string(), Some(443))]
                ),
                (
                    "unserved.example.com",
                    vec![],
                    false,
                    vec![("unserved.example.com".to_string(), Some(80))]
                ),
            ]
        );
        let ingress = all.iter().find(|each| &*each.gateway.meta.name == "ingress").unwrap();
        assert!(!ingress.is_egress());
        assert_eq!(
            ingress.routes[0].onward,
            [("cart.shop.svc.cluster.local".to_string(), Some(8080))]
        );
        let idle = all.iter().find(|each| &*each.gateway.meta.name == "idle").unwrap();
        assert!(idle.workloads.is_empty() && idle.routes.is_empty());
    }

    #[test]
    fn a_gateway_is_named_in_each_way_that_istio_takes() {
        for (written, resolved) in [
            ("mesh", "mesh"),
            ("egress", "shop/egress"),
            ("./egress", "shop/egress"),
            ("istio-system/egress", "istio-system/egress"),
            ("egress.istio-system.svc.cluster.local", "istio-system/egress"),
            ("egress.istio-system", "istio-system/egress"),
        ] {
            assert_eq!(resolve(written, "shop"), resolved);
        }
    }

    #[test]
    fn a_server_takes_hosts_of_the_namespaces_that_it_names() {
        for (pattern, taken) in [
            ("*", true),
            ("*.b.com", true),
            ("*/a.b.com", true),
            ("shop/a.b.com", true),
            ("./a.b.com", false),
            ("other/*", false),
            ("c.com", false),
        ] {
            assert_eq!(takes(pattern, "istio-system", "a.b.com", "shop"), taken, "{pattern}");
        }
    }
}
