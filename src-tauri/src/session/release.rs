//! Which release of Istio is decided for, and how that is known.

use std::collections::BTreeSet;

use proxy_core::model::{IstioVersion, VERSION_ANNOTATION, VERSION_LABEL, VersionSource, World};

use super::View;
use crate::dto::IstioRelease;

/// For the windows.
pub fn release(view: &View) -> IstioRelease {
    let world = view.world();
    let found = found(world);
    let choices = match view.origin.cluster() {
        Some(_) => Vec::new(),
        None => IstioVersion::all().map(|version| version.to_string()).collect(),
    };
    IstioRelease {
        version: world
            .version
            .map_or_else(|| found.clone(), |version| version.to_string()),
        chosen: world.version.is_some(),
        from: from(world),
        found,
        choices,
    }
}

/// What the mesh configs say, one a revision.
fn found(world: &World) -> String {
    let mut releases: BTreeSet<IstioVersion> = world.mesh_configs.iter().map(|mesh| mesh.spec.version).collect();
    if releases.is_empty() {
        releases.insert(IstioVersion::NEWEST);
    }
    let names: Vec<String> = releases.iter().map(ToString::to_string).collect();
    names.join(" and ")
}

/// The default revision's word; the others' stand at their own ConfigMaps.
fn from(world: &World) -> String {
    let said = world.mesh_config("").and_then(|mesh| {
        let key = match mesh.spec.version_source {
            VersionSource::Annotation => format!("annotation {VERSION_ANNOTATION}"),
            VersionSource::Label => format!("label {VERSION_LABEL}"),
            VersionSource::Assumed => return None,
        };
        let others = if world.mesh_configs.len() > 1 {
            ", and of its other revisions"
        } else {
            ""
        };
        Some(format!(
            "{key} of ConfigMap {}/{}{others}",
            mesh.meta.namespace, mesh.meta.name
        ))
    });
    said.unwrap_or_else(|| "nothing says which, so that the newest known one is taken".into())
}
