//! VirtualServices as a sidecar takes them: which it sees and in what order, to which services they attach, and their
//! routes. They are never merged on sidecars.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    DestinationEdits, Mirror, Treatment, Workload,
    clusters::{self, Clusters},
    conditions::Condition,
    delegates,
    hosts::{self, HostMap},
    registry,
    routes::{Route, RouteAction, WeightedCluster, retries},
    tables::PortServices,
    version::{self, Change},
    visibility::{self, Export, Fits},
};
use crate::model::{
    ConsistentHash, EgressListener, HttpMatch, HttpRoute, L4Match, Labels, MeshConfig, Object, ObjectRef, Percentage,
    Redirect, RouteDestination, TextMatch, VirtualService, World,
};

/// A VirtualService that the workload sees, with its hosts written out.
pub(super) struct Visible<'w> {
    pub object: &'w Object<VirtualService>,
    pub hosts: Vec<String>,
    http: Cow<'w, [HttpRoute]>,
    mesh: &'w MeshConfig,
}

/// The VirtualServices that an egress listener imports, in Istio's order: private to the namespace, exported to it,
/// public; each by age.
pub(super) fn visible<'w>(
    world: &'w World,
    mesh: &'w MeshConfig,
    listener: &EgressListener,
    workload: &Workload,
) -> Vec<Visible<'w>> {
    let mut found: Vec<(Export, Visible<'w>)> = Vec::new();
    for object in &world.virtual_services {
        let (spec, own) = (&object.spec, &object.meta.namespace);
        let default = &mesh.default_virtual_service_export_to;
        let export = Export::of(&spec.export_to, default, own, &workload.namespace);
        let for_sidecars = spec.gateways.is_empty() || names_mesh(&spec.gateways);
        // One without hosts only supplies routes to others.
        if export == Export::Hidden || !for_sidecars || spec.hosts.is_empty() {
            continue;
        }
        let hosts: Vec<String> = spec.hosts.iter().map(|host| hosts::qualify(host, own)).collect();
        let imports = |host: &String| visibility::imports(listener, own, host, &workload.namespace, Fits::Overlapping);
        if hosts.iter().any(imports) {
            let http = delegates::routes(object, world, mesh);
            let visible = Visible {
                object,
                hosts,
                http,
                mesh,
            };
            found.push((export, visible));
        }
    }
    found.sort_by_key(|(export, visible)| (*export, registry::age(visible.object, &visible.object.meta.name)));
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
                owners.insert(host.as_str(), index);
                if host.starts_with('*') {
                    wildcards.push(index);
                } else {
                    let same: &mut Vec<usize> = exact.entry(host.clone()).or_default();
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

    /// Whether any routes streams.
    pub fn routes_streams(&self) -> bool {
        let mut specs = self.all.iter().map(|visible| &visible.object.spec);
        specs.any(|spec| !spec.tls.is_empty() || !spec.tcp.is_empty())
    }

    /// The VirtualService whose host is the most specific that covers `host`.
    pub fn owner(&self, host: &str) -> Option<usize> {
        self.owners.get(host).copied()
    }

    /// All VirtualServices with a host that meets `host`, in order.
    pub fn meeting<'s>(&'s self, host: &'s str) -> impl Iterator<Item = &'s Visible<'w>> {
        let exact = self.exact.get(host);
        let mut indices: Vec<usize> = if host.starts_with('*') {
            (0..self.all.len()).collect()
        } else {
            exact.into_iter().flatten().chain(&self.wildcards).copied().collect()
        };
        indices.sort_unstable();
        indices.dedup();
        indices
            .into_iter()
            .map(|index| &self.all[index])
            .filter(move |visible| visible.hosts.iter().any(|own| hosts::overlap(own, host)))
    }

    /// Hosts that traffic of `namespace` is sent to, with the ports that are named; `None` where one is not.
    pub fn destinations(&self, namespace: &str) -> Vec<(String, BTreeSet<Option<u16>>)> {
        let mut found = Vec::new();
        for visible in &self.all {
            let spec = &visible.object.spec;
            // A route that is for other namespaces alone needs nothing here.
            let ours = |route: &&HttpRoute| {
                let mut named = route
                    .matches
                    .iter()
                    .filter_map(|one| one.source_namespace.as_deref())
                    .peekable();
                named.peek().is_none() || named.any(|name| name == namespace)
            };
            let http = visible.http.iter().filter(ours).flat_map(|route| &route.route);
            let streams = spec.tcp.iter().chain(&spec.tls).flat_map(|route| &route.route);
            let mut of_service: HashMap<String, BTreeSet<Option<u16>>> = HashMap::new();
            for destination in http.chain(streams) {
                let host = hosts::qualify(&destination.host, &visible.object.meta.namespace);
                of_service.entry(host).or_default().insert(destination.port);
            }
            found.extend(of_service);
        }
        found
    }
}

