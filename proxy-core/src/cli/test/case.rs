//! The cases of a policy test file, and what came of each.

use std::{path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    cli::{
        explain::steps,
        request::{Connect, From, Send, ask},
    },
    model::{self, IstioVersion, UnknownVersion},
    policy::Step,
    source::{Reading, read_folder},
    yaml::{self, Node, Value},
};

/// One case as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    from: From,
    connect: Connect,
    #[serde(default)]
    send: Send,
    expect: Json,
}

/// What came of a case.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The file.
    pub file: String,
    /// Where the case begins in it.
    pub line: u32,
    /// Its name.
    pub name: String,
    /// It came out as expected.
    pub passed: bool,
    /// Field, expected value, value found.
    pub differences: Vec<(String, Json, Json)>,
    /// How it was decided, where it did not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<Step>,
}

impl Outcome {
    /// What differs, and the steps that led there.
    pub fn failure(&self) -> String {
        let mut lines = vec![format!("FAILED {}:{}: {}", self.file, self.line, self.name)];
        for (field, expected, found) in &self.differences {
            lines.push(format!("  {field}"));
            lines.push(format!("    - expected {expected}"));
            lines.push(format!("    + found    {found}"));
        }
        lines.push("  because".into());
        lines.extend(steps(&self.trace).map(|step| format!("  {step}")));
        lines.join("\n")
    }
}

/// What a test file says. What is misspelt would be passed over, and the cases decided otherwise than they read.
const FIELDS: [&str; 4] = ["policy", "resources", "istioVersion", "cases"];

/// Runs the cases of a file; the error says why that is not possible.
pub fn run_file(path: &Path, version: Option<IstioVersion>) -> Result<Vec<Outcome>, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let documents = yaml::read(&bytes).map_err(|error| format!("line {}:{}: {error}", error.line, error.column))?;
    let [document] = documents.as_slice() else {
        return Err("expected one document with policy and cases".into());
    };
    if let Some(unknown) = document
        .entries()
        .iter()
        .filter_map(|(key, _)| key.text())
        .find(|key| !FIELDS.contains(key))
    {
        return Err(format!("a test file has no {unknown:?}; it has {}", FIELDS.join(", ")));
    }
    let mut reading = policy(path, document)?;
    let own = document.get("istioVersion").and_then(Node::text);
    let own: Option<Result<IstioVersion, UnknownVersion>> = own.map(str::parse);
    let own = own.transpose().map_err(|error| format!("istioVersion: {error}"))?;
    reading.world.version = version.or(own);
    if let Some(error) = reading.errors.first() {
        return Err(error.to_string());
    }
    let cases = document.get("cases").map(Node::items).unwrap_or_default();
    if cases.is_empty() {
        return Err("expected cases".into());
    }
    let file = path.display().to_string();
    cases
        .iter()
        .map(|node| run_case(&file, &reading, node).map_err(|error| format!("line {}: {error}", node.span.line)))
        .collect()
}

fn run_case(file: &str, reading: &Reading, node: &Node) -> Result<Outcome, String> {
    let case: Case = serde_json::from_value(node.to_json()).map_err(|error| error.to_string())?;
    let explanation = ask(reading, &case.from, case.connect, &case.send)?;
    let found = serde_json::to_value(&explanation).map_err(|error| error.to_string())?;
    if case.expect.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err("expect: expected fields of the decision, such as {verdict: registered}".into());
    }
    // What is not there equals null: a field that is misspelt would hold whatever is decided.
    if let (Json::Object(expected), Json::Object(found)) = (&case.expect, &found)
        && let Some(unknown) = expected.keys().find(|key| !found.contains_key(*key))
    {
        let known: Vec<_> = found.keys().map(String::as_str).collect();
        return Err(format!(
            "expect: a decision has no {unknown:?}; it has {}",
            known.join(", ")
        ));
    }
    let mut differences = Vec::new();
    compare("", &case.expect, &found, &mut differences);
    let passed = differences.is_empty();
    Ok(Outcome {
        file: file.to_string(),
        line: node.span.line,
        name: case.name,
        passed,
        differences,
        trace: if passed { Vec::new() } else { explanation.trace },
    })
}

/// The policy of a test file: a folder beside it, objects in it, or both.
fn policy(path: &Path, document: &Node) -> Result<Reading, String> {
    let (folder, resources) = (document.get("policy"), document.get("resources"));
    let mut reading = match folder {
        Some(folder) => {
            let folder = folder.as_str().ok_or("policy: expected a folder")?;
            let folder = path.parent().unwrap_or(Path::new(".")).join(folder);
            read_folder(&folder).map_err(|error| error.to_string())?
        }
        None if resources.is_some() => Reading::default(),
        None => return Err("expected policy (a folder) or resources (objects)".into()),
    };
    let mut errors = Vec::new();
    let file: Arc<str> = path.display().to_string().into();
    if resources.is_some_and(|resources| !matches!(resources.value, Value::Sequence(_))) {
        return Err("resources: expected a list of objects".into());
    }
    for object in resources.map(Node::items).unwrap_or_default() {
        model::add_document(object, &file, &mut reading.objects, &mut reading.world, &mut errors);
    }
    match errors.first() {
        Some(error) => Err(error.to_string()),
        None => Ok(reading),
    }
}

/// Every field of `expected` must be in `found`; objects are compared field by field, lists item by item.
fn compare(path: &str, expected: &Json, found: &Json, differences: &mut Vec<(String, Json, Json)>) {
    match (expected, found) {
        (Json::Object(expected), Json::Object(found)) => {
            for (key, value) in expected {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                compare(&path, value, found.get(key).unwrap_or(&Json::Null), differences);
            }
        }
        (Json::Array(expected), Json::Array(found)) => {
            if expected.len() != found.len() {
                differences.push((format!("{path} (items)"), expected.len().into(), found.len().into()));
            }
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(&format!("{path}[{index}]"), expected, found, differences);
            }
        }
        _ if expected == found => {}
        _ => differences.push((path.to_string(), expected.clone(), found.clone())),
    }
}
