//! From one snapshot to the next: what an edit of some entries, routes and rules touches is compiled anew, and all else is
//! shared with the snapshot before.
//!
//! That is possible where names say all: the hosts that are edited are no wildcards and no Kubernetes Services, no wildcard
//! route and no supplied route has a say in them, and they are called on ports where services are told apart by their names
//! alone (HTTP, HTTPS, TLS). Everything else, and every edit of the mesh's settings, injectors, Sidecars, namespaces,
//! revisions, workloads and Kubernetes Services, and every edit of a policy whose workload has its DNS captured, compiles the
//! whole policy.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use super::{
    Cluster, Snapshot, Workload,
    compile::{Ground, compile, hash},
    discovery,
    edits::Edits,
    listeners::Listener,
    names::{NameMap, Named},
    region::Region,
    routes::RouteTable,
    version, visibility,
};
use crate::model::World;

/// What [`compile`] makes of `now` for the workload of `before`, which was compiled from `was`. Takes the time that the
/// difference takes, and a look at each object.
pub fn recompile(before: &Snapshot, was: &World, now: &World, workload: &Workload) -> Snapshot {
    let patched = || (before.workload == *workload).then(|| patch(before, was, now))?;
    patched().unwrap_or_else(|| compile(now, workload))
}

/// What a region compiles to.
struct Part {
    clusters: NameMap<Arc<Cluster>>,
    listeners: HashMap<SocketAddr, Listener>,
    tables: Vec<RouteTable>,
}

/// `None` where the edit reaches further than the names that it touches.
pub(super) fn patch(before: &Snapshot, was: &World, now: &World) -> Option<Snapshot> {
    if before.dns_names.is_some() {
        // What it answers is made of all services.
        return None;
    }
    let edits = Edits::between(was, now)?;
    let region = Region::of(&edits, now)?;
    let ports: Vec<u16> = before.tables.iter().filter_map(|table| table.port).collect();
    let [world_then, world_now] = region.worlds(&edits, now).map(|world| {
        let revision = visibility::revision(&world, &before.workload);
        let version = world.istio_version(revision);
        discovery::as_seen(version::as_read(&world, version), revision).into_owned()
    });

    let ground = Ground::of(&world_then, &before.workload);
    if !ground.is_undivided() {
        return None;
    }
    let old = part(&ground, &region, &ports, |own| Some(own.clone()))?;
    let ground = Ground::of(&world_now, &before.workload);
    let mut clusters = None;
    let new = part(&ground, &region, &ports, |own| {
        clusters = patched_clusters(&before.clusters, &region, &old.clusters, own);
        clusters.clone()
    })?;
    let clusters = clusters?;

    let patched = |table: &Arc<RouteTable>| {
        let of_port = |part: &'_ Part| part.tables.iter().position(|own| own.port == table.port);
        let (Some(own_old), Some(own_new)) = (of_port(&old), of_port(&new)) else {
            // That of a single service, which is not of the region.
            return Some(table.clone());
        };
        table.patched(&old.tables[own_old], &new.tables[own_new])
    };
    let tables: Option<Vec<Arc<RouteTable>>> = before.tables.iter().map(patched).collect();
    let mut wildcard = before.wildcard.clone();
    for address in old.listeners.keys().chain(new.listeners.keys()) {
        if !address.ip().is_unspecified() {
            return None;
        }
        let own = before.wildcard.get(&address.port())?;
        let changed = own.patched(old.listeners.get(address), new.listeners.get(address))?;
        wildcard.insert(address.port(), Arc::new(changed));
    }
    Some(Snapshot {
        hash: hash(now, &before.workload),
        unknown: ground.unknown(&clusters, &before.passthrough),
        clusters,
        wildcard,
        tables: tables?,
        exact: before.exact.clone(),
        fallback: before.fallback.clone(),
        workload: before.workload.clone(),
        version: before.version,
        capture: before.capture.clone(),
        sockets: before.sockets.clone(),
        mode: before.mode.clone(),
        path_normalization: before.path_normalization,
        passthrough: before.passthrough.clone(),
        dynamic_dns: before.dynamic_dns.clone(),
        dns_names: None,
    })
}

/// What the hosts of `region` compile to. Their routes lead to those clusters that `all` gives for their own.
fn part(
    ground: &Ground<'_>,
    region: &Region,
    ports: &[u16],
    all: impl FnOnce(&NameMap<Arc<Cluster>>) -> Option<NameMap<Arc<Cluster>>>,
) -> Option<Part> {
    let mut services = ground.services();
    let own = services.clusters.by_name;
    services.clusters.by_name = all(&own)?;
    for scope in &mut services.scopes {
        scope.services.retain(|service| region.has(&service.host));
    }
    let (listeners, tables) = ground.routes(&services, ports);
    Some(Part {
        clusters: own,
        listeners: listeners.into_iter().collect(),
        tables,
    })
}

/// All clusters, with the region's `new` ones in the place of its `old` ones. `None` where the edit makes or takes away
/// clusters of other hosts, which its routes lead to.
fn patched_clusters(
    all: &NameMap<Arc<Cluster>>,
    region: &Region,
    old: &NameMap<Arc<Cluster>>,
    new: &NameMap<Arc<Cluster>>,
) -> Option<NameMap<Arc<Cluster>>> {
    let is_own = |cluster: &&Arc<Cluster>| region.has(&cluster.host);
    let stays = |cluster: &Arc<Cluster>| [all, old, new].iter().all(|list| list.get(cluster.name()).is_some());
    if !old
        .iter()
        .chain(new.iter())
        .all(|cluster| is_own(&cluster) || stays(cluster))
    {
        return None;
    }
    let mut patched = all.clone();
    for cluster in old.iter().filter(is_own) {
        patched.remove(cluster.name())?;
    }
    new.iter()
        .filter(is_own)
        .all(|cluster| patched.add(cluster.clone()))
        .then_some(patched)
}
