//! From a `World` to the snapshot of one workload: the listeners, routes and clusters that Istio would send its sidecar.

use std::{
    collections::{BTreeSet, HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use super::{
    CertificateChecks, Cluster, ClusterSettings, DnsNames, Endpoints, Mode, OriginateTls, Snapshot, SniffNeeds, Upkeep,
    UpstreamHttp, Workload,
    capture::capture_of,
    cluster_settings,
    clusters::{self, Clusters},
    discovery,
    entries::Entries,
    listeners::Listener,
    names::NameMap,
    registry,
    routes::RouteTable,
    scope::{self, Scope},
    shared_endpoints::SharedEndpoints,
    tables::Tables,
    version, visibility,
};
use crate::model::{CaptureMode, EgressListener, MeshConfig, Object, OutboundMode, Sidecar, World};

/// The pod annotation that says what is different for its sidecar from the mesh's `defaultConfig`.
const PROXY_CONFIG: &str = "proxy.istio.io/config";

/// Ports that Istio keeps for itself on the wildcard address.
pub(super) const RESERVED_PORTS: [u16; 4] = [15021, 15090, 15001, 15006];

/// Compiles what `workload` is subject to. Never fails: what the world does not say takes Istio's defaults.
pub fn compile(world: &World, workload: &Workload) -> Snapshot {
    let revision = visibility::revision(world, workload);
    let version = world.istio_version(revision);
    let read = discovery::as_seen(version::as_read(world, version), revision);
    let ground = Ground::of(&read, workload);
    let services = ground.services();
    let (listeners, tables) = ground.routes(&services, &[]);
    let captures_dns = ground.settings.dns_capture;
    let dns_names = captures_dns.then(|| DnsNames::of(&services.scopes, workload));
    let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
    for (address, listener) in listeners {
        if address.ip().is_unspecified() {
            wildcard.insert(address.port(), Arc::new(listener));
        } else {
            exact.insert(address, listener);
        }
    }
    let clusters = services.clusters.by_name;
    let mesh = &ground.settings;
    // Istio: how much may go on at once holds for what passes through, how long connections are kept does not.
    let pool = mesh.default_traffic_policy.connection_pool.as_ref();
    let passed = ClusterSettings {
        connect_timeout: pool
            .and_then(|pool| pool.connect_timeout)
            .unwrap_or(mesh.connect_timeout()),
        limits: pool.map(|pool| pool.limits.of_cluster()).unwrap_or_default(),
        ..unknown_settings(mesh)
    };
    let passthrough = special("PassthroughCluster", Endpoints::OriginalDst(None), passed);
    let tls = cluster_settings::of_unknown(mesh);
    // Istio: what TLS asks of HTTP takes the place of what else is asked of it.
    let is_asked = |tls: &OriginateTls| tls.sni.is_none() || tls.checks != CertificateChecks::None;
    let resolved = match tls.as_ref().is_some_and(is_asked) {
        true => ClusterSettings {
            upkeep: cluster_settings::upkeep(None, mesh).map(Box::new),
            ..ClusterSettings::plain(UpstreamHttp::Http1, mesh.connect_timeout())
        },
        false => unknown_settings(mesh),
    };
    let resolved = ClusterSettings { tls, ..resolved };
    // Envoy: where the caller names no port, that of the scheme which is spoken to the upstream.
    let port = if resolved.tls.is_some() { 443 } else { 80 };
    let mode = ground.mode();
    let sockets = sockets(&ground.egress, &exact, &wildcard);
    Snapshot {
        hash: hash(world, workload),
        version,
        workload: workload.clone(),
        capture: capture_of(world, workload),
        sockets,
        unknown: ground.unknown(&clusters, &passthrough),
        passthrough,
        dynamic_dns: special("AllowAnyDynamicDNSCluster", Endpoints::DynamicDns(port), resolved),
        clusters,
        exact: Arc::new(exact),
        wildcard,
        fallback: fallback(mode.mode, ground.detection_timeout()),
        path_normalization: mesh.path_normalization,
        mode,
        tables: tables.into_iter().map(Arc::new).collect(),
        dns_names,
    }
}

/// Where `egress` has listeners that are sockets of their own: at the port that is written, else at each that is declared.
fn sockets(
    egress: &[EgressListener],
    exact: &HashMap<SocketAddr, Listener>,
    wildcard: &HashMap<u16, Arc<Listener>>,
) -> Box<[SocketAddr]> {
    let mut sockets = BTreeSet::new();
    for listener in egress.iter().filter(|listener| listener.capture == CaptureMode::None) {
        let Some(address) = listener.address() else { continue };
        let ports: Vec<u16> = match address.is_unspecified() {
            true => wildcard.keys().copied().collect(),
            false => exact
                .keys()
                .filter(|at| at.ip() == address)
                .map(SocketAddr::port)
                .collect(),
        };
        let written = listener.port.as_ref().map(|(port, _)| *port);
        let ports = ports
            .into_iter()
            .filter(|port| written.is_none_or(|written| written == *port));
        sockets.extend(ports.map(|port| SocketAddr::new(address, port)));
    }
    sockets.into_iter().collect()
}

/// True where the next pod of `workload` has its DNS captured: by choice, else by `ISTIO_META_DNS_CAPTURE` of its own or of
/// the mesh.
pub fn captures_dns(world: &World, workload: &Workload) -> bool {
    Ground::of(world, workload).settings.dns_capture
}

/// What holds for all services of a workload, and the world that says so, as its release of Istio reads it.
pub(super) struct Ground<'w> {
    world: &'w World,
    workload: &'w Workload,
    mesh: Option<&'w Arc<Object<MeshConfig>>>,
    settings: MeshConfig,
    sidecar: Option<Arc<Object<Sidecar>>>,
    egress: Vec<EgressListener>,
}

/// The services of a workload, with what routes to them are made from.
pub(super) struct Services<'g> {
    pub scopes: Vec<Scope<'g>>,
    shared_endpoints: SharedEndpoints<'g>,
    pub clusters: Clusters,
}

