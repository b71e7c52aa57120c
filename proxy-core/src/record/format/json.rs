//! Reads lines of a JSON format: each key of the format leads to what its operators say.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    operator::{Field, Piece, pieces},
    text::{Quotes, TextFormat},
    values::Values,
};

/// A JSON format, ready to read.
#[derive(Debug)]
pub struct JsonFormat {
    keys: Vec<String>,
    entries: Vec<(Vec<String>, Entry)>,
}

/// What a key holds.
#[derive(Debug)]
enum Entry {
    /// One value.
    One(Field),
    /// A text of several.
    Several(TextFormat),
}

impl JsonFormat {
    /// Makes a reader of a format's keys, or says why there can be none.
    pub fn compile(format: &Value) -> Result<Self, String> {
        let Value::Object(format) = format else {
            return Err("it is no JSON object".into());
        };
        let mut entries = Vec::new();
        add(format, &mut Vec::new(), &mut entries)?;
        Ok(Self {
            keys: format.keys().cloned().collect(),
            entries,
        })
    }

    /// What the format can say.
    pub fn fields(&self) -> Vec<Field> {
        let of = |(_, entry): &(Vec<String>, Entry)| match entry {
            Entry::One(field) => vec![*field],
            Entry::Several(format) => format.fields().to_vec(),
        };
        self.entries.iter().flat_map(of).collect()
    }

    /// The values of a line of this format; `None` for any other line. Envoy may leave keys out that have no value, but it
    /// adds none.
    pub fn read<'l>(&self, line: &'l Map<String, Value>) -> Option<Values<'l>> {
        if line.is_empty() || !line.keys().all(|key| self.keys.contains(key)) {
            return None;
        }
        let mut values = Values::default();
        for (path, entry) in &self.entries {
            let Some(value) = at(line, path) else { continue };
            match (entry, value) {
                (Entry::One(field), Value::String(text)) => values.put(*field, Cow::Borrowed(text)),
                (Entry::One(field), Value::Number(number)) => values.put(*field, Cow::Owned(number.to_string())),
                (Entry::Several(format), Value::String(text)) => {
                    let strict = format.read(text, Quotes::Strict);
                    values.extend(strict.or_else(|| format.read(text, Quotes::Lenient))?);
                }
                _ => {}
            }
        }
        Some(values)
    }
}

/// Adds the texts below `path` that hold operators.
fn add(
    format: &Map<String, Value>,
    path: &mut Vec<String>,
    entries: &mut Vec<(Vec<String>, Entry)>,
) -> Result<(), String> {
    for (key, value) in format {
        path.push(key.clone());
        match value {
            Value::Object(inner) => add(inner, path, entries)?,
            Value::String(text) => {
                let pieces = pieces(text)?;
                match pieces.as_slice() {
                    [Piece::Operator(Some(field))] => entries.push((path.clone(), Entry::One(*field))),
                    several if several.iter().any(|piece| matches!(piece, Piece::Operator(Some(_)))) => {
                        entries.push((path.clone(), Entry::Several(TextFormat::of(several)?)));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        path.pop();
    }
    Ok(())
}

fn at<'l>(line: &'l Map<String, Value>, path: &[String]) -> Option<&'l Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(line.get(first)?, |value, key| value.get(key))
}
