//! What would change a verdict: the smallest changes to the policy after which the same connection comes out otherwise.
//!
//! A change is kept as a value, not as a sentence, so that it can be applied to a `World` and compiled again. That is done
//! with each before it is offered: a name that the workload's Sidecar does not import, or that a more specific filter chain
//! hides, is no way out.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use time::UtcDateTime;

use super::{
    Action, BypassRule, Claims, Facts, HttpVersion, Snapshot, Step, Verdict, Workload, compile, decide, discovery,
    hosts, visibility,
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
    /// Without these objects; all of them have to go.
    Unregister(Vec<Declaring>),
    /// Other capture settings; all of them are needed.
    Capture(Vec<CaptureEdit>),
}

/// An object that declares a destination: a ServiceEntry, or a VirtualService, which serves hosts of no entry too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaring {
    /// `ServiceEntry` or `VirtualService`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
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
    /// Put a range into `excludeIPRanges`.
    ExcludeRange(IpNet),
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
            Self::Unregister(objects) => {
                let name = |object: &Declaring| format!("{} {}/{}", object.kind, object.namespace, object.name);
                let names: Vec<_> = objects.iter().map(name).collect();
                write!(f, "without {} nothing would register it", names.join(" and "))
            }
            Self::Capture(edits) => {
                for (index, edit) in edits.iter().enumerate() {
                    f.write_str(if index > 0 { " and " } else { "" })?;
                    match edit {
                        CaptureEdit::UnexcludePort(port) => write!(f, "without {port} in excludeOutboundPorts")?,
                        CaptureEdit::UnexcludeRange(range) => write!(f, "without {range} in excludeIPRanges")?,
                        CaptureEdit::IncludeRange(range) => write!(f, "with {range} in includeIPRanges")?,
                        CaptureEdit::ExcludeRange(range) => write!(f, "with {range} in excludeIPRanges")?,
                    }
                }
                let hides = edits.iter().any(|edit| matches!(edit, CaptureEdit::ExcludeRange(_)));
                f.write_str(if hides {
                    " the sidecar would not see it"
                } else {
                    " the sidecar would see it"
                })
            }
        }
    }
}

/// The changes of `world` that give another verdict than `verdict`, which `snapshot` of it gave. Each was tried.
pub(super) fn changes(
    world: &World,
    snapshot: &Snapshot,
    facts: &Facts<'_>,
    verdict: Verdict,
    trace: &[Step],
) -> Vec<Change> {
    let holds = |change: &Change| {
        let (world, workload) = change.apply(world, &snapshot.workload);
        let snapshot = compile(&world, &workload);
        let after = decide(&snapshot, facts, &mut ());
        match change {
            // An entry beside another one of its host can be without a cluster: nothing would get through.
            Change::Register { .. } => {
                after.verdict == Verdict::Registered && matches!(after.action, Action::Forward(_))
            }
            _ => after.verdict != verdict,
        }
    };
    let registration = || registrations(facts).into_iter().find(holds);
    let mode = |mode| Some(Change::Mode(mode)).filter(holds);
    let changes: Vec<Change> = match verdict {
        Verdict::Bypassed => return capture(snapshot, facts.destination).filter(holds).into_iter().collect(),
        Verdict::Registered => declarations(world, trace).into_iter().find(holds).into_iter().collect(),
        Verdict::Passthrough => registration()
            .into_iter()
            .chain(mode(OutboundMode::RegistryOnly))
            .collect(),
        Verdict::Blocked => registration().into_iter().chain(mode(OutboundMode::AllowAny)).collect(),
    };
    if !changes.is_empty() {
        return changes;
    }
    // Whatever the policy says of it, it says nothing of what is not captured.
    let hidden = Change::Capture(vec![CaptureEdit::ExcludeRange(facts.destination.ip().into())]);
    Some(hidden).filter(holds).into_iter().collect()
}

