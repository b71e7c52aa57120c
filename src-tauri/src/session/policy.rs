//! The Policy screen's lists, out of the World as it is with the staged edits marked.

use std::collections::{HashMap, HashSet};

use proxy_core::model::{MeshConfig, Object, Resolution, ServiceEntry, VirtualService, World};

use super::{View, bypass::bypass_view};
use crate::dto::{Finding, Mode, ModeScope, ObjectRef, Place, PolicyView, ServicePort, ServiceRow, Staged, TimeoutRow};

/// Everything on the Policy screen. `proposed` is the World with the staged edits, where there are any.
pub fn policy_view(view: &View, proposed: Option<&World>, findings: Vec<Finding>) -> PolicyView {
    PolicyView {
        modes: modes(view.world()),
        services: services(view.world(), proposed),
        timeouts: timeouts(view.world(), proposed),
        bypass: bypass_view(view),
        findings,
    }
}

/// The mesh's mode, that of other revisions of its control plane, then that of every Sidecar that sets one.
pub fn modes(world: &World) -> Vec<ModeScope> {
    let default = world.mesh_config("");
    let mut scopes = vec![mesh_mode("mesh".into(), default.map(|mesh| &**mesh))];
    let others = world.mesh_configs.iter().filter(|mesh| Some(*mesh) != default);
    scopes.extend(others.map(|mesh| mesh_mode(format!("revision {}", mesh.spec.revision), Some(mesh))));
    for sidecar in &world.sidecars {
        let Some(mode) = sidecar.spec.mode else { continue };
        let namespace = &sidecar.meta.namespace;
        let scope = match &sidecar.spec.workload_selector {
            Some(_) => format!("workload {namespace}/{}", sidecar.meta.name),
            None => format!("namespace {namespace}"),
        };
        scopes.push(ModeScope {
            scope,
            mode: mode.into(),
            written: Some(Place {
                file: sidecar.place.file.to_string(),
                line: sidecar.spec.mode_line,
                column: 1,
            }),
            object: Some((&sidecar.reference("Sidecar", sidecar.spec.mode_line)).into()),
        });
    }
    scopes
}

fn mesh_mode(scope: String, mesh: Option<&Object<MeshConfig>>) -> ModeScope {
    ModeScope {
        scope,
        mode: mesh.map_or(Mode::AllowAny, |mesh| mesh.spec.mode.into()),
        written: mesh.and_then(Object::mode_reference).map(|mode| Place {
            file: mode.file.to_string(),
            line: mode.line,
            column: 1,
        }),
        object: mesh.map(|mesh| {
            let mode = mesh.mode_reference();
            (&mode.unwrap_or_else(|| mesh.reference("ConfigMap", 0))).into()
        }),
    }
}

/// Namespace and name.
type Key<'w> = (&'w str, &'w str);

fn key<T>(object: &Object<T>) -> Key<'_> {
    (&object.meta.namespace, &object.meta.name)
}

/// Objects of the World and of the proposal in one list, each marked with what the staged edits do to it.
fn merged<'w, T: PartialEq>(
    now: &'w [std::sync::Arc<Object<T>>],
    proposed: Option<&'w [std::sync::Arc<Object<T>>]>,
) -> Vec<(&'w Object<T>, Option<Staged>)> {
    let Some(proposed) = proposed else {
        return now.iter().map(|object| (&**object, None)).collect();
    };
    let by_key: HashMap<Key<'_>, &Object<T>> = proposed.iter().map(|object| (key(object), &**object)).collect();
    let mut rows = Vec::new();
    let mut seen: HashSet<Key<'_>> = HashSet::new();
    for object in now {
        seen.insert(key(object));
        match by_key.get(&key(object)) {
            Some(other) if other.spec == object.spec => rows.push((&**object, None)),
            Some(other) => rows.push((*other, Some(Staged::Changed))),
            None => rows.push((&**object, Some(Staged::Deleted))),
        }
    }
    let added = proposed.iter().filter(|object| !seen.contains(&key(object)));
    rows.extend(added.map(|object| (&**object, Some(Staged::Added))));
    rows
}

