//! From field paths to places. Typed objects know the lines of the fields that decide about traffic; for all others
//! the file's own tree is asked, when there is something to say.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Finding, finding::namespace_of};
use crate::yaml::{Node, Value};

/// Puts each finding at the field that it names, or at the nearest field above that is written; `documents` reads a file.
/// What is in a file that cannot be read stays where it is.
pub fn locate(findings: &mut [Finding], documents: impl Fn(&str) -> Option<Vec<Node>>) {
    let mut files: BTreeMap<Arc<str>, Vec<&mut Finding>> = BTreeMap::new();
    for finding in findings {
        files.entry(finding.file.clone()).or_default().push(finding);
    }
    for (file, findings) in files {
        let Some(documents) = documents(&file) else { continue };
        let mut objects = HashMap::new();
        documents.iter().for_each(|document| note(document, &mut objects));
        for finding in findings {
            if let Some(object) = of(finding, &objects) {
                place(finding, object);
            }
        }
    }
}

/// Objects by kind, namespace and name: a file can declare one several times.
type Objects<'n> = HashMap<(&'n str, &'n str, &'n str), Vec<&'n Node>>;

/// Notes what a document declares, also inside a `List`.
fn note<'n>(document: &'n Node, objects: &mut Objects<'n>) {
    let metadata = |key| {
        let metadata = document.get("metadata")?;
        metadata.get(key).and_then(Node::text)
    };
    if let (Some(kind), Some(name)) = (document.get("kind").and_then(Node::text), metadata("name")) {
        let namespace = metadata("namespace").filter(|text| !text.is_empty());
        let namespace = namespace_of(kind, namespace.unwrap_or("default"));
        objects.entry((kind, namespace, name)).or_default().push(document);
    }
    let items = document.get("items").map(Node::items).unwrap_or_default();
    items.iter().for_each(|item| note(item, objects));
}

/// The object of a finding.
fn of<'n>(finding: &Finding, objects: &Objects<'n>) -> Option<&'n Node> {
    let subject = finding.object.as_ref()?;
    let key = (&*subject.kind, &*subject.namespace, &*subject.name);
    let declared = objects.get(&key)?;
    declared.iter().find(|object| object.span.line <= finding.line).copied()
}

fn place(finding: &mut Finding, object: &Node) {
    let (node, whole) = walk(object, &finding.field);
    // A rule that knows its line knows better than a field above the one it means.
    if whole || (finding.line == object.span.line && !std::ptr::eq(node, object)) {
        finding.line = node.span.line;
        finding.column = node.span.column;
    }
}

/// Goes along `path` (`spec.ports[0].name`, `metadata.annotations[a.b/c]`) as far as the tree does.
fn walk<'n>(mut node: &'n Node, path: &str) -> (&'n Node, bool) {
    let mut rest = path;
    while !rest.is_empty() {
        let bracket = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'));
        let (step, behind) = match bracket {
            Some(found) => found,
            None => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        let next = match (&node.value, step.parse::<usize>()) {
            (Value::Sequence(items), Ok(index)) => items.get(index),
            _ => node.get(step),
        };
        match next {
            Some(next) => node = next,
            None => return (node, false),
        }
        rest = behind.strip_prefix('.').unwrap_or(behind);
    }
    (node, !path.is_empty())
}
