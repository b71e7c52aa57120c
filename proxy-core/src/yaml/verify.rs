//! The independent check behind every edit: what was written is read again and must mean what was wanted, in the field
//! that was named and nowhere else. Anchors are why an edit in the right bytes can still be wrong.

use super::{Field, Node, Value, read};

/// True when `after` says the same as `before` but for `path`, which holds `field`.
pub(super) fn differs_only_in(before: &Node, after: &Node, path: &[&str], field: &Field) -> bool {
    let Some((key, rest)) = path.split_first() else {
        return holds(after, field);
    };
    // A null on the way becomes a mapping.
    let entries = before.entries();
    let others = |node: &Node| {
        node.entries()
            .iter()
            .filter(|(name, _)| name.text() != Some(key))
            .count()
    };
    let kept = entries
        .iter()
        .filter(|(name, _)| name.text() != Some(key))
        .all(|(name, value)| {
            name.text()
                .and_then(|name| after.get(name))
                .is_some_and(|new| same(value, new))
        });
    let changed = match (before.get(key), after.get(key)) {
        (_, None) => *field == Field::Absent,
        (None, Some(new)) => made(new, rest, field),
        (Some(old), Some(new)) if old.is_null() || rest.is_empty() => made(new, rest, field),
        (Some(old), Some(new)) => differs_only_in(old, new, rest, field),
    };
    kept && changed && others(before) == others(after)
}

/// Mappings of one key each down to the field.
fn made(node: &Node, path: &[&str], field: &Field) -> bool {
    match path.split_first() {
        None => holds(node, field),
        Some((key, rest)) => node.entries().len() == 1 && node.get(key).is_some_and(|value| made(value, rest, field)),
    }
}

fn holds(node: &Node, field: &Field) -> bool {
    let read_as = |text: &str| read(text.as_bytes()).ok().and_then(|mut documents| documents.pop());
    match field {
        Field::Text(text) => node.as_str() == Some(text),
        Field::Plain(text) => match read_as(&format!("v: {text}")) {
            Some(wanted) => wanted.get("v").is_some_and(|wanted| same(wanted, node)),
            None => false,
        },
        Field::Block(lines) => read_as(lines).map_or(node.is_null(), |wanted| same(&wanted, node)),
        Field::Absent => false,
    }
}

/// The same meaning, whatever the quotes.
fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Scalar(one, _), Value::Scalar(two, _)) => {
            (a.is_null() && b.is_null()) || (one == two && a.as_str().is_some() == b.as_str().is_some())
        }
        (Value::Sequence(one), Value::Sequence(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| same(one, two))
        }
        (Value::Mapping(one), Value::Mapping(two)) => {
            one.len() == two.len()
                && one
                    .iter()
                    .zip(two)
                    .all(|((key, value), (other_key, other))| key.text() == other_key.text() && same(value, other))
        }
        _ => false,
    }
}
