//! A mesh config that an istiod reads on top of its own: the ConfigMap that `SHARED_MESH_CONFIG` in its environment names.
//! Source: `pilot/pkg/bootstrap/mesh.go` and `mesh.ApplyMeshConfig` of Istio.

use std::sync::Arc;

use super::{config_map, cursor::Cursor, errors::Errors};
use crate::{
    model::{ControlPlane, MeshConfig, MeshText, Object},
    yaml::{Node, Value},
};

/// The variable that names the ConfigMap.
const VARIABLE: &str = "SHARED_MESH_CONFIG";
/// Istio takes over field by field; of these the parts.
const MERGED: [&str; 2] = ["defaultConfig", "proxyMetadata"];

/// What a Deployment says of the control plane that it is; `None` where it is none that reads a second mesh config.
pub fn control_plane(root: Cursor<'_>) -> Option<ControlPlane> {
    let template = root.node.get("spec")?.get("template")?;
    let containers = template.get("spec")?.get("containers")?.items();
    let variables = containers
        .iter()
        .flat_map(|container| container.get("env").map(Node::items).unwrap_or_default());
    let shared = variables
        .into_iter()
        .find(|variable| variable.get("name").and_then(Node::text) == Some(VARIABLE))?;
    let labels = template.get("metadata").and_then(|metadata| metadata.get("labels"));
    let revision = labels
        .and_then(|labels| labels.get("istio.io/rev")?.text())
        .unwrap_or_default();
    Some(ControlPlane {
        revision: if revision == "default" { "" } else { revision }.into(),
        shared_mesh: shared.get("value")?.text().filter(|name| !name.is_empty())?.into(),
    })
}

/// `own` with what `shared` says over it, or alone. Istio leaves out a second one that cannot be read.
pub fn joined(own: &Object<MeshConfig>, shared: Option<&Object<MeshText>>) -> MeshConfig {
    let spec = &own.spec;
    let Some(written) = &spec.written else {
        // An empty one, which what is shared would be the whole of.
        return spec.clone();
    };
    let mut document = written.document.clone();
    if let Some(shared) = shared {
        put_over(&mut document, &shared.spec.document);
    }
    let errors = Errors::new(&document, &own.place.file, "ConfigMap");
    let base = MeshConfig {
        revision: spec.revision.clone(),
        version: spec.version,
        version_source: spec.version_source,
        written: spec.written.clone(),
        joined_with: shared.map(Object::digest),
        ..MeshConfig::default()
    };
    let mut joined = config_map::read_mesh(Cursor::root(&document, &errors), written.lines, base);
    joined.unapplied = spec.unapplied.clone();
    let policy = shared.and_then(|shared| Some((shared, shared.spec.document.get("outboundTrafficPolicy")?)));
    joined.mode_elsewhere = policy.map(|(shared, policy)| {
        let line = policy.get("mode").map_or(policy.span.line, |mode| mode.span.line);
        shared.reference("ConfigMap", shared.spec.lines + line)
    });
    joined
}

/// The text of a ConfigMap that may be the one that is named. What is wrong with one is not said: it may be anybody's.
pub fn mesh_text(document: &Node, file: &Arc<str>) -> Option<MeshText> {
    document.get("data")?.get("mesh")?.as_str()?;
    let errors = Errors::new(document, file, "ConfigMap");
    config_map::mesh_text(Cursor::root(document, &errors))
}

fn put_over(own: &mut Node, shared: &Node) {
    let Value::Mapping(entries) = &mut own.value else {
        *own = shared.clone();
        return;
    };
    for (key, value) in shared.entries() {
        let name = key.text().unwrap_or_default();
        match entries.iter_mut().find(|(known, _)| known.text() == Some(name)) {
            Some((_, known)) if MERGED.contains(&name) => put_over(known, value),
            Some((_, known)) => *known = value.clone(),
            None => entries.push((key.clone(), value.clone())),
        }
    }
}
