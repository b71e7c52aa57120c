//! Changes one field of a document and nothing else: comments, key order, quoting and every other line stay byte for
//! byte. The document is read for the places of its nodes; what is written is cut into the text at those places.

use super::{Node, Style, Value, YamlError, read, verify::differs_only_in};

/// What a field becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// One value, as it is meant; quoted where it must be.
    Text(String),
    /// A number, boolean or anything else that is written without quotes.
    Plain(String),
    /// Whole lines at column 0: a list or a mapping.
    Block(String),
    /// Taken away.
    Absent,
}

/// Why a field cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text cannot be read.
    #[error("line {}: {}", .0.line, .0.message)]
    Unreadable(#[from] YamlError),
    /// The text is written in a way that cannot be edited in place.
    #[error("{path} cannot be edited in place: {why}")]
    Layout {
        /// The field.
        path: String,
        /// What stands in the way.
        why: &'static str,
    },
}

/// Sets the field `path` of the one document in `text`; missing mappings on the way are made.
pub fn set(text: &str, path: &[&str], field: &Field) -> Result<String, EditError> {
    let documents = read(text.as_bytes())?;
    let layout = |why| EditError::Layout {
        path: path.join("."),
        why,
    };
    let [root] = documents.as_slice() else {
        return Err(layout(NOT_ONE));
    };
    let (mark, text) = unmarked(text);
    let edited = set_below(text, root, path, field).map_err(layout)?;
    // Better no edit than a broken file, or one that says more than was meant.
    let again = read(edited.as_bytes())?;
    let is_absent = *field == Field::Absent && edited == text;
    if !is_absent && !matches!(again.as_slice(), [after] if differs_only_in(root, after, path, field)) {
        return Err(layout(SAYS_MORE));
    }
    Ok(format!("{mark}{edited}"))
}

pub(super) const NOT_ONE: &str = "the text does not hold exactly one document";
pub(super) const SAYS_MORE: &str = "it would change other fields too; write out what shares an anchor with it";

/// Byte order marks are not part of what the reader counts.
pub(super) fn unmarked(text: &str) -> (&'static str, &str) {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", text),
    }
}

/// `text` with the field `path` below the mapping `root` set.
pub(super) fn set_below(text: &str, root: &Node, path: &[&str], field: &Field) -> Result<String, &'static str> {
    let mut parent = root;
    for (depth, key) in path.iter().enumerate() {
        let rest = &path[depth + 1..];
        if !matches!(parent.value, Value::Mapping(_)) {
            return Err("a field on the way is no mapping");
        }
        match parent.entries().iter().find(|(name, _)| name.text() == Some(key)) {
            None => return insert(text, parent, &path[depth..], field),
            Some((_, value)) if !rest.is_empty() && !value.is_null() => parent = value,
            Some((name, value)) => return replace(text, parent, name, value, rest, field),
        }
    }
    Err("no field is named")
}

/// A value as YAML: bare where that means the same text, else in double quotes.
pub fn quoted(text: &str) -> String {
    let same = |node: &Node| node.as_str() == Some(text) && matches!(node.value, Value::Scalar(_, Style::Plain));
    let reads_the_same = || {
        read(format!("k: {text}").as_bytes()).is_ok_and(|documents| {
            documents.len() == 1 && documents[0].entries().len() == 1 && documents[0].get("k").is_some_and(same)
        })
    };
    // At the beginning of a line these part documents.
    let parts = ["---", "..."].iter().any(|mark| text.starts_with(mark));
    let plain = || !parts && !text.contains(['\n', '#', ',', '[', ']', '{', '}', ':', '"', '\'']);
    let bare = is_word(text) || plain() && reads_the_same();
    if bare { text.to_string() } else { json(text) }
}

/// True for most keys, names and hosts, which then need not be read to be sure: a letter first, nothing that YAML knows
/// as a mark, and no word that it takes for something else than a text.
fn is_word(text: &str) -> bool {
    const OTHERS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/');
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(inner)
        && !OTHERS.iter().any(|other| text.eq_ignore_ascii_case(other))
}

