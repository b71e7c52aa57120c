//! What the API server has against an object, one cause a field. Validation says the fields (`details.causes`), server-side
//! apply's own check of types says them in its text, and so does strict decoding. Admission says what it likes: there the
//! values and fields that its text names are looked for in the object.

use kube::core::Status;
use serde_json::Value;

use crate::fault::Cause;

/// How server-side apply begins where a field is unknown, stands twice, or has a value of another type. Its code is 500.
const TYPED: &str = "failed to create typed patch object (";
/// How the answer to a write that is no apply names fields that are unknown or stand twice.
const STRICT: &str = "strict decoding error: ";
/// How the answer of a webhook goes on behind its name.
const DENIED: &str = " denied the request: ";
/// How Istio's own webhook begins what it has to say.
const ISTIO: &str = "configuration is invalid: ";
/// What stands where a rule is about the object as a whole.
const NO_FIELD: &str = "<nil>";
const CONFLICT: u16 = 409;

/// Everything that `status` has against `object`. Empty where the object is not what is refused: another hand changed it,
/// a right is missing, or the server failed.
pub(super) fn causes(status: &Status, object: &Value) -> Vec<Cause> {
    let message = status.message.as_str();
    if status.code == CONFLICT {
        return Vec::new();
    }
    if let Some((_, said)) = message.split_once(TYPED) {
        return typed(said, object);
    }
    if let Some((_, said)) = message.split_once(STRICT) {
        return said.split(", ").map(strict).collect();
    }
    if let Some((who, said)) = message.split_once(DENIED) {
        let who = who.strip_prefix("admission webhook ").unwrap_or(who).trim_matches('"');
        let said = said.strip_prefix(ISTIO).unwrap_or(said);
        let errors = errors(said).into_iter();
        return errors
            .map(|error| named(format!("{who}: {error}"), error, object))
            .collect();
    }
    let details = status.details.as_ref();
    if status.code == 404 && details.is_some_and(|details| details.kind == "namespaces") {
        return vec![cause("metadata.namespace", message)];
    }
    let told = details.map(|details| details.causes.as_slice()).unwrap_or_default();
    let (at_fields, of_all): (Vec<_>, Vec<_>) = told
        .iter()
        .partition(|told| !told.field.is_empty() && told.field != NO_FIELD);
    if !at_fields.is_empty() {
        // What else is told then is that some rules were not looked at.
        return at_fields.iter().map(|told| cause(&told.field, &told.message)).collect();
    }
    match (of_all.as_slice(), status.code) {
        ([], 400 | 422) => vec![named(message.to_string(), message, object)],
        ([], _) => Vec::new(),
        (of_all, _) => of_all
            .iter()
            .map(|told| named(told.message.clone(), &told.message, object))
            .collect(),
    }
}

fn cause(field: &str, message: &str) -> Cause {
    Cause {
        file: String::new(),
        field: field.to_string(),
        message: message.to_string(),
    }
}

/// `default/a; networking.istio.io/v1, Kind=ServiceEntry): .spec.ports[name="a"].bogus: field not declared in schema`, or
/// several, a line each (structured-merge-diff's `ValidationErrors`).
fn typed(said: &str, object: &Value) -> Vec<Cause> {
    let said = said.split_once("): ").map_or(said, |(_, said)| said);
    let lines = said.strip_prefix("errors:\n").unwrap_or(said).lines();
    let told = lines.map(|line| match line.trim_start().split_once(": ") {
        Some((path, message)) if path.starts_with('.') => cause(&indexed(path, object), message),
        _ => cause("", line.trim()),
    });
    told.collect()
}

/// `unknown field "spec.hostss"`.
fn strict(said: &str) -> Cause {
    match said.split_once('"') {
        Some((what, field)) => cause(field.trim_end_matches('"'), what.trim_end()),
        None => cause("", said),
    }
}

