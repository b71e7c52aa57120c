//! Edits of a folder's files, as the old and the new text of one file each. Pure: texts in, texts out; whoever writes
//! them to disk decides when. A document is what stands between two `---` lines, so that the comments around an object
//! go with it, and every line that an edit does not mean stays byte for byte.

mod injector;

use std::sync::Arc;

use crate::{
    model::{OutboundMode, World},
    policy::CAPTURE_ANNOTATIONS,
    yaml::{self, Change, EditError, Field, Node},
};

pub use injector::{InjectorRanges, set_injector_ranges};

/// Why an edit cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceEditError {
    /// Nothing in the folder holds what is to be edited.
    #[error("{0}")]
    Missing(String),
    /// The object shares its document with others.
    #[error("{kind} {namespace}/{name} stands inside a List; give it a document of its own to edit it")]
    InList {
        /// Kind.
        kind: String,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// A field cannot be changed in place.
    #[error("{file}: {error}")]
    Field {
        /// The file.
        file: Arc<str>,
        /// Why.
        error: EditError,
    },
}

/// Bytes of each document of `text`: from behind one `---` line to the next.
pub fn documents(text: &str) -> Vec<std::ops::Range<usize>> {
    let (mut ranges, mut start, mut at) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        let marker = line.trim_end();
        // `--- # comment` opens a document too; `---` inside a block scalar is always indented.
        if marker == "---" || marker.starts_with("--- ") {
            ranges.push(start..at);
            start = at + line.len();
        }
        at += line.len();
    }
    ranges.push(start..text.len());
    ranges.retain(|range| !text[range.clone()].trim().is_empty());
    ranges
}

/// Bytes of the document that holds the object `kind` `namespace/name`.
pub fn find_document(text: &str, kind: &str, namespace: &str, name: &str) -> Option<std::ops::Range<usize>> {
    documents(text).into_iter().find(|range| {
        let documents = yaml::read(text[range.clone()].as_bytes()).unwrap_or_default();
        documents.first().is_some_and(|node| is(node, kind, namespace, name))
    })
}

fn is(node: &Node, kind: &str, namespace: &str, name: &str) -> bool {
    let metadata = node.get("metadata");
    let text = |key| metadata.and_then(|metadata| metadata.get(key)).and_then(Node::text);
    node.get("kind").and_then(Node::text) == Some(kind)
        && text("name") == Some(name)
        && text("namespace").filter(|text| !text.is_empty()).unwrap_or("default") == namespace
}

/// Changes the document of one object by `change`.
pub fn edit_document(
    text: &str,
    file: &Arc<str>,
    (kind, namespace, name): (&str, &str, &str),
    change: impl FnOnce(&str) -> Result<String, EditError>,
) -> Result<String, SourceEditError> {
    let range = find_document(text, kind, namespace, name)
        .ok_or_else(|| SourceEditError::Missing(format!("{file} holds no {kind} {namespace}/{name}")))?;
    let new = change(&text[range.clone()]).map_err(|error| SourceEditError::Field {
        file: file.clone(),
        error,
    })?;
    Ok([&text[..range.start], &new, &text[range.end..]].concat())
}

/// Writes the mesh's outbound mode into the ConfigMap `name` in `text`.
pub fn set_mesh_mode(
    text: &str,
    file: &Arc<str>,
    (namespace, name): (&str, &str),
    mode: OutboundMode,
) -> Result<String, SourceEditError> {
    let field = Field::Text(mode.to_string());
    edit_document(text, file, ("ConfigMap", namespace, name), |document| {
        yaml::inside(document, &["data", "mesh"], |mesh| {
            yaml::set(mesh, &["outboundTrafficPolicy", "mode"], &field)
        })
    })
}