pub(super) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(super) fn is_flow(text: &str, node: &Node) -> bool {
    text[node.span.start..].starts_with(['{', '['])
}

/// Byte behind the last character that belongs to a node, without the blank lines and comments that follow it.
pub(super) fn last_byte(text: &str, node: &Node) -> usize {
    let end = match &node.value {
        Value::Scalar(..) => node.span.end,
        _ if is_flow(text, node) => node.span.end,
        Value::Sequence(items) => items.last().map_or(node.span.end, |item| last_byte(text, item)),
        Value::Mapping(entries) => entries.last().map_or(node.span.end, |(key, value)| {
            last_byte(text, value).max(if value.is_null() { behind_colon(text, key) } else { 0 })
        }),
    };
    let end = end.min(text.len());
    node.span.start.min(end) + text[node.span.start.min(end)..end].trim_end().len()
}

fn behind_colon(text: &str, key: &Node) -> usize {
    let rest = &text[key.span.end..];
    key.span.end + rest.find(':').map_or(0, |at| at + 1)
}

pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

pub(super) fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline)
}

pub(super) fn splice(text: &str, start: usize, end: usize, with: &str) -> String {
    [&text[..start], with, &text[end..]].concat()
}

fn indented(lines: &str, column: usize) -> String {
    let pad = " ".repeat(column);
    let lines = lines.trim_end_matches('\n').lines();
    let lines: Vec<String> = lines
        .map(|line| {
            if line.is_empty() {
                String::new()
            } else {
                format!("{pad}{line}")
            }
        })
        .collect();
    lines.join("\n")
}

/// `key: value` for a chain of keys, at `column`.
fn rendered(keys: &[&str], field: &Field, column: usize) -> String {
    let Some((key, rest)) = keys.split_first() else {
        return String::new();
    };
    let pad = " ".repeat(column);
    if !rest.is_empty() {
        return format!("{pad}{}:\n{}", quoted(key), rendered(rest, field, column + 2));
    }
    match field {
        Field::Text(value) => format!("{pad}{}: {}", quoted(key), quoted(value)),
        Field::Plain(value) => format!("{pad}{}: {value}", quoted(key)),
        Field::Block(lines) => format!("{pad}{}:\n{}", quoted(key), indented(lines, column)),
        Field::Absent => String::new(),
    }
}

/// The same for a mapping in braces.
fn rendered_flow(keys: &[&str], field: &Field) -> Result<String, &'static str> {
    let Some((key, rest)) = keys.split_first() else {
        return Ok(String::new());
    };
    let value = match field {
        _ if !rest.is_empty() => format!("{{{}}}", rendered_flow(rest, field)?),
        Field::Text(value) => json(value),
        Field::Plain(value) => value.clone(),
        _ => return Err("it stands in braces, where a list of lines does not fit; write the mapping out in lines"),
    };
    Ok(format!("{}: {value}", json(key)))
}

fn insert(text: &str, parent: &Node, keys: &[&str], field: &Field) -> Result<String, &'static str> {
    if *field == Field::Absent {
        return Ok(text.to_string());
    }
    if is_flow(text, parent) {
        let new = rendered_flow(keys, field)?;
        return Ok(match parent.entries().last() {
            None => splice(text, parent.span.start + 1, parent.span.start + 1, &new),
            Some((key, value)) => {
                let at = last_byte(text, value);
                let start = line_start(text, key.span.start);
                let pad = &text[start..key.span.start];
                // One field a line stays one field a line.
                let own_line = !pad.is_empty() && pad.trim().is_empty();
                let between = if own_line { format!(",\n{pad}") } else { ", ".into() };
                splice(text, at, at, &format!("{between}{new}"))
            }
        });
    }
    let (first, last) = match parent.entries() {
        [] => return Err("the mapping is empty"),
        entries => (&entries[0].0, &entries[entries.len() - 1]),
    };
    let (key, value) = last;
    let column = first.span.column as usize - 1;
    let behind = last_byte(text, value).max(if value.is_null() { behind_colon(text, key) } else { 0 });
    let at = line_end(text, behind);
    Ok(splice(text, at, at, &format!("\n{}", rendered(keys, field, column))))
}

