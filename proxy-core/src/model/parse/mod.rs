//! From YAML nodes to typed objects. Every error names file, line, column and field; an object with an error is not
//! taken, one with unknown fields is (Istio prunes what it does not know).

mod config_map;
mod cursor;
mod envoy_filter;
mod errors;
mod identity;
mod injection_template;
mod load_balancing;
mod route_actions;
mod routes;
mod service_entry;
mod shared_mesh;
mod spelling;
mod telemetry;
mod traffic;
mod visibility;

use std::sync::Arc;

use cursor::Cursor;
pub(crate) use cursor::parse_duration;
use errors::Errors;
pub(crate) use injection_template::places;
pub(super) use shared_mesh::joined;
use time::{UtcDateTime, format_description::well_known::Rfc3339};

use super::{Meta, Object, Place, World};
use crate::yaml::Node;

/// Why an object cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {field}: {message}")]
pub struct ModelError {
    /// Kind, namespace and name of the object, as far as they are known.
    pub object: (String, String, String),
    /// Where.
    pub place: Place,
    /// Field path, such as `spec.http[0].timeout`.
    pub field: String,
    /// What was expected, and what to do.
    pub message: String,
}

/// Adds the objects of `document` to `world`. `order` counts objects in their order of appearance. `List` documents are
/// unwrapped; kinds that policy does not depend on are counted in `world.ignored`.
pub fn add_document(
    document: &Node,
    file: &Arc<str>,
    order: &mut u32,
    world: &mut World,
    errors: &mut Vec<ModelError>,
) {
    let kind = document.get("kind").and_then(Node::text).unwrap_or_default();
    if kind.ends_with("List") && document.get("items").is_some() {
        for item in document.get("items").map(Node::items).unwrap_or_default() {
            add_document(item, file, order, world, errors);
        }
        return;
    }
    let found = Errors::new(document, file, kind);
    let root = Cursor::root(document, &found);
    if document.get("kind").is_none() || document.get("apiVersion").is_none() {
        root.error("expected a Kubernetes object with apiVersion and kind");
        errors.extend(found.take());
        return;
    }
    *order += 1;
    let meta = meta(root, *order);
    let place = Place {
        file: file.clone(),
        line: document.span.line,
        column: document.span.column,
    };
    add_object(root, kind, meta, place, world, &found);
    errors.extend(found.take());
    world.join_meshes();
}

fn add_object(root: Cursor<'_>, kind: &str, meta: Meta, place: Place, world: &mut World, errors: &Errors<'_>) {
    let group = root.node.get("apiVersion").and_then(Node::text).unwrap_or_default();
    let group = group.split_once('/').map_or("", |(group, _)| group);
    macro_rules! take {
        ($list:ident, $spec:expr) => {{
            let (spec, mut meta) = ($spec, meta);
            if errors.is_empty() {
                // Objects beside each other are mostly of one namespace, whose name they share.
                if let Some(last) = world.$list.last().filter(|last| last.meta.namespace == meta.namespace) {
                    meta.namespace = last.meta.namespace.clone();
                }
                world.$list.push(Arc::new(Object::new(meta, place, spec)));
            }
        }};
    }
    match (group, kind) {
        ("", "ConfigMap") => {
            if let Some(revision) = config_map::revision(&meta.name, "istio-sidecar-injector") {
                if let Some(spec) = config_map::injector(root, revision) {
                    return take!(injectors, spec);
                }
            } else if let Some(revision) = config_map::revision(&meta.name, "istio")
                && let Some(spec) = config_map::mesh(root, revision)
            {
                return take!(mesh_configs, spec);
            } else if let Some(text) = shared_mesh::mesh_text(root.node, &place.file) {
                return take!(shared_meshes, text);
            }
            if errors.is_empty() {
                ignore(world, kind);
            }
        }
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => match config_map::tag(&meta.labels) {
            Some(tag) => take!(tags, tag),
            None => ignore(world, kind),
        },
        ("", "Namespace") => take!(namespaces, super::Namespace),
        ("", "Service") => take!(services, identity::service(root)),
        ("", "Pod") => take!(workloads, identity::workload("Pod", root, root)),
        ("apps", "Deployment") => {
            if let Some(plane) = shared_mesh::control_plane(root) {
                let object = Object::new(meta.clone(), place.clone(), plane);
                world.control_planes.push(Arc::new(object));
            }
            take!(workloads, identity::template("Deployment", root))
        }
        ("apps", "StatefulSet") => take!(workloads, identity::template("StatefulSet", root)),
        ("apps", "DaemonSet") => take!(workloads, identity::template("DaemonSet", root)),
        ("networking.istio.io", "ServiceEntry") => take!(service_entries, service_entry::service_entry(root)),
        ("networking.istio.io", "VirtualService") => take!(virtual_services, routes::virtual_service(root)),
        ("networking.istio.io", "DestinationRule") => take!(destination_rules, traffic::destination_rule(root)),
        ("networking.istio.io", "Gateway") => take!(gateways, traffic::gateway(root)),
        ("networking.istio.io", "Sidecar") => take!(sidecars, traffic::sidecar(root)),
        ("networking.istio.io", "EnvoyFilter") => match envoy_filter::envoy_filter(root) {
            Some(filter) => take!(envoy_filters, filter),
            None => ignore(world, kind),
        },
        ("telemetry.istio.io", "Telemetry") => take!(telemetries, telemetry::telemetry(root)),
        _ => ignore(world, kind),
    }
}

fn ignore(world: &mut World, kind: &str) {
    *world.ignored.entry(kind.to_string()).or_default() += 1;
}

fn meta(root: Cursor<'_>, order: u32) -> Meta {
    let Some(metadata) = root.mapping("metadata") else {
        root.error("expected metadata with a name");
        return Meta::default();
    };
    let name = metadata.text("name").unwrap_or_default();
    if name.is_empty() {
        metadata.error("expected a name");
    }
    let created = metadata.text("creationTimestamp").and_then(|text| {
        let parsed = UtcDateTime::parse(text, &Rfc3339);
        if parsed.is_err() {
            metadata.error_at("creationTimestamp", "expected a time such as 2026-01-31T12:00:00Z");
        }
        parsed.ok()
    });
    Meta {
        namespace: metadata
            .text("namespace")
            .filter(|text| !text.is_empty())
            .unwrap_or("default")
            .into(),
        name: name.into(),
        labels: metadata.labels("labels").into(),
        annotations: metadata.labels("annotations").into(),
        created,
        order,
    }
}

#[cfg(test)]
mod tests;