/// `path` with the indices of items that it names by their keys.
fn indexed(path: &str, object: &Value) -> String {
    let (mut at, mut written) = (object, String::new());
    let mut rest = path.trim_start_matches('.');
    while !rest.is_empty() {
        let step;
        if let Some((keys, behind)) = rest.strip_prefix('[').and_then(|keys| keys.split_once(']')) {
            let items = at.as_array().map(Vec::as_slice).unwrap_or_default();
            let index = keys
                .parse()
                .ok()
                .or_else(|| items.iter().position(|item| has(item, keys)));
            let Some(index) = index else { break };
            (step, rest) = (format!("[{index}]"), behind);
            at = &at[index];
        } else {
            let name = rest.trim_start_matches('.');
            let (name, behind) = name.split_at(name.find(['.', '[']).unwrap_or(name.len()));
            let dot = if written.is_empty() { "" } else { "." };
            (step, rest) = (format!("{dot}{name}"), behind);
            at = &at[name];
        }
        written.push_str(&step);
    }
    written
}

/// True for the item of a list whose keys are these: `name="a",number=80`.
fn has(item: &Value, keys: &str) -> bool {
    keys.split(',').all(|pair| {
        let Some((key, value)) = pair.split_once('=') else {
            return false;
        };
        let own = if key.is_empty() { item } else { &item[key] };
        serde_json::from_str::<Value>(value).is_ok_and(|value| value == *own)
    })
}

/// The errors in a text of hashicorp's multierror, which Istio uses; else the text.
fn errors(said: &str) -> Vec<&str> {
    match said.split_once(" occurred:\n") {
        Some((_, listed)) => listed
            .lines()
            .filter_map(|line| line.trim().strip_prefix("* "))
            .collect(),
        None => vec![said.trim()],
    }
}

/// A cause at the one field of `object` whose value, or else name, stands in the text; at the whole object where there is
/// none, or more than one.
fn named(message: String, said: &str, object: &Value) -> Cause {
    let mut fields = Vec::new();
    collect("spec", &object["spec"], &mut fields);
    let quoted: Vec<&str> = said.split('"').skip(1).step_by(2).collect();
    let trimmed = |word: &'_ str| -> String { word.trim_matches(|c: char| ",:;()\"'`".contains(c)).to_string() };
    let words: Vec<String> = said.split_whitespace().map(trimmed).collect();
    let has_value = |field: &Field<'_>, word: &str| field.value.as_deref() == Some(word);
    // Lower-case words of a sentence may be names of fields too: only what is no word of English counts.
    let is_name = |word: &str| word.chars().skip(1).any(char::is_uppercase) && word.starts_with(char::is_lowercase);
    let field = only(&fields, |field| quoted.iter().any(|word| has_value(field, word)))
        .or_else(|| only(&fields, |field| words.iter().any(|word| has_value(field, word))))
        .or_else(|| only(&fields, |field| quoted.contains(&field.name)))
        .or_else(|| {
            only(&fields, |field| {
                words.iter().any(|word| is_name(word) && word == field.name)
            })
        });
    cause(field.unwrap_or_default(), &message)
}

/// A field of an object.
struct Field<'v> {
    path: String,
    /// Empty for an item of a list.
    name: &'v str,
    /// Of a scalar.
    value: Option<String>,
}

/// `value` and everything in it.
fn collect<'v>(path: &str, value: &'v Value, fields: &mut Vec<Field<'v>>) {
    match value {
        Value::Object(inner) => {
            for (name, value) in inner {
                let path = format!("{path}.{name}");
                fields.push(field(path.clone(), name, value));
                collect(&path, value, fields);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                fields.push(field(path.clone(), "", value));
                collect(&path, value, fields);
            }
        }
        _ => {}
    }
}

fn field<'v>(path: String, name: &'v str, value: &Value) -> Field<'v> {
    let value = match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    Field { path, name, value }
}

/// The path of the one field that is meant.
fn only<'f>(fields: &'f [Field<'_>], is_meant: impl Fn(&Field<'_>) -> bool) -> Option<&'f str> {
    let mut meant = fields.iter().filter(|field| is_meant(field));
    let first = meant.next()?;
    meant.next().is_none().then_some(first.path.as_str())
}

#[cfg(test)]
mod tests;
