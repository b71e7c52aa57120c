//! Who may see what: `exportTo`, and the Sidecar that holds for a workload.

use std::{borrow::Cow, sync::Arc};

use super::{DataPlane, Workload, discovery, hosts, registry, version};
use crate::model::{EgressListener, MeshConfig, Object, ObjectRef, OutboundMode, Sidecar, World};

/// What an object's `exportTo` means for one namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Export {
    /// Private to this namespace.
    Private,
    /// Exported to this namespace by name.
    Listed,
    /// Public.
    Public,
    /// Not visible.
    Hidden,
}

impl Export {
    /// `export_to` (or `default` where empty) of an object in `own`, seen from `from`.
    pub fn of(export_to: &[String], default: &[String], own: &str, from: &str) -> Self {
        let list = if export_to.is_empty() { default } else { export_to };
        let is_own = |item: &String| item == "." || item == own;
        if list.iter().any(|item| item == "*") {
            Self::Public
        } else if own == from && list.iter().any(is_own) {
            Self::Private
        } else if list.iter().any(|item| item == from) {
            Self::Listed
        } else {
            Self::Hidden
        }
    }

    /// Istio's order for services: what is exported to a namespace before what is public.
    pub fn rank(self) -> u8 {
        u8::from(self == Self::Public)
    }
}

/// The outbound mode of a workload, and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mode {
    /// The mode.
    pub mode: OutboundMode,
    /// `mesh`, `namespace shop` or `workload shop/cart`.
    pub scope: String,
    /// The object that sets it; `None` where it is written nowhere and Istio's default holds.
    pub object: Option<ObjectRef>,
}

/// The control plane's revision that a workload's labels, or its namespace's, ask for; empty for the default one.
pub(super) fn revision<'w>(world: &'w World, workload: &'w Workload) -> &'w str {
    DataPlane::of(world, workload, false).revision(world)
}

/// The outbound mode of `workload`, and where it is written: what a compiled policy says too, without compiling one.
pub fn mode_of(world: &World, workload: &Workload) -> Mode {
    let revision = revision(world, workload);
    let read = world
        .mesh_config(revision)
        .map(|mesh| version::mesh_as_read(mesh, world.istio_version(revision)));
    let mesh = read.as_deref();
    let root = mesh.map_or_else(
        || MeshConfig::default().root_namespace,
        |mesh| mesh.spec.root_namespace.clone(),
    );
    let sidecar = sidecar_of(&discovery::as_seen(Cow::Borrowed(world), revision), workload, &root);
    mode(workload, sidecar.as_deref(), mesh, &root)
}

/// The one Sidecar that holds for `workload`: with a matching selector in its namespace, else without one, else
/// without one in the root namespace; the oldest of each.
pub(super) fn sidecar_of(world: &World, workload: &Workload, root_namespace: &str) -> Option<Arc<Object<Sidecar>>> {
    let oldest = |namespace: &str, fits: &dyn Fn(&Sidecar) -> bool| {
        world
            .sidecars
            .iter()
            .filter(|sidecar| &*sidecar.meta.namespace == namespace && fits(&sidecar.spec))
            .min_by_key(|sidecar| registry::age(sidecar, &sidecar.meta.name))
            .cloned()
    };
    let selects = |sidecar: &Sidecar| {
        sidecar.workload_selector.as_ref().is_some_and(|labels| {
            labels
                .iter()
                .all(|(key, value)| workload.labels.get(key) == Some(value))
        })
    };
    oldest(&workload.namespace, &selects)
        .or_else(|| oldest(&workload.namespace, &|sidecar| sidecar.workload_selector.is_none()))
        .or_else(|| oldest(root_namespace, &|sidecar| sidecar.workload_selector.is_none()))
}

/// The mode that holds, from the Sidecar's own policy or the mesh's.
pub(super) fn mode(
    workload: &Workload,
    sidecar: Option<&Object<Sidecar>>,
    mesh: Option<&Object<MeshConfig>>,
    root_namespace: &str,
) -> Mode {
    if let Some((sidecar, mode)) = sidecar.and_then(|sidecar| Some((sidecar, sidecar.spec.mode?))) {
        let scope = if sidecar.spec.workload_selector.is_some() {
            format!("workload {}/{}", workload.namespace, sidecar.meta.name)
        } else if &*sidecar.meta.namespace == root_namespace && *sidecar.meta.namespace != *workload.namespace {
            "mesh".to_string()
        } else {
            format!("namespace {}", sidecar.meta.namespace)
        };
        return Mode {
            mode,
            scope,
            object: Some(sidecar.reference("Sidecar", sidecar.spec.mode_line)),
        };
    }
    Mode {
        mode: mesh.map_or(OutboundMode::AllowAny, |mesh| mesh.spec.mode),
        scope: "mesh".into(),
        object: mesh.and_then(Object::mode_reference),
    }
}

/// True where `listener` imports `host` of `namespace` for a workload in `own`. Istio 1.31: `~ns/host` excludes.
pub(super) fn imports(listener: &EgressListener, namespace: &str, host: &str, own: &str, fits: Fits) -> bool {
    let fits = match fits {
        Fits::Covered => hosts::covers,
        Fits::Overlapping => hosts::overlap,
    };
    let mut imported = false;
    for pattern in &listener.hosts {
        let Some((in_namespace, name)) = pattern.split_once('/') else {
            continue;
        };
        let (excludes, in_namespace) = match in_namespace.strip_prefix('~') {
            Some(rest) => (true, if rest.is_empty() { "*" } else { rest }),
            None => (false, in_namespace),
        };
        let in_namespace = if in_namespace == "." { own } else { in_namespace };
        if in_namespace != "*" && in_namespace != namespace {
            continue;
        }
        // `~/*` is the documented way to import nothing.
        if excludes && hosts::covers(name, host) {
            return false;
        }
        imported |= !excludes && fits(name, host);
    }
    imported
}

/// How a host must fit a Sidecar's pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fits {
    /// Services: every name of it is imported.
    Covered,
    /// VirtualServices: some name of it is imported.
    Overlapping,
}
