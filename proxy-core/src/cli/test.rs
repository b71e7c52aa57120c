//! `egret-proxy test`: policy test files, kept beside manifests and run by CI.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::request::{Connect, From, Send, ask};
use crate::{
    model,
    source::{Reading, read_folder},
    yaml::{self, Node},
};

/// Arguments of `test`.
#[derive(Debug, Args)]
pub struct Test {
    /// Policy test files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

/// One case of a file.
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
struct Outcome {
    file: String,
    name: String,
    passed: bool,
    /// Field, expected value, value found.
    differences: Vec<(String, Json, Json)>,
}

impl Test {
    /// 0 when all cases hold, 1 when some fail, 2 when a file cannot be read.
    pub fn run(self) -> ExitCode {
        let mut outcomes = Vec::new();
        for file in &self.files {
            match run_file(file) {
                Ok(found) => outcomes.extend(found),
                Err(error) => return super::fail(&format!("{}: {error}", file.display())),
            }
        }
        let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
        let passed = outcomes.len() - failed;
        if self.json {
            println!(
                "{}",
                serde_json::json!({"passed": passed, "failed": failed, "cases": outcomes})
            );
        } else {
            for outcome in outcomes.iter().filter(|outcome| !outcome.passed) {
                super::print(&format!("FAILED {}: {}", outcome.file, outcome.name));
                for (field, expected, found) in &outcome.differences {
                    super::print(&format!("  {field}: expected {expected}, found {found}"));
                }
            }
            super::print(&format!("{passed} passed, {failed} failed"));
        }
        ExitCode::from(u8::from(failed > 0))
    }
}

fn run_file(path: &Path) -> Result<Vec<Outcome>, String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let documents = yaml::read(&bytes).map_err(|error| format!("{}:{}: {error}", error.line, error.column))?;
    let [document] = documents.as_slice() else {
        return Err("expected one document with policy and cases".into());
    };
    let reading = policy(path, document)?;
    if let Some(error) = reading.errors.first() {
        return Err(error.to_string());
    }
    let cases = document.get("cases").map(Node::items).unwrap_or_default();
    if cases.is_empty() {
        return Err("expected cases".into());
    }
    cases
        .iter()
        .map(|node| {
            let place = format!("line {}", node.span.line);
            let case: Case = serde_json::from_value(node.to_json()).map_err(|error| format!("{place}: {error}"))?;
            let explanation =
                ask(&reading, &case.from, case.connect, &case.send).map_err(|error| format!("{place}: {error}"))?;
            let found = serde_json::to_value(explanation).map_err(|error| error.to_string())?;
            let mut differences = Vec::new();
            compare("", &case.expect, &found, &mut differences);
            Ok(Outcome {
                file: path.display().to_string(),
                name: case.name,
                passed: differences.is_empty(),
                differences,
            })
        })
        .collect()
}

/// The policy of a test file: a folder beside it, or objects in it.
fn policy(path: &Path, document: &Node) -> Result<Reading, String> {
    if let Some(folder) = document.get("policy") {
        let folder = folder.as_str().ok_or("policy: expected a folder")?;
        let folder = path.parent().unwrap_or(Path::new(".")).join(folder);
        return read_folder(&folder).map_err(|error| error.to_string());
    }
    let resources = document
        .get("resources")
        .ok_or("expected policy (a folder) or resources (objects)")?;
    let (mut reading, mut order, mut errors) = (Reading::default(), 0, Vec::new());
    let file: Arc<str> = path.display().to_string().into();
    for object in resources.items() {
        model::add_document(object, &file, &mut order, &mut reading.world, &mut errors);
    }
    reading.objects = order;
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
        (Json::Array(expected), Json::Array(found)) if expected.len() == found.len() => {
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(&format!("{path}[{index}]"), expected, found, differences);
            }
        }
        _ if expected == found => {}
        _ => differences.push((path.to_string(), expected.clone(), found.clone())),
    }
}