impl<'w> Ground<'w> {
    pub fn of(world: &'w World, workload: &'w Workload) -> Self {
        let revision = visibility::revision(world, workload);
        let mesh = world.mesh_config(revision);
        let mut settings = MeshConfig {
            // One that is chosen goes before the one that is written.
            version: world.istio_version(revision),
            ..mesh.map(|mesh| mesh.spec.clone()).unwrap_or_default()
        };
        if let Some(own) = workload.annotations.get(PROXY_CONFIG) {
            settings.with_proxy_config(own);
        }
        if let Some(chosen) = workload.dns_capture {
            settings.dns_capture = chosen;
        }
        let sidecar = visibility::sidecar_of(world, workload, &settings.root_namespace);
        let written = sidecar.as_ref().map(|sidecar| sidecar.spec.egress.clone());
        let everything = || {
            vec![EgressListener {
                hosts: vec!["*/*".into()],
                ..EgressListener::default()
            }]
        };
        let egress = written
            .filter(|listeners| !listeners.is_empty())
            .unwrap_or_else(everything);
        Self {
            world,
            workload,
            mesh,
            settings,
            sidecar,
            egress,
        }
    }

    /// All services are imported by one listener for all ports and addresses.
    pub fn is_undivided(&self) -> bool {
        matches!(&*self.egress, [only] if only.port.is_none() && only.address().is_none())
    }

    fn mode(&self) -> Mode {
        let mesh = self.mesh.map(|mesh| &**mesh);
        visibility::mode(
            self.workload,
            self.sidecar.as_deref(),
            mesh,
            &self.settings.root_namespace,
        )
    }

    fn detection_timeout(&self) -> Option<Duration> {
        let timeout = self.settings.protocol_detection_timeout;
        timeout.filter(|timeout| !timeout.is_zero())
    }