fn replace(
    text: &str,
    parent: &Node,
    key: &Node,
    value: &Node,
    rest: &[&str],
    field: &Field,
) -> Result<String, &'static str> {
    let flow = is_flow(text, parent);
    let column = key.span.column as usize - 1;
    let end = last_byte(text, value).max(behind_colon(text, key));
    if *field == Field::Absent {
        return if flow {
            Err("a field in braces cannot be taken away; write the mapping out in lines")
        } else {
            take_away(text, parent, key, end)
        };
    }
    let simple = match field {
        Field::Text(new) if flow => Some(json(new)),
        Field::Text(new) => Some(quoted(new)),
        Field::Plain(new) => Some(new.clone()),
        _ => None,
    };
    let block = matches!(&value.value, Value::Scalar(_, Style::Block));
    match (&value.value, simple) {
        (Value::Scalar(..), Some(new)) if rest.is_empty() && !block && !value.is_null() => {
            Ok(splice(text, value.span.start, value.span.end, &new))
        }
        (_, Some(new)) if rest.is_empty() => Ok(splice(text, behind_colon(text, key), end, &format!(" {new}"))),
        _ if flow => Err("it stands in braces; write the mapping out in lines"),
        // The first item's own column is kept, and a comment behind the key with it.
        (Value::Sequence(_) | Value::Mapping(_), None) if rest.is_empty() && !is_flow(text, value) => {
            let Field::Block(lines) = field else {
                return Err("it is no list of lines");
            };
            let start = line_start(text, value.span.start);
            let column = text[start..].len() - text[start..].trim_start_matches(' ').len();
            Ok(splice(text, start, end, &indented(lines, column)))
        }
        _ => {
            let mut keys = vec![key.text().unwrap_or_default()];
            keys.extend(rest);
            Ok(splice(
                text,
                line_start(text, key.span.start),
                end,
                &rendered(&keys, field, column),
            ))
        }
    }
}

fn take_away(text: &str, parent: &Node, key: &Node, end: usize) -> Result<String, &'static str> {
    if parent.entries().len() == 1 {
        return Err("it is the only field of its mapping");
    }
    let start = line_start(text, key.span.start);
    if !text[start..key.span.start].trim().is_empty() {
        // The first field of a list item shares its line with the dash: the next field moves up to it.
        let next = parent.entries().get(1).ok_or("it is the only field of its mapping")?;
        return Ok(splice(text, key.span.start, next.0.span.start, ""));
    }
    let end = (line_end(text, end) + 1).min(text.len());
    Ok(splice(text, start, end, ""))
}

/// The text inside a block or quoted scalar, changed by `change` and put back in its place.
pub fn inside(
    text: &str,
    path: &[&str],
    change: impl FnOnce(&str) -> Result<String, EditError>,
) -> Result<String, EditError> {
    let layout = |why| EditError::Layout {
        path: path.join("."),
        why,
    };
    let documents = read(text.as_bytes())?;
    let [root] = documents.as_slice() else {
        return Err(layout("the text does not hold exactly one document"));
    };
    let node = path
        .iter()
        .try_fold(root, |node, key| node.get(key))
        .ok_or(layout("it is not there"))?;
    let Value::Scalar(inner, style) = &node.value else {
        return Err(layout("it is no text"));
    };
    let edited = change(inner)?;
    if *style != Style::Block {
        return set(text, path, &Field::Text(edited));
    }
    let column = node.span.column as usize - 1;
    let start = line_start(text, node.span.start);
    let end = last_byte(text, node);
    // Only a text that comes out of its indentation and back unchanged can be edited without touching other lines.
    let kept = inner.trim_end_matches('\n');
    if indented(kept, column) != text[start..end] {
        return Err(layout("its lines are folded or unevenly indented"));
    }
    Ok(splice(
        text,
        start,
        end,
        &indented(edited.trim_end_matches('\n'), column),
    ))
}

#[cfg(test)]
mod tests;