/// Writes a workload's own capture settings into its pod template's annotations; `None` takes one away, so that the
/// injector's value holds again.
pub fn set_capture(
    text: &str,
    file: &Arc<str>,
    (kind, namespace, name): (&str, &str, &str),
    lists: &[Option<String>; 4],
) -> Result<String, SourceEditError> {
    own_document(text, kind, namespace, name)?;
    let to: &[&str] = match kind {
        "Pod" => &["metadata", "annotations"],
        _ => &["spec", "template", "metadata", "annotations"],
    };
    edit_document(text, file, (kind, namespace, name), |document| {
        let pairs = CAPTURE_ANNOTATIONS.iter().zip(lists);
        pairs
            .into_iter()
            .try_fold(document.to_string(), |document, (key, list)| {
                let field = list.clone().map_or(Field::Absent, Field::Text);
                let written = yaml::read(document.as_bytes())?;
                let annotations = to.iter().try_fold(written.first(), |node, key| Some(node?.get(key)));
                let now = annotations
                    .flatten()
                    .and_then(|annotations| annotations.get(key))
                    .and_then(Node::text);
                if now == list.as_deref() {
                    return Ok(document);
                }
                yaml::set(&document, &[to, &[*key]].concat(), &field)
            })
    })
}

/// Makes the changes of findings at the JSON pointers in the document of an object, each as if it were the only one: what
/// stands further down goes first.
pub fn patch_object(
    text: &str,
    file: &Arc<str>,
    (kind, namespace, name): (&str, &str, &str),
    changes: &[(String, Change)],
) -> Result<String, SourceEditError> {
    own_document(text, kind, namespace, name)?;
    let mut changes: Vec<_> = changes.iter().collect();
    changes.sort_by_key(|(pointer, _)| std::cmp::Reverse(in_document_order(pointer)));
    edit_document(text, file, (kind, namespace, name), |document| {
        changes
            .into_iter()
            .try_fold(document.to_string(), |document, (pointer, change)| {
                yaml::patch(&document, pointer, change)
            })
    })
}

/// The steps of a JSON pointer, items of a list by their numbers.
fn in_document_order(pointer: &str) -> Vec<(Option<usize>, &str)> {
    pointer.split('/').map(|step| (step.parse().ok(), step)).collect()
}

/// Fails when the object is an item of a `List`: its lines are not a document that could be replaced.
fn own_document(text: &str, kind: &str, namespace: &str, name: &str) -> Result<(), SourceEditError> {
    let within = |node: &Node| {
        let items = node.get("items").map(Node::items).unwrap_or_default();
        items.iter().any(|item| is(item, kind, namespace, name))
    };
    if yaml::read(text.as_bytes()).unwrap_or_default().iter().any(within) {
        return Err(SourceEditError::InList {
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        });
    }
    Ok(())
}

/// Puts the document of an object in the place of the old one, or behind the last document of `text`.
pub fn put_object(
    text: &str,
    kind: &str,
    namespace: &str,
    name: &str,
    document: &str,
) -> Result<String, SourceEditError> {
    own_document(text, kind, namespace, name)?;
    let document = format!("{}\n", document.trim_end());
    Ok(match find_document(text, kind, namespace, name) {
        Some(range) => {
            // Blank lines before the next document are the file's, not the object's.
            let end = range.start + text[range.clone()].trim_end().len();
            let tail = text[end..].strip_prefix('\n').unwrap_or(&text[end..]);
            [&text[..range.start], &document, tail].concat()
        }
        None if text.trim().is_empty() => document,
        None => format!("{}\n---\n{document}", text.trim_end_matches('\n')),
    })
}

/// Takes the document of an object away; `None` when nothing but it was in the file.
pub fn delete_object(text: &str, kind: &str, namespace: &str, name: &str) -> Result<Option<String>, SourceEditError> {
    own_document(text, kind, namespace, name)?;
    let all = documents(text);
    let found = find_document(text, kind, namespace, name);
    let Some((index, range)) = found.and_then(|range| Some((all.iter().position(|other| *other == range)?, range)))
    else {
        return Ok(Some(text.to_string()));
    };
    if all.len() == 1 {
        return Ok(None);
    }
    // The `---` line goes with the document behind it, or with the first document the one behind that.
    Ok(Some(match (index, all.get(index + 1)) {
        (0, Some(next)) => text[next.start..].to_string(),
        _ => [&text[..all[index - 1].end], &text[range.end..]].concat(),
    }))
}