impl Visible<'_> {
    /// A reference to the object at `line`.
    pub fn reference(&self, line: u32) -> ObjectRef {
        self.object.reference("VirtualService", line)
    }

    /// Routes for one listener port; empty where none fits it, so that the service's default route holds.
    pub fn routes(
        &self,
        port: u16,
        on_port: &PortServices<'_>,
        clusters: &Clusters,
        workload: &Workload,
    ) -> Vec<Route> {
        let mut routes = Vec::new();
        for route in self.http.iter() {
            let whole = [HttpMatch::default()];
            let conditions = if route.matches.is_empty() {
                whole.as_slice()
            } else {
                route.matches.as_slice()
            };
            for condition in conditions.iter().filter(|condition| fits(condition, port, workload)) {
                let compiled = Condition::of(condition);
                let catch_all = compiled.is_none();
                routes.push(self.route(route, condition, compiled, port, on_port, clusters));
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
        on_port: &PortServices<'_>,
        clusters: &Clusters,
    ) -> Route {
        let action = if let Some(redirect) = &route.redirect {
            if matches!(redirect.code, 301 | 302 | 303 | 307 | 308) {
                RouteAction::Redirect(redirect_at(redirect, condition, port))
            } else {
                RouteAction::Nothing
            }
        } else if let Some(response) = &route.direct_response {
            RouteAction::Respond {
                status: response.status,
                body: response.body.clone(),
            }
        } else {
            let hashes = self.hashes(&route.route, clusters);
            let hashes_alone = route.route.len() == 1 && !hashes.is_empty();
            RouteAction::Forward {
                retries: retries(route.retries.as_ref(), self.mesh, hashes_alone).map(Arc::new),
                timeout: route.timeout,
                clusters: self.weighted(&route.route, clusters, |host| {
                    (on_port.meant(host), on_port.meant_port(host, port))
                }),
                hash: hashes.into_iter().filter_map(|hash| hash.key.clone()).collect(),
            }
        };
        let name = match (&route.name, &condition.name) {
            (route, Some(own)) => Some(format!("{}.{own}", route.as_deref().unwrap_or_default()).into()),
            (route, None) => route.clone(),
        };
        let meant = |host: &str| (on_port.meant(host), on_port.meant_port(host, port));
        let mirrors = self.mirrors(route, clusters, meant);
        let treatment = Treatment::of(route, condition, mirrors, |line| self.reference(line));
        let operation = self
            .mesh
            .enable_tracing
            .then(|| operation(self, route, condition, &action, port));
        Route {
            name,
            operation,
            condition: compiled.map(Box::new),
            action,
            object: self.reference(route.line),
            treatment,
        }
    }

    /// The clusters that traffic is shared among. A single destination ignores its weight. `meant` is the host whose
    /// cluster a host stands for, and its port where the destination names none.
    pub fn weighted(
        &self,
        destinations: &[RouteDestination],
        clusters: &Clusters,
        meant: impl Fn(&str) -> (String, u16),
    ) -> Vec<WeightedCluster> {
        let single = destinations.len() == 1;
        destinations
            .iter()
            .filter(|destination| single || destination.weight > 0)
            .map(|destination| {
                let headers = destination.headers.as_ref().filter(|_| !single);
                let edits = headers.map(|headers| DestinationEdits::of(headers));
                WeightedCluster {
                    edits: edits.filter(|edits| !edits.is_empty()).map(Box::new),
                    ..self.target(destination, clusters, &meant)
                }
            })
            .collect()
    }

    /// The hashes of the destinations; on a request all of them count, whichever is chosen.
    fn hashes<'c>(&self, destinations: &[RouteDestination], clusters: &'c Clusters) -> Vec<&'c ConsistentHash> {
        let single = destinations.len() == 1;
        let counted = destinations
            .iter()
            .filter(|destination| single || destination.weight > 0);
        let hash = |destination: &RouteDestination| {
            let host = hosts::qualify(&destination.host, &self.object.meta.namespace);
            let subset = destination.subset.as_deref().unwrap_or_default();
            clusters.rule(&host)?.of_destination(destination.port, subset)
        };
        counted.filter_map(hash).collect()
    }

    /// Where copies of requests are sent.
    fn mirrors(&self, route: &HttpRoute, clusters: &Clusters, meant: impl Fn(&str) -> (String, u16)) -> Vec<Mirror> {
        let share = route.mirror_percentage.or(route.mirror_percent);
        let one = route
            .mirror
            .as_deref()
            .into_iter()
            .map(|one| (one, share.unwrap_or(Percentage::ALL)));
        let several = route
            .mirrors
            .iter()
            .map(|mirror| (&mirror.destination, mirror.percentage));
        one.chain(several)
            .filter_map(|(destination, share)| {
                let keeps_host = version::has(self.mesh.version, Change::MirrorsKeepHosts);
                Mirror::of(self.target(destination, clusters, &meant), share, keeps_host)
            })
            .collect()
    }

    fn target(
        &self,
        destination: &RouteDestination,
        clusters: &Clusters,
        meant: impl Fn(&str) -> (String, u16),
    ) -> WeightedCluster {
        let host = hosts::qualify(&destination.host, &self.object.meta.namespace);
        let (host, port) = meant(&host);
        let port = destination.port.unwrap_or(port);
        let name = clusters::name(port, destination.subset.as_deref().unwrap_or_default(), &host);
        let (cluster, name) = clusters.named(name);
        WeightedCluster {
            cluster,
            name,
            weight: destination.weight.max(1),
            edits: None,
        }
    }
}

