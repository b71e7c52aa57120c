//! From field paths to places. Typed objects know the lines of the fields that decide about traffic; for all others
//! the file's own tree is asked once, when there is something to say.

use super::{Finding, finding::namespace_of};
use crate::yaml::{Node, Value};

/// Puts each finding of `file` at the field that it names, or at the nearest field above that is written.
pub fn locate(findings: &mut [Finding], file: &str, documents: &[Node]) {
    for finding in findings.iter_mut().filter(|finding| *finding.file == *file) {
        let Some(object) = documents.iter().find_map(|document| find(document, finding)) else {
            continue;
        };
        let (node, whole) = walk(object, &finding.field);
        // A rule that knows its line knows better than a field above the one it means.
        if whole || (finding.line == object.span.line && !std::ptr::eq(node, object)) {
            finding.line = node.span.line;
            finding.column = node.span.column;
        }
    }
}

/// The object of a finding, also inside a `List`.
fn find<'n>(document: &'n Node, finding: &Finding) -> Option<&'n Node> {
    let subject = finding.object.as_ref()?;
    let metadata = |key| {
        document
            .get("metadata")
            .and_then(|node| node.get(key))
            .and_then(Node::text)
    };
    let is = document.get("kind").and_then(Node::text) == Some(&subject.kind)
        && metadata("name") == Some(&subject.name)
        && namespace_of(
            &subject.kind,
            metadata("namespace")
                .filter(|text| !text.is_empty())
                .unwrap_or("default"),
        ) == subject.namespace
        && document.span.line <= finding.line;
    if is {
        return Some(document);
    }
    let items = document.get("items").map(Node::items).unwrap_or_default();
    items.iter().find_map(|item| find(item, finding))
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