/// The file in which an object of `world` is written.
pub fn file_of(world: &World, kind: &str, namespace: &str, name: &str) -> Option<Arc<str>> {
    macro_rules! find {
        ($list:ident) => {
            world
                .$list
                .iter()
                .find(|object| *object.meta.namespace == *namespace && *object.meta.name == *name)
                .map(|object| object.place.file.clone())
        };
    }
    match kind {
        "ServiceEntry" => find!(service_entries),
        "VirtualService" => find!(virtual_services),
        "DestinationRule" => find!(destination_rules),
        "Sidecar" => find!(sidecars),
        "Service" => find!(services),
        "Gateway" => find!(gateways),
        "Telemetry" => find!(telemetries),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: &str = include_str!("../../examples/playground/api.yaml");
    const MESH: &str = include_str!("../../examples/playground/mesh.yaml");

    #[test]
    fn the_mode_changes_and_its_comments_stay() {
        let file = "mesh.yaml".into();
        let edited = set_mesh_mode(MESH, &file, ("istio-system", "istio"), OutboundMode::RegistryOnly).unwrap();
        assert_eq!(edited, MESH.replace("mode: ALLOW_ANY", "mode: REGISTRY_ONLY"));
    }

    #[test]
    fn fixes_of_one_object_are_made_as_if_each_were_the_only_one() {
        let text = "kind: Other\nmetadata: {name: b}\n---\nkind: V\nmetadata: {name: a}\nspec:\n  http:\n  - name: x\n  - name: \
                    y\n  - name: z\n  hosts:\n  - A\n";
        let changes = [
            ("/spec/http/0".to_string(), Change::Remove),
            ("/spec/hosts/0".to_string(), Change::Put("a".into())),
            ("/spec/http/1".to_string(), Change::Remove),
        ];
        let fixed = patch_object(text, &"f.yaml".into(), ("V", "default", "a"), &changes).unwrap();
        assert_eq!(
            fixed,
            text.replace("  - name: x\n  - name: y\n", "").replace("- A", "- a")
        );
    }

    #[test]
    fn a_workload_gets_ranges_of_its_own_and_loses_them_again() {
        let text = "# mine\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  template:\n    metadata:\n      \
                    annotations:\n        team: x # kept\n      labels: {app: a}\n";
        let set = |text: &str, lists: [Option<&str>; 4]| {
            let lists = lists.map(|list| list.map(str::to_string));
            set_capture(text, &"a.yaml".into(), ("Deployment", "default", "a"), &lists).unwrap()
        };
        let own = set(text, [Some(""), Some("10.0.0.0/8"), None, None]);
        assert!(own.contains("team: x # kept"), "{own}");
        assert!(
            own.contains("traffic.sidecar.istio.io/excludeOutboundIPRanges: 10.0.0.0/8"),
            "{own}"
        );
        assert!(
            own.contains("traffic.sidecar.istio.io/includeOutboundIPRanges: \"\""),
            "{own}"
        );
        assert_eq!(set(&own, [Some(""), Some("10.0.0.0/8"), None, None]), own);
        assert_eq!(set(&own, [None, None, None, None]), text);
    }

    #[test]
    fn an_object_is_put_replaced_and_taken_away_without_touching_its_neighbours() {
        let put = put_object(
            API,
            "ServiceEntry",
            "default",
            "new",
            "kind: ServiceEntry\nmetadata: {name: new}\n\n",
        )
        .unwrap();
        assert_eq!(put, format!("{API}---\nkind: ServiceEntry\nmetadata: {{name: new}}\n"));
        assert_eq!(
            delete_object(&put, "ServiceEntry", "default", "new")
                .unwrap()
                .as_deref(),
            Some(API)
        );
        let range = find_document(API, "ServiceEntry", "default", "api").unwrap();
        let same = put_object(API, "ServiceEntry", "default", "api", &API[range]);
        assert_eq!(same.as_deref(), Ok(API));
        let first = delete_object(API, "VirtualService", "default", "api").unwrap().unwrap();
        assert!(API.starts_with(&first) && first.ends_with("resolution: DNS\n"));
        assert_eq!(delete_object(&first, "ServiceEntry", "default", "api"), Ok(None));
    }

    #[test]
    fn an_object_inside_a_list_is_neither_doubled_nor_silently_kept() {
        let list = "kind: List\napiVersion: v1\nitems:\n- kind: ServiceEntry\n  metadata: {name: a, namespace: n}\n";
        assert!(matches!(
            put_object(list, "ServiceEntry", "n", "a", "kind: ServiceEntry\n"),
            Err(SourceEditError::InList { .. })
        ));
        assert!(delete_object(list, "ServiceEntry", "n", "a").is_err());
        assert!(put_object(list, "ServiceEntry", "n", "b", "kind: ServiceEntry\n").is_ok());
    }
}
