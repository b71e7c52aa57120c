//! What would change a verdict: the smallest changes to the policy after which the same connection comes out otherwise.
//!
//! A change is kept as a value, not as a sentence, so that it can be applied to a `World` and compiled again; a property
//! test does that with random policies and finds every change to hold. Nothing is offered that would not help: a name
//! that the workload's Sidecar does not import, or that a more specific filter chain hides, is no way out.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use time::OffsetDateTime;

use super::{
    BypassRule, Claims, Decision, Facts, HttpVersion, OUTBOUND_PORT, Snapshot, Verdict, Workload, clusters, hosts,
    visibility::{self, Fits},
};
use crate::model::{MeshConfig, Meta, Object, OutboundMode, Place, Port, Protocol, Resolution, ServiceEntry, World};

/// A change after which the verdict is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Another outbound mode, written where the present one is.
    Mode(OutboundMode),
    /// A new ServiceEntry in the workload's namespace.
    Register {
        /// Its host.
        host: Arc<str>,
        /// Its address, where the destination can only be told by that.
        address: Option<IpAddr>,
        /// Its port.
        port: u16,
        /// The port's protocol.
        protocol: Protocol,
    },
    /// Other capture settings; all of them are needed.
    Capture(Vec<CaptureEdit>),
}

/// One change of what is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureEdit {
    /// Take a port out of `excludeOutboundPorts`.
    UnexcludePort(u16),
    /// Take a range out of `excludeIPRanges`.
    UnexcludeRange(IpNet),
    /// Put a range into `includeIPRanges`.
    IncludeRange(IpNet),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(OutboundMode::RegistryOnly) => f.write_str("mode REGISTRY_ONLY would block it"),
            Self::Mode(mode) => write!(f, "mode {mode} would let it pass"),
            Self::Register {
                host,
                address: None,
                port,
                protocol,
            } => write!(
                f,
                "a ServiceEntry for {host}, port {port} {protocol}, would register it"
            ),
            Self::Register {
                address: Some(address),
                port,
                protocol,
                ..
            } => write!(
                f,
                "a ServiceEntry with address {address}, port {port} {protocol}, would register it"
            ),
            Self::Capture(edits) => {
                for (index, edit) in edits.iter().enumerate() {
                    f.write_str(if index > 0 { " and " } else { "" })?;
                    match edit {
                        CaptureEdit::UnexcludePort(port) => write!(f, "without {port} in excludeOutboundPorts")?,
                        CaptureEdit::UnexcludeRange(range) => write!(f, "without {range} in excludeIPRanges")?,
                        CaptureEdit::IncludeRange(range) => write!(f, "with {range} in includeIPRanges")?,
                    }
                }
                f.write_str(" the sidecar would see it")
            }
        }
    }
}

/// The changes that would give another verdict than `decision`, the smallest first.
pub(super) fn changes(snapshot: &Snapshot, facts: &Facts<'_>, decision: &Decision<'_>) -> Vec<Change> {
    if facts.destination.port() == OUTBOUND_PORT && decision.verdict == Verdict::Blocked {
        return Vec::new();
    }
    match decision.verdict {
        Verdict::Registered => Vec::new(),
        Verdict::Bypassed => capture(snapshot, facts.destination).into_iter().collect(),
        Verdict::Passthrough => register(snapshot, facts)
            .into_iter()
            .chain([Change::Mode(OutboundMode::RegistryOnly)])
            .collect(),
        Verdict::Blocked => {
            // A request that no route can take is refused in every mode.
            let refused_anyway = matches!(decision.action, super::Action::Reply(reply) if reply.status != 502);
            let mode = (!refused_anyway).then_some(Change::Mode(OutboundMode::AllowAny));
            register(snapshot, facts).into_iter().chain(mode).collect()
        }
    }
}

/// The entry that would register the destination: by name where the connection tells one, else by address.
fn register(snapshot: &Snapshot, facts: &Facts<'_>) -> Option<Change> {
    let (address, port) = (facts.destination.ip(), facts.destination.port());
    let (host, protocol) = match facts.claims {
        // Without a Host there is nothing to register; the client is at fault.
        Claims::Http(http) if http.authority.is_none() && http.version != HttpVersion::Http10 => return None,
        Claims::Http(http) if http.version != HttpVersion::Http10 && http.method != "CONNECT" && http.path != "*" => {
            (http.authority.map(hosts::strip_port), Protocol::Http)
        }
        Claims::Tls { sni } => (sni, Protocol::Tls),
        _ => (None, Protocol::Tcp),
    };
    let by_name = host.and_then(|host| {
        let host: Arc<str> = match protocol {
            // HTTP hosts are served with a trailing dot too, a server name must be met as it is.
            Protocol::Http => host.strip_suffix('.').unwrap_or(host),
            _ => host,
        }
        .to_ascii_lowercase()
        .into();
        let possible = hosts::is_name(&host)
            // A Kubernetes Service of that name would win over the entry.
            && !host.ends_with(".cluster.local")
            && snapshot.takes_names(facts.destination)
            // A second entry would share the addresses of the first and be looked for there.
            && (protocol == Protocol::Http || !snapshot.addressed.contains(&*host))
            && imports(snapshot, &host, port)
            && !declared_here(snapshot, &host, port);
        possible.then_some(Change::Register {
            host,
            address: None,
            port,
            protocol,
        })
    });
    by_name.or_else(|| {
        if !snapshot.takes_streams(facts) {
            return None;
        }
        let label: String = address
            .to_string()
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
            .collect();
        let host: Arc<str> = format!("address-{}.external", label.trim_matches('-')).into();
        imports(snapshot, &host, port).then_some(Change::Register {
            host,
            address: Some(address),
            port,
            protocol: Protocol::Tcp,
        })
    })
}