/// What may have to go for the destination to be unknown, the least first: the entry that declares it, the VirtualService
/// that serves it, both.
fn declarations(world: &World, trace: &[Step]) -> Vec<Change> {
    let found = |kind: &'static str| {
        let mut objects = trace.iter().rev().filter_map(|step| step.object.as_ref());
        let object = objects.find(|object| object.kind == kind)?;
        Some(Declaring {
            kind,
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        })
    };
    let service = found("VirtualService");
    // Where a VirtualService answers or leads elsewhere, no step names the entry of its host.
    let declares_host = |object: &Declaring| {
        let mut services = world.virtual_services.iter();
        let service =
            services.find(|known| known.meta.namespace == object.namespace && known.meta.name == object.name)?;
        let hosts = &service.spec.hosts;
        let mut entries = world.service_entries.iter();
        let entry = entries.find(|entry| {
            entry
                .spec
                .hosts
                .iter()
                .any(|host| hosts.iter().any(|own| **own == **host))
        })?;
        Some(Declaring {
            kind: "ServiceEntry",
            namespace: entry.meta.namespace.clone(),
            name: entry.meta.name.clone(),
        })
    };
    let entry = found("ServiceEntry").or_else(|| declares_host(service.as_ref()?));
    let single = entry.iter().chain(&service).map(|object| vec![object.clone()]);
    let both = entry
        .clone()
        .zip(service.clone())
        .map(|(entry, service)| vec![entry, service]);
    single.chain(both).map(Change::Unregister).collect()
}

/// The entries that may register the destination: by name where the connection tells one, and by address.
fn registrations(facts: &Facts<'_>) -> Vec<Change> {
    let (address, port) = (facts.destination.ip(), facts.destination.port());
    let (host, protocol) = match facts.claims {
        // Without a Host there is nothing to register; the client is at fault.
        Claims::Http(http) if http.authority.is_none() && http.version != HttpVersion::Http10 => return Vec::new(),
        Claims::Http(http) if http.version != HttpVersion::Http10 && http.method != "CONNECT" && http.path != "*" => {
            (http.authority.map(hosts::strip_port), Protocol::Http)
        }
        Claims::Tls { sni } => (sni, Protocol::Tls),
        _ => (None, Protocol::Tcp),
    };
    // HTTP hosts are served with a trailing dot too, a server name must be met as it is.
    let host = host.map(|host| match protocol {
        Protocol::Http => host.strip_suffix('.').unwrap_or(host),
        _ => host,
    });
    let by_name = host.filter(|host| hosts::is_name(host)).map(|host| Change::Register {
        host: host.to_ascii_lowercase().into(),
        address: None,
        port,
        protocol,
    });
    let label: String = address
        .to_string()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
        .collect();
    let by_address = Change::Register {
        host: format!("address-{}.external", label.trim_matches('-')).into(),
        address: Some(address),
        port,
        protocol: Protocol::Tcp,
    };
    by_name.into_iter().chain([by_address]).collect()
}

fn capture(snapshot: &Snapshot, destination: SocketAddr) -> Option<Change> {
    let mut capture = snapshot.capture.clone();
    let mut edits = Vec::new();
    while let Some(rule) = capture.bypass(destination) {
        let edit = match rule {
            BypassRule::ExcludedPort(port) => CaptureEdit::UnexcludePort(port),
            BypassRule::ExcludedRange(range) => CaptureEdit::UnexcludeRange(range),
            BypassRule::NotIncluded => CaptureEdit::IncludeRange(destination.ip().into()),
            // Neither is for capture settings to change.
            BypassRule::Loopback | BypassRule::SidecarUser => return None,
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
                    hosts: [host.clone()].into(),
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
                    export_to: [".".into()].into(),
                    ..ServiceEntry::default()
                };
                let meta = Meta {
                    namespace: workload.namespace.clone(),
                    name: host.clone(),
                    // Made last, as anything new is.
                    created: Some(UtcDateTime::MAX),
                    ..Meta::default()
                };
                world.service_entries.push(Arc::new(new_object(meta, spec)));
            }
            Self::Unregister(objects) => {
                for object in objects {
                    let stays = |meta: &Meta| meta.namespace != object.namespace || meta.name != object.name;
                    match object.kind {
                        "VirtualService" => world.virtual_services.retain(|known| stays(&known.meta)),
                        _ => world.service_entries.retain(|known| stays(&known.meta)),
                    }
                }
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
    let revision = visibility::revision(world, workload);
    let mesh = world.mesh_config(revision).cloned();
    let root = mesh
        .as_ref()
        .map(|mesh| mesh.spec.clone())
        .unwrap_or_default()
        .root_namespace;
    let seen = discovery::as_seen(Cow::Borrowed(world), revision);
    let sidecar = visibility::sidecar_of(&seen, workload, &root).filter(|sidecar| sidecar.spec.mode.is_some());
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
