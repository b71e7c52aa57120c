//! Puts both sides before the same world and tells where they differ.

use std::{collections::HashSet, sync::Arc};

use proxy_core::{
    lint::{self, Level},
    model::{self, ModelError},
    policy::{Workload, compile},
    yaml,
};
use serde_json::{Value, json};

use crate::{
    oracle::{Oracle, Verdict},
    outcome::{differences, draws, of_engine, of_istio},
    world::World,
};

/// The rule of `check` that names what istiod ends over.
const FELLS_ISTIOD: &str = "EGR18";

/// One difference.
#[derive(Debug, Clone)]
pub struct Difference {
    /// What it is about.
    pub subject: Subject,
    /// Field that differs.
    pub field: String,
    /// Istio's value.
    pub istio: Value,
    /// The engine's.
    pub engine: Value,
}

impl Difference {
    /// The kind of difference that this is, as it is listed and counted: the field, and Istio's words where it refuses.
    pub fn kind(&self) -> String {
        match self.subject {
            Subject::Document(_) if self.istio == "yes" => format!("{}, rejected by the engine", self.field),
            Subject::Document(_) => {
                let why = self.istio.as_str().unwrap_or_default();
                format!("{}, rejected by Istio: {}", self.field, without_names(why))
            }
            Subject::Call(_) => self.field.clone(),
        }
    }
}

/// A message without what stands in quotes, the object's name in front, and numbers.
fn without_names(message: &str) -> String {
    let first = message
        .lines()
        .find(|line| !line.ends_with("occurred:"))
        .unwrap_or_default();
    let named = first
        .split(": ")
        .next()
        .is_some_and(|start| start.matches('/').count() == 2);
    let rest = if named {
        first.split_once(": ").map_or("", |(_, rest)| rest)
    } else {
        first
    };
    let outside = rest.split('"').step_by(2).collect::<Vec<_>>().join("..");
    outside
        .chars()
        .filter(|letter| !letter.is_ascii_digit())
        .take(90)
        .collect()
}

/// What a difference is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Whether this document is taken.
    Document(usize),
    /// What becomes of this call.
    Call(usize),
}

/// What came of comparing one world.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Documents and calls that both sides say the same about.
    pub agreed: usize,
    /// Calls without an answer: Envoy would not take what Istio made, or Istio makes another thing each time.
    pub undecided: usize,
    /// Differences, each document or call once for each field.
    pub differences: Vec<Difference>,
    /// Documents that Istio rejects.
    pub rejected: HashSet<usize>,
}

/// Compares both sides on `world`.
pub fn judge(oracle: &mut Oracle, world: &World) -> Result<Judgement, String> {
    let verdict = oracle.ask(world)?;
    if !verdict.error.is_empty() {
        return Err(format!("Istio makes no configuration of it: {}", verdict.error));
    }
    let mut judgement = Judgement::default();
    documents(world, &verdict, &mut judgement);
    if verdict.panic.is_empty() {
        calls(world, &verdict, &mut judgement);
    } else {
        fallen(world, &verdict.panic, &mut judgement);
    }
    Ok(judgement)
}

/// Istio's generator falls over `world`: nothing becomes of its calls, and `check` must say that istiod ends.
fn fallen(world: &World, panic: &str, judgement: &mut Judgement) {
    judgement.undecided += world.calls.len();
    let (policy, _) = read(world, |index| !judgement.rejected.contains(&index));
    let findings = lint::check(&policy);
    if findings.iter().any(|finding| finding.code == FELLS_ISTIOD) {
        judgement.agreed += 1;
    } else {
        judgement.differences.push(Difference {
            subject: Subject::Call(0),
            field: format!("Istio falls over it: {panic}"),
            istio: json!(panic),
            engine: json!("check does not say so"),
        });
    }
}

/// Compares which documents are taken.
fn documents(world: &World, verdict: &Verdict, judgement: &mut Judgement) {
    let (policy, errors) = read(world, |_| true);
    let mut refused: HashSet<(String, String, String)> = HashSet::new();
    let mut why: Vec<String> = Vec::new();
    for error in errors {
        why.push(error.to_string());
        refused.insert(error.object);
    }
    for finding in lint::check(&policy)
        .into_iter()
        .filter(|finding| finding.level == Level::Error)
    {
        why.push(format!("{}: {}", finding.field, finding.message));
        if let Some(object) = finding.object {
            refused.insert((object.kind, object.namespace, object.name));
        }
    }
    for (index, (document, review)) in world.documents.iter().zip(&verdict.documents).enumerate() {
        let taken_by_istio = review.rejected.is_empty();
        if !taken_by_istio {
            judgement.rejected.insert(index);
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let metadata = &document["metadata"];
        let object = (
            text(&document["kind"]),
            text(&metadata["namespace"]),
            text(&metadata["name"]),
        );
        if taken_by_istio != refused.contains(&object) {
            judgement.agreed += 1;
            continue;
        }
        judgement.differences.push(Difference {
            subject: Subject::Document(index),
            field: format!("{} taken", object.0),
            istio: json!(if taken_by_istio { "yes" } else { &review.rejected }),
            engine: json!(if taken_by_istio { why.join("; ") } else { "yes".into() }),
        });
    }
}

/// Compares what becomes of the calls, under what Istio takes.
fn calls(world: &World, verdict: &Verdict, judgement: &mut Judgement) {
    let (policy, errors) = read(world, |index| !judgement.rejected.contains(&index));
    if !errors.is_empty() {
        // Reported as a difference about the document.
        return;
    }
    let snapshot = compile(
        &policy,
        &Workload {
            namespace: world.namespace.as_str().into(),
            labels: world.labels.clone(),
            ..Workload::default()
        },
    );
    for (index, (call, answer)) in world.calls.iter().zip(&verdict.answers).enumerate() {
        if !answer.refused.is_empty() || answer.chance {
            judgement.undecided += 1;
            continue;
        }
        let found = differences(&of_istio(answer), &of_engine(&snapshot, call, draws(answer)));
        judgement.agreed += usize::from(found.is_empty());
        judgement
            .differences
            .extend(found.into_iter().map(|(field, istio, engine)| Difference {
                subject: Subject::Call(index),
                field: field.to_string(),
                istio,
                engine,
            }));
    }
}

/// The engine's reading of the mesh config and the documents that `wanted` admits.
pub fn read(world: &World, wanted: impl Fn(usize) -> bool) -> (model::World, Vec<ModelError>) {
    let mesh = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": world.mesh},
    });
    let documents = world.documents.iter().enumerate();
    let documents = documents
        .filter(|(index, _)| wanted(*index))
        .map(|(_, document)| document);
    let (mut policy, mut order, mut errors) = (model::World::default(), 0, Vec::new());
    let file = Arc::from("world");
    for document in std::iter::once(&mesh).chain(documents) {
        let text = document.to_string();
        for node in yaml::read(text.as_bytes()).expect("JSON is YAML") {
            model::add_document(&node, &file, &mut order, &mut policy, &mut errors);
        }
    }
    (policy, errors)
}