/// The workload's namespace declares that host and port already; a second entry would not change its protocol.
fn declared_here(snapshot: &Snapshot, host: &str, port: u16) -> bool {
    snapshot
        .clusters
        .get(&clusters::name(port, "", host))
        .is_some_and(|cluster| cluster.namespace == snapshot.workload.namespace)
}

/// The workload's Sidecar imports `host` of its own namespace on `port`.
fn imports(snapshot: &Snapshot, host: &str, port: u16) -> bool {
    let own = &snapshot.workload.namespace;
    let claimed = |port: u16| {
        snapshot
            .egress
            .iter()
            .any(|listener| listener.port.is_some_and(|(number, _)| number == port))
    };
    let of_port = claimed(port);
    snapshot
        .egress
        .iter()
        .filter(|listener| match listener.port {
            Some((number, _)) => number == port,
            None => !of_port,
        })
        .any(|listener| visibility::imports(listener, own, host, own, Fits::Covered))
}

fn capture(snapshot: &Snapshot, destination: SocketAddr) -> Option<Change> {
    let mut capture = snapshot.capture.clone();
    let mut edits = Vec::new();
    while let Some(rule) = capture.bypass(destination) {
        let edit = match rule {
            BypassRule::ExcludedPort(port) => CaptureEdit::UnexcludePort(port),
            BypassRule::ExcludedRange(range) => CaptureEdit::UnexcludeRange(range),
            BypassRule::NotIncluded => CaptureEdit::IncludeRange(destination.ip().into()),
            BypassRule::Loopback => return None,
        };
        capture.edit(edit);
        edits.push(edit);
    }
    Some(Change::Capture(edits))
}

impl Change {
    /// The policy and the workload with this change made.
    pub fn apply(&self, world: &World, workload: &Workload) -> (World, Workload) {
        let (mut world, mut workload) = (world.clone(), workload.clone());
        match self {
            Self::Mode(mode) => set_mode(&mut world, &workload, *mode),
            Self::Register {
                host,
                address,
                port,
                protocol,
            } => {
                let spec = ServiceEntry {
                    hosts: vec![host.clone()],
                    addresses: address.iter().copied().map(IpNet::from).collect(),
                    ports: [Port {
                        number: *port,
                        name: "port".into(),
                        protocol: *protocol,
                        target_port: None,
                        line: 0,
                    }]
                    .into(),
                    resolution: if address.is_some() {
                        Resolution::None
                    } else {
                        Resolution::Dns
                    },
                    export_to: vec![".".into()],
                    ..ServiceEntry::default()
                };
                let meta = Meta {
                    namespace: workload.namespace.clone(),
                    name: host.clone(),
                    // Made last, as anything new is.
                    created: Some(OffsetDateTime::new_utc(time::Date::MAX, time::Time::MIDNIGHT)),
                    ..Meta::default()
                };
                world.service_entries.push(Arc::new(new_object(meta, spec)));
            }
            Self::Capture(edits) => {
                let revision = visibility::revision(&world, &workload).to_string();
                let mut capture = super::Capture::of(&world, &workload.annotations, None, &revision);
                edits.iter().for_each(|edit| capture.edit(*edit));
                workload.annotations.extend(capture.annotations());
            }
        }
        (world, workload)
    }
}

fn set_mode(world: &mut World, workload: &Workload, mode: OutboundMode) {
    let mesh = world.mesh_config(visibility::revision(world, workload)).cloned();
    let root = mesh
        .as_ref()
        .map(|mesh| mesh.spec.clone())
        .unwrap_or_default()
        .root_namespace;
    let sidecar = visibility::sidecar_of(world, workload, &root).filter(|sidecar| sidecar.spec.mode.is_some());
    if let Some(sidecar) = sidecar {
        for object in world.sidecars.iter_mut().filter(|object| Arc::ptr_eq(object, &sidecar)) {
            *object = Arc::new(object.but(|spec| spec.mode = Some(mode)));
        }
    } else if let Some(mesh) = mesh {
        for object in world
            .mesh_configs
            .iter_mut()
            .filter(|object| Arc::ptr_eq(object, &mesh))
        {
            *object = Arc::new(object.but(|spec| spec.mode = mode));
        }
    } else {
        let meta = Meta {
            namespace: root.as_str().into(),
            name: "istio".into(),
            ..Meta::default()
        };
        let spec = MeshConfig {
            mode,
            ..MeshConfig::default()
        };
        world.mesh_configs.push(Arc::new(new_object(meta, spec)));
    }
}

fn new_object<T: std::fmt::Debug>(meta: Meta, spec: T) -> Object<T> {
    let place = Place {
        file: "".into(),
        line: 1,
        column: 1,
    };
    Object::new(meta, place, spec)
}