/// What a route is called for tracing: its cluster's host and port, where it has one cluster, and what is matched.
fn operation(
    visible: &Visible<'_>,
    route: &HttpRoute,
    condition: &HttpMatch,
    action: &RouteAction,
    port: u16,
) -> String {
    let path = Condition::operation_path(condition);
    let single = match action {
        RouteAction::Forward { clusters, .. } => match clusters.as_slice() {
            // Several of which one has a weight are several all the same.
            [one] if route.route.len() == 1 => clusters::host_and_port(&one.name),
            _ => None,
        },
        _ => None,
    };
    match single {
        Some((host, port)) => format!("{host}:{port}{path}"),
        None => format!("{}:{port}{path}", visible.object.meta.name),
    }
}

/// A redirect on a listener's port: that port is written where it is asked for, and the scheme's own port never is. An
/// `HTTP_PROXY` listener has the port 0 here, which is none to Envoy.
fn redirect_at(redirect: &Redirect, condition: &HttpMatch, port: u16) -> Redirect {
    let written = redirect.port.or(redirect.to_request_port.then_some(port));
    let usual = match redirect.scheme.as_deref() {
        None | Some("http") => Some(80),
        Some("https") => Some(443),
        Some(_) => None,
    };
    let matched = match &condition.uri {
        Some(TextMatch::Prefix(prefix)) => prefix.clone(),
        _ => "/".into(),
    };
    Redirect {
        matched,
        port: written.filter(|port| *port != 0 && Some(*port) != usual),
        ..redirect.clone()
    }
}

/// The part of an HTTP match that is decided when the policy is compiled.
fn fits(condition: &HttpMatch, port: u16, workload: &Workload) -> bool {
    if condition.port.is_some_and(|own| own != port) {
        return false;
    }
    if !condition.gateways.is_empty() {
        // With gateways named, only they count for the source.
        return names_mesh(&condition.gateways);
    }
    is_from(
        &condition.source_labels,
        condition.source_namespace.as_deref(),
        workload,
    )
}

/// The same of a match for streams, where gateways take nothing away from the other conditions.
pub(super) fn stream_fits(condition: &L4Match, port: u16, workload: &Workload) -> bool {
    condition.port.is_none_or(|own| own == port)
        && (condition.gateways.is_empty() || names_mesh(&condition.gateways))
        && is_from(
            &condition.source_labels,
            condition.source_namespace.as_deref(),
            workload,
        )
}

fn names_mesh(gateways: &[String]) -> bool {
    gateways.iter().any(|gateway| gateway == "mesh")
}

fn is_from(labels: &Labels, namespace: Option<&str>, workload: &Workload) -> bool {
    labels
        .iter()
        .all(|(key, value)| workload.labels.get(key) == Some(value))
        && namespace.is_none_or(|namespace| namespace == &*workload.namespace)
}