    /// Where unknown traffic goes that is let through.
    pub fn unknown(&self, clusters: &NameMap<Arc<Cluster>>, passthrough: &Arc<Cluster>) -> Option<Arc<Cluster>> {
        let sidecar = self.sidecar.as_ref();
        match sidecar.and_then(|sidecar| sidecar.spec.egress_proxy.as_ref()) {
            Some(proxy) => clusters.get(&clusters::name_of(proxy)).cloned(),
            None => Some(passthrough.clone()),
        }
    }

    /// The services and their clusters.
    pub fn services(&self) -> Services<'_> {
        let registry = registry::services(self.world, &self.settings, &self.workload.namespace);
        let scope = |listener| Scope::new(listener, &registry, self.world, &self.settings, self.workload);
        let scopes: Vec<Scope<'_>> = self.egress.iter().map(scope).collect();
        let of_clusters = scope::of_clusters(&scopes, &registry, self.workload);
        let shared_endpoints = SharedEndpoints::new(self.world);
        let clusters = clusters::clusters(
            &of_clusters,
            scopes.iter().any(|scope| scope.attachments.routes_streams()),
            &shared_endpoints,
            self.world,
            &self.settings,
            self.workload,
        );
        Services {
            scopes,
            shared_endpoints,
            clusters,
        }
    }

    /// The listeners, and the route tables that they ask for. Those of the `ports` are asked for anyway.
    pub fn routes(&self, services: &Services<'_>, ports: &[u16]) -> (Vec<(SocketAddr, Listener)>, Vec<RouteTable>) {
        let mut entries = Entries::new(&services.clusters, &services.shared_endpoints, self.workload, ports);
        for scope in &services.scopes {
            entries.add(scope);
        }
        let (mut listeners, tabled) = entries.finish();
        let timeout = self.detection_timeout();
        for (_, listener) in &mut listeners {
            // Istio: the detection timeout counts only where the HTTP inspector is attached.
            listener.needs.timeout = timeout.filter(|_| listener.needs.http);
        }
        let tables = Tables::new(&services.clusters, self.workload, &self.settings);
        (listeners, tables.all(&services.scopes, tabled))
    }
}

/// What takes everything else.
fn fallback(mode: OutboundMode, timeout: Option<Duration>) -> Listener {
    let mut listener = Listener::new("virtualOutbound".into());
    if mode == OutboundMode::AllowAnyDynamicDns {
        listener.needs = SniffNeeds {
            http: true,
            tls: false,
            timeout,
        };
    }
    listener
}

/// Istio: how long a connection that belongs to no service is kept for a further request.
const IDLE_UNKNOWN: Duration = Duration::from_secs(300);

/// A cluster that no object declares.
fn special(name: &str, endpoints: Endpoints, settings: ClusterSettings) -> Arc<Cluster> {
    Arc::new(Cluster {
        name: name.into(),
        host: "".into(),
        endpoints,
        settings: Arc::new(settings),
        object: None,
        rule: None,
    })
}

/// How unknown destinations are called.
fn unknown_settings(mesh: &MeshConfig) -> ClusterSettings {
    let upkeep = Upkeep {
        idle_timeout: Some(IDLE_UNKNOWN),
        ..cluster_settings::upkeep(None, mesh).unwrap_or_default()
    };
    ClusterSettings {
        upkeep: Some(Box::new(upkeep)),
        ..ClusterSettings::plain(UpstreamHttp::AsCaller, mesh.connect_timeout())
    }
}

/// A hash over everything the snapshot was made from, stable from run to run.
pub(super) fn hash(world: &World, workload: &Workload) -> String {
    let mut hasher = DefaultHasher::new();
    format!("{workload:?}{:?}", world.version).hash(&mut hasher);
    macro_rules! objects {
        ($($list:ident),*) => {
            $(for object in &world.$list {
                object.digest().hash(&mut hasher);
            })*
        };
    }
    objects!(
        mesh_configs,
        injectors,
        services,
        service_entries,
        virtual_services,
        destination_rules,
        sidecars,
        namespaces,
        tags
    );
    format!("{:016x}", hasher.finish())
}
