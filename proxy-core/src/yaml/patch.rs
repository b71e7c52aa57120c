//! A step of a JSON Patch (RFC 6902) made in the text of a document, byte for byte but for what it means: the fixes of
//! findings.

use serde_json::Value as Json;

use super::{
    EditError, Field, Node, Style, Value,
    edit::{NOT_ONE, SAYS_MORE, is_flow, json, last_byte, line_end, line_start, quoted, set_below, splice, unmarked},
    read, write,
};

/// What becomes of the place that a JSON pointer names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The field, or the text in a list, becomes this (`add` and `replace`).
    Put(Json),
    /// It is taken away (`remove`).
    Remove,
}

/// Makes `change` at `pointer` in the one document of `text`.
pub fn patch(text: &str, pointer: &str, change: &Change) -> Result<String, EditError> {
    let keys: Vec<String> = pointer
        .split('/')
        .skip(1)
        .map(|key| key.replace("~1", "/").replace("~0", "~"))
        .collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let layout = |why| EditError::Layout {
        path: keys.join("."),
        why,
    };
    let documents = read(text.as_bytes())?;
    let [root] = documents.as_slice() else {
        return Err(layout(NOT_ONE));
    };
    let (mark, text) = unmarked(text);
    let edited = made(text, root, &keys, change).map_err(layout)?;
    let again = read(edited.as_bytes())?;
    let wanted = meant(root.to_json(), pointer, change).ok_or_else(|| layout("there is no such place"))?;
    if !matches!(again.as_slice(), [after] if after.to_json() == wanted) {
        return Err(layout(SAYS_MORE));
    }
    Ok(format!("{mark}{edited}"))
}

fn made(text: &str, root: &Node, keys: &[&str], change: &Change) -> Result<String, &'static str> {
    // The innermost item of a list on the way, with the list and the first key below it; and the innermost mapping.
    let (mut node, mut within, mut list, mut below) = (root, root, None, 0);
    let mut mapping = root;
    for (depth, key) in keys.iter().enumerate() {
        if let Value::Sequence(items) = &node.value {
            let index = key.parse().ok().filter(|index: &usize| *index < items.len());
            let index = index.ok_or("the list has no such item")?;
            (list, below) = (Some((node, index)), depth + 1);
            node = &items[index];
            within = node;
            continue;
        }
        if matches!(node.value, Value::Mapping(_)) {
            mapping = node;
        }
        match node.get(key) {
            Some(next) => node = next,
            None => break,
        }
    }
    match (&keys[below..], list) {
        ([], Some((list, index))) => item(text, list, index, change),
        (rest, _) => set_below(text, within, rest, &field(is_flow(text, mapping), change)),
    }
}

/// `flow` where it comes to stand in braces.
fn field(flow: bool, change: &Change) -> Field {
    match change {
        Change::Remove => Field::Absent,
        Change::Put(Json::String(value)) => Field::Text(value.clone()),
        Change::Put(value @ Json::Array(_)) if !flow => Field::Block(write(value)),
        // Unlike a list, a mapping stands further in than its key.
        Change::Put(value @ Json::Object(_)) if !flow => {
            Field::Block(write(value).lines().map(|line| format!("  {line}\n")).collect())
        }
        Change::Put(value) => Field::Plain(value.to_string()),
    }
}

fn item(text: &str, list: &Node, index: usize, change: &Change) -> Result<String, &'static str> {
    let items = list.items();
    let (own, flow) = (&items[index], is_flow(text, list));
    match change {
        Change::Put(Json::String(new)) => match &own.value {
            Value::Scalar(_, Style::Plain | Style::Quoted) => {
                let new = if flow { json(new) } else { quoted(new) };
                Ok(splice(text, own.span.start, own.span.end, &new))
            }
            _ => Err("what stands there is no plain text"),
        },
        Change::Put(_) => Err("only a text takes the place of an item"),
        Change::Remove if items.len() == 1 => Err("it is the only item of its list"),
        Change::Remove if flow => {
            let (start, end) = match items.get(index + 1) {
                Some(next) => (own.span.start, next.span.start),
                None => (last_byte(text, &items[index - 1]), last_byte(text, own)),
            };
            Ok(splice(text, start, end, ""))
        }
        Change::Remove => {
            let start = line_start(text, own.span.start);
            if text[start..own.span.start].trim() != "-" {
                return Err("its line says something else too; write it in lines of its own");
            }
            let end = (line_end(text, last_byte(text, own)) + 1).min(text.len());
            Ok(splice(text, start, end, ""))
        }
    }
}

