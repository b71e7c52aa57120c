//! A value as YAML, as a person would write it: block style, literal blocks for texts of several lines. And the way back.

use serde_json::{Map, Number, Value as Json};

use super::{Node, Style, Value, quoted};

/// The document that says `value`. Reading it gives the same value again.
pub fn write(value: &Json) -> String {
    let mut text = String::new();
    match value {
        Json::Object(entries) if !entries.is_empty() => mapping(&mut text, entries, 0, ""),
        Json::Array(items) if !items.is_empty() => sequence(&mut text, items, 0),
        other => {
            scalar(&mut text, other, 0);
            text.push('\n');
        }
    }
    text
}

/// A key that is longer is written behind a question mark: readers look no further for the colon (YAML 1.2, 7.4.2).
const MAX_KEY: usize = 1024;

/// `first` stands where the indentation of the first line would.
fn mapping(text: &mut String, entries: &Map<String, Json>, indent: usize, first: &str) {
    for (index, (key, value)) in entries.iter().enumerate() {
        match index {
            0 if !first.is_empty() => text.push_str(first),
            _ => pad(text, indent),
        }
        // Bare, it would be a merge key.
        let key = if key == "<<" { format!("{key:?}") } else { quoted(key) };
        if key.chars().count() > MAX_KEY {
            text.push_str("? ");
            text.push_str(&key);
            text.push('\n');
            pad(text, indent);
        } else {
            text.push_str(&key);
        }
        text.push(':');
        match value {
            Json::Object(entries) if !entries.is_empty() => {
                text.push('\n');
                mapping(text, entries, indent + 2, "");
            }
            Json::Array(items) if !items.is_empty() => {
                text.push('\n');
                sequence(text, items, indent);
            }
            other => {
                text.push(' ');
                scalar(text, other, indent + 2);
                text.push('\n');
            }
        }
    }
}

fn sequence(text: &mut String, items: &[Json], indent: usize) {
    for item in items {
        match item {
            Json::Object(entries) if !entries.is_empty() => {
                let first = format!("{:indent$}- ", "");
                mapping(text, entries, indent + 2, &first);
            }
            Json::Array(inner) if !inner.is_empty() => {
                pad(text, indent);
                text.push_str("-\n");
                sequence(text, inner, indent + 2);
            }
            other => {
                pad(text, indent);
                text.push_str("- ");
                scalar(text, other, indent + 2);
                text.push('\n');
            }
        }
    }
}

/// Anything that stands behind its key; without the newline at its end.
fn scalar(text: &mut String, value: &Json, indent: usize) {
    match value {
        Json::String(string) if is_literal(string) => literal(text, string, indent),
        Json::String(string) => text.push_str(&quoted(string)),
        // An empty list or mapping, a number, a boolean, null: JSON is YAML.
        other => text.push_str(&other.to_string()),
    }
}

/// A literal block takes printable text whose first line begins with a visible character.
fn is_literal(string: &str) -> bool {
    let printable = |letter: char| !letter.is_control() || letter == '\n' || letter == '\t';
    // Readers differ on what else ends a line.
    let plain = |letter: char| printable(letter) && !matches!(letter, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    string.contains('\n') && !string.starts_with(char::is_whitespace) && string.chars().all(plain)
}

fn literal(text: &mut String, string: &str, indent: usize) {
    let body = string.trim_end_matches('\n');
    text.push_str(match string.len() - body.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in body.split('\n') {
        text.push('\n');
        if !line.is_empty() {
            pad(text, indent.max(2));
            text.push_str(line);
        }
    }
    // The last newline is the caller's.
    text.extend(std::iter::repeat_n('\n', (string.len() - body.len()).saturating_sub(1)));
}

fn pad(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

impl Node {
    /// The value that this node says, by YAML's core schema.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Mapping(entries) => entries
                .iter()
                .map(|(key, value)| (key.text().unwrap_or_default().to_string(), value.to_json()))
                .collect::<Map<_, _>>()
                .into(),
            Value::Sequence(items) => items.iter().map(Node::to_json).collect(),
            Value::Scalar(text, Style::Plain) => {
                if self.is_null() {
                    return Json::Null;
                }
                if let Some(boolean) = self.as_bool() {
                    return boolean.into();
                }
                number(text).unwrap_or_else(|| Json::from(&**text))
            }
            Value::Scalar(text, _) => Json::from(&**text),
        }
    }
}

fn number(text: &str) -> Option<Json> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    let numeric = text.starts_with(|letter: char| letter.is_ascii_digit() || "+-.".contains(letter));
    let value = text.parse::<f64>().ok().filter(|_| numeric)?;
    Number::from_f64(value).map(Json::Number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::yaml::read;

    fn back(text: &str) -> Json {
        let documents = read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(documents.len(), 1, "{text}");
        documents[0].to_json()
    }

    #[test]
    fn an_object_is_written_as_a_person_would() {
        let value = json!({
            "kind": "ConfigMap",
            "data": {"mesh": "a: 1\n\n  # why\nb: 2\n", "empty": "", "number": "1"},
            "spec": {"hosts": ["a.com", "*.b.com"], "ports": [{"number": 80, "name": "http"}], "exportTo": []},
        });
        let text = "data:\n  empty: \"\"\n  mesh: |\n    a: 1\n\n      # why\n    b: 2\n  number: \"1\"\nkind: ConfigMap\n\
                    spec:\n  exportTo: []\n  hosts:\n  - a.com\n  - \"*.b.com\"\n  ports:\n  - name: http\n    number: 80\n";
        assert_eq!(write(&value), text);
        assert_eq!(back(text), value);
    }

    fn value() -> impl Strategy<Value = Json> {
        let text = prop_oneof![
            "[ -~\n\t]{0,20}",
            "\\PC{0,8}",
            Just("yes".to_string()),
            Just("1e3".to_string()),
            Just("a\n".to_string()),
            Just("a\n\n".to_string()),
            Just("- a\nb: |\n  c".to_string()),
            Just("a \n b".to_string()),
        ];
        let leaf = prop_oneof![
            text.prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<bool>().prop_map(Json::from),
            Just(Json::Null),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map("[ -~]{1,6}", inner, 0..4)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn a_key_of_any_length_can_be_read_again() {
        for key in ["k".repeat(1024), "k".repeat(1025), "\u{8}".repeat(300)] {
            let value = json!([{ key.clone(): {"a": 1} }, { "outer": { key.clone(): [1] } }, { key: "v" }]);
            assert_eq!(back(&write(&value)), value);
        }
    }

    #[test]
    fn what_parts_documents_can_be_a_key_and_a_text() {
        for mark in ["---", "...", "--- a", "... a", "----"] {
            for value in [json!(mark), json!([mark]), json!({ mark: mark })] {
                assert_eq!(back(&write(&value)), value);
            }
        }
    }

    proptest! {
        #[test]
        fn a_word_is_written_bare_and_read_as_that_word(word in "[a-zA-Z][a-zA-Z0-9._/-]{0,9}") {
            let text = write(&json!({ word.clone(): word.clone() }));
            prop_assert_eq!(back(&text), json!({ word.clone(): word }), "{}", text);
        }

        #[test]
        fn what_is_written_reads_as_the_same_value(value in value()) {
            // A document that says nothing is none.
            let value = json!({ "v": value });
            let text = write(&value);
            prop_assert_eq!(back(&text), value, "{}", text);
        }
    }
}