/// All ServiceEntries.
pub fn services(world: &World, proposed: Option<&World>) -> Vec<ServiceRow> {
    let rows = merged(
        &world.service_entries,
        proposed.map(|world| world.service_entries.as_slice()),
    );
    let limits = limits(proposed.unwrap_or(world));
    rows.into_iter()
        .map(|(entry, staged)| service(entry, staged, &limits))
        .collect()
}

fn service(entry: &Object<ServiceEntry>, staged: Option<Staged>, limits: &HashMap<&str, u64>) -> ServiceRow {
    let spec = &entry.spec;
    ServiceRow {
        object: (&entry.reference("ServiceEntry", 0)).into(),
        hosts: spec.hosts.iter().map(ToString::to_string).collect(),
        addresses: spec.addresses.iter().map(short).collect(),
        ports: spec.ports.iter().map(port).collect(),
        resolution: resolution(spec.resolution).into(),
        location: if spec.mesh_internal {
            "MESH_INTERNAL"
        } else {
            "MESH_EXTERNAL"
        }
        .into(),
        export_to: spec.export_to.to_vec(),
        timeout_ms: spec.hosts.iter().find_map(|host| limits.get(&**host).copied()),
        staged,
    }
}

/// A range as people write it: a single address has no prefix length.
pub fn short(net: &ipnet::IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

/// One port for lists and forms.
pub fn port(port: &proxy_core::model::Port) -> ServicePort {
    ServicePort {
        number: port.number,
        name: port.name.to_string(),
        protocol: port.protocol.to_string(),
        target_port: port.target_port,
    }
}

/// As YAML spells it.
pub fn resolution(resolution: Resolution) -> &'static str {
    match resolution {
        Resolution::None => "NONE",
        Resolution::Static => "STATIC",
        Resolution::Dns => "DNS",
        Resolution::DnsRoundRobin => "DNS_ROUND_ROBIN",
        Resolution::DynamicDns => "DYNAMIC_DNS",
    }
}

/// The timeout of each host that has one, in milliseconds: the first route's of the first VirtualService that names it.
fn limits(world: &World) -> HashMap<&str, u64> {
    let mut limits = HashMap::new();
    let mut seen = HashSet::new();
    for service in &world.virtual_services {
        let limit = service.spec.http.iter().find_map(|route| route.timeout);
        for host in &service.spec.hosts {
            if let (true, Some(limit)) = (seen.insert(&**host), limit) {
                limits.insert(&**host, limit.as_millis() as u64);
            }
        }
    }
    limits
}

/// All VirtualServices with HTTP routes, one row a host.
pub fn timeouts(world: &World, proposed: Option<&World>) -> Vec<TimeoutRow> {
    let rows = merged(
        &world.virtual_services,
        proposed.map(|world| world.virtual_services.as_slice()),
    );
    let with_http = rows.into_iter().filter(|(service, _)| !service.spec.http.is_empty());
    with_http
        .flat_map(|(service, staged)| rows_of(service, staged))
        .collect()
}

fn rows_of(service: &Object<VirtualService>, staged: Option<Staged>) -> impl Iterator<Item = TimeoutRow> + use<> {
    let http = &service.spec.http;
    let timed = http.iter().find(|route| route.timeout.is_some());
    let object: ObjectRef = (&service.reference("VirtualService", timed.map_or(0, |route| route.timeout_line))).into();
    let (hosts, routes) = (service.spec.hosts.clone(), http.len());
    let limit = timed
        .and_then(|route| route.timeout)
        .map(|timeout| timeout.as_millis() as u64);
    hosts.into_iter().map(move |host| TimeoutRow {
        object: object.clone(),
        host: host.to_string(),
        routes,
        timeout_ms: limit,
        staged,
    })
}