/// The same change in the document's meaning: the independent check of what was written.
fn meant(mut document: Json, pointer: &str, change: &Change) -> Option<Json> {
    let (parent, key) = pointer.rsplit_once('/')?;
    let key = key.replace("~1", "/").replace("~0", "~");
    let parent = match document.pointer(parent) {
        // A mapping on the way that is written as nothing.
        None | Some(Json::Null) => return meant(document, parent, &Change::Put(inner(&key, change)?)),
        Some(_) => document.pointer_mut(parent)?,
    };
    match (parent, change) {
        (Json::Object(fields), Change::Put(value)) => drop(fields.insert(key, value.clone())),
        (Json::Object(fields), Change::Remove) => drop(fields.remove(&key)?),
        (Json::Array(items), Change::Put(value)) => *items.get_mut(key.parse::<usize>().ok()?)? = value.clone(),
        (Json::Array(items), Change::Remove) => {
            let index = key.parse().ok().filter(|index| *index < items.len())?;
            items.remove(index);
        }
        _ => return None,
    }
    Some(document)
}

fn inner(key: &str, change: &Change) -> Option<Json> {
    match change {
        Change::Put(value) => Some(serde_json::json!({ key: value })),
        Change::Remove => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# ours
spec:
  hosts: [A.com, 'b.com']   # two
  http:
  # first
  - name: a
    match:
    - uri: {prefix: /a}   # kept
    - uri: {prefix: /ab}
  - name: b

  - name: c
  rules:
  - port: {number: 80}
    tls:
      mode: SIMPLE
  policy:
  open: {}
";

    fn put(pointer: &str, value: serde_json::Value) -> String {
        patch(TEXT, pointer, &Change::Put(value)).unwrap()
    }

    fn removed(pointer: &str) -> String {
        patch(TEXT, pointer, &Change::Remove).unwrap()
    }

    #[test]
    fn a_text_in_a_list_is_replaced_and_all_else_stays() {
        assert_eq!(put("/spec/hosts/0", "a.com".into()), TEXT.replace("A.com", "\"a.com\""));
        assert_eq!(
            put("/spec/hosts/1", "c.com".into()),
            TEXT.replace("'b.com'", "\"c.com\"")
        );
    }

    #[test]
    fn an_item_is_taken_away_with_its_lines() {
        assert_eq!(removed("/spec/http/1"), TEXT.replace("  - name: b\n", ""));
        assert_eq!(
            removed("/spec/http/0/match/1"),
            TEXT.replace("    - uri: {prefix: /ab}\n", "")
        );
        assert_eq!(removed("/spec/hosts/0"), TEXT.replace("A.com, ", ""));
        assert_eq!(removed("/spec/hosts/1"), TEXT.replace(", 'b.com'", ""));
    }

    #[test]
    fn a_field_is_added_below_an_item_or_where_nothing_is_written() {
        let system = put("/spec/rules/0/tls/caCertificates", "system".into());
        assert_eq!(
            system,
            TEXT.replace(
                "      mode: SIMPLE\n",
                "      mode: SIMPLE\n      caCertificates: system\n"
            )
        );
        let mode = serde_json::json!({"mode": "REGISTRY_ONLY"});
        assert_eq!(
            put("/spec/policy", mode.clone()),
            TEXT.replace("  policy:\n", "  policy:\n    mode: REGISTRY_ONLY\n")
        );
        assert_eq!(
            put("/spec/policy/mode", "REGISTRY_ONLY".into()),
            put("/spec/policy", mode)
        );
        assert_eq!(
            put("/spec/open/mode", "x".into()),
            TEXT.replace("{}", "{\"mode\": \"x\"}")
        );
    }

    #[test]
    fn what_cannot_be_said_in_place_is_left_and_said() {
        for (pointer, why) in [
            ("/spec/rules/0", "the only item"),
            ("/spec/http/9", "no such item"),
            ("/spec/gone/0", "no such place"),
        ] {
            let error = patch(TEXT, pointer, &Change::Remove).unwrap_err().to_string();
            assert!(error.contains(why), "{pointer}: {error}");
        }
        let shared = "a: &x\n- 1\n- 2\nb: *x\n";
        assert!(patch(shared, "/a/0", &Change::Remove).is_err());
    }
}
