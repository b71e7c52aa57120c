//! From a `World` to the snapshot of one workload: the listeners, routes and clusters that Istio would send its sidecar.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use super::{
    Cluster, Endpoints, Snapshot, SniffNeeds, UpstreamHttp, Workload,
    capture::capture_of,
    clusters,
    entries::Entries,
    listeners::Listener,
    registry,
    scope::{self, Scope},
    shared_endpoints::SharedEndpoints,
    tables::Tables,
    version, visibility,
};
use crate::model::{EgressListener, Limits, OutboundMode, World};

/// Ports that Istio keeps for itself on the wildcard address.
pub(super) const RESERVED_PORTS: [u16; 4] = [15021, 15090, 15001, 15006];

/// Compiles what `workload` is subject to. Never fails: what the world does not say takes Istio's defaults.
pub fn compile(world: &World, workload: &Workload) -> Snapshot {
    let revision = visibility::revision(world, workload);
    let version = world.istio_version(revision);
    let world = &*version::as_read(world, version);
    let mesh = world.mesh_config(revision);
    let settings = mesh.as_ref().map(|mesh| mesh.spec.clone()).unwrap_or_default();
    let sidecar = visibility::sidecar_of(world, workload, &settings.root_namespace);
    let mode = visibility::mode(
        workload,
        sidecar.as_deref(),
        mesh.map(|mesh| &**mesh),
        &settings.root_namespace,
    );

    let everything = [EgressListener {
        hosts: vec!["*/*".into()],
        ..EgressListener::default()
    }];
    let egress = match &sidecar {
        Some(sidecar) if !sidecar.spec.egress.is_empty() => sidecar.spec.egress.as_slice(),
        _ => &everything,
    };
    let registry = registry::services(world, &settings, &workload.namespace);
    let scopes: Vec<Scope<'_>> = egress
        .iter()
        .map(|listener| Scope::new(listener, &registry, world, &settings, workload))
        .collect();
    let of_clusters = scope::of_clusters(&scopes, &registry, workload);
    let shared = SharedEndpoints::new(world);
    let clusters = clusters::clusters(&of_clusters, &shared, world, &settings, workload);

    let mut entries = Entries::new(&clusters, &shared, workload);
    for scope in &scopes {
        entries.add(scope);
    }
    let (listeners, tabled) = entries.finish();
    let tables = Tables::new(&clusters, workload, &settings).all(&scopes, tabled);

    let timeout = settings.protocol_detection_timeout.filter(|timeout| !timeout.is_zero());
    let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
    for (address, mut listener) in listeners {
        // Istio: the detection timeout counts only where the HTTP inspector is attached.
        listener.needs.timeout = timeout.filter(|_| listener.needs.http);
        if address.ip().is_unspecified() {
            wildcard.insert(address.port(), listener);
        } else {
            exact.insert(address, listener);
        }
    }
    drop(scopes);
    let special = |name, endpoints| special(name, endpoints, settings.connect_timeout());
    let passthrough = special("PassthroughCluster", Endpoints::OriginalDst(None));
    let proxy = sidecar.as_ref().and_then(|sidecar| sidecar.spec.egress_proxy.as_ref());
    let unknown = match proxy {
        Some(proxy) => clusters.get(&clusters::name_of(proxy)).cloned(),
        None => Some(passthrough.clone()),
    };
    Snapshot {
        hash: hash(world, workload),
        version,
        workload: workload.clone(),
        capture: capture_of(world, workload),
        passthrough,
        unknown,
        dynamic_dns: special("AllowAnyDynamicDNSCluster", Endpoints::DynamicDns(80)),
        clusters,
        exact,
        wildcard,
        fallback: fallback(mode.mode, timeout),
        mode,
        tables,
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

/// A cluster that no object declares.
fn special(name: &str, endpoints: Endpoints, connect_timeout: Duration) -> Arc<Cluster> {
    Arc::new(Cluster {
        name: name.into(),
        host: "".into(),
        namespace: "unknown".into(),
        endpoints,
        connect_timeout,
        http: UpstreamHttp::AsCaller,
        limits: Limits::default(),
        consistent_hash: false,
        unapplied: Vec::new(),
        tls: None,
        object: None,
    })
}

/// A hash over everything the snapshot was made from, stable from run to run.
fn hash(world: &World, workload: &Workload) -> String {
    let mut hasher = DefaultHasher::new();
    format!("{workload:?}").hash(&mut hasher);
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
        sidecars
    );
    format!("{:016x}", hasher.finish())
}
