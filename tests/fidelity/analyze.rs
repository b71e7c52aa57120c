//! Whether `check` says what `istioctl analyze` says: the same codes, at Istio's levels, about the same objects; in both
//! directions, about whatever Istio's validation takes. What that warns about is compared with the webhook itself: the
//! analyzer hands its objects over without their labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};

use proxy_core::lint::{self, Level};
use serde_json::Value;

use crate::{
    generate,
    judge::read,
    known::Known,
    oracle::{Message, Oracle},
    shrink::{may_go, remove},
    tally::{self, Tally},
    world::{World, pointers},
};

/// How many differences are shown shrunk, each of another kind.
const SHOWN: usize = 12;
/// What Istio rejects is compared with its validation.
const REJECTED: &str = "IST0106";
/// What validation warns about.
const WARNED: &str = "IST0133";
/// Codes that are a warning of validation for the webhook.
const WARNINGS: [&str; 3] = ["IST0130", "IST0131", WARNED];

/// Code, Istio's level, and kind, namespace and name of the object.
type Said = (String, String, String, String, String);

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// As it is listed and counted: the code, and who says it alone.
    pub kind: String,
    /// What is said, in which words.
    pub said: String,
}

/// What came of all worlds.
pub struct Report {
    worlds: u64,
    seed: u64,
    tally: Tally<Difference>,
    shown: Vec<(u64, World, Difference)>,
}

impl Report {
    /// Messages that one side says alone and that are not listed.
    pub fn differed(&self) -> usize {
        let differed = self.tally.differed.values();
        differed.map(|(_, differences)| differences.len()).sum()
    }
}

/// Asks both sides about `worlds` worlds of `seed`, and about each with one object changed.
pub fn run(program: &Path, worlds: u64, seed: u64) -> Result<Report, String> {
    let known = Known::read()?;
    let tally = tally::each(program, worlds, |oracle, number, tally| {
        let whole = generate::analyzed(seed, number);
        let changed = changed(seed, number, &whole);
        for (world, is_changed) in [(Some(whole), false), (changed, true)] {
            let Some(mut world) = world else { continue };
            respell(&mut world);
            let (agreed, differences) = compare(oracle, &world)?;
            tally.agreed += agreed;
            tally.add(number, is_changed, world, differences, |difference| {
                known.lists_kind(&difference.kind)
            });
        }
        Ok(())
    })?;
    let mut report = Report {
        worlds,
        seed,
        tally,
        shown: Vec::new(),
    };
    show(program, &mut report)?;
    Ok(report)
}

/// Writes protocols as the webhook knows them, see DIFFERENCES.md.
pub fn respell(world: &mut World) {
    for document in &mut world.documents {
        let ports = document.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
        let is_tcp = |protocol: &Value| protocol.as_str().is_some_and(|text| text.eq_ignore_ascii_case("tcp"));
        for port in ports.into_iter().flatten().filter(|port| is_tcp(&port["protocol"])) {
            port["protocol"] = "TCP".into();
        }
    }
}

/// `world` with one of its objects changed; those that nothing of Istio's validates stay as they are.
fn changed(seed: u64, number: u64, world: &World) -> Option<World> {
    let is_kubernetes = |document: &Value| {
        let kind = document["kind"].as_str().unwrap_or_default();
        matches!(kind, "Pod" | "Deployment" | "Namespace")
    };
    let documents = world.documents.iter().cloned();
    let (unvalidated, others): (Vec<_>, Vec<_>) = documents.partition(is_kubernetes);
    let others = World {
        documents: others,
        ..world.clone()
    };
    let mut changed = generate::broken(seed ^ 0xa7a1, number, &others)?;
    changed.documents.extend(unvalidated);
    Some(changed)
}

/// How many messages both sides have, and those that one has alone.
pub fn compare(oracle: &mut Oracle, world: &World) -> Result<(usize, Vec<Difference>), String> {
    let verdict = oracle.ask(world)?;
    if !verdict.error.is_empty() {
        return Err(verdict.error);
    }
    let taken = |index: usize| verdict.documents[index].rejected.is_empty();
    let (policy, errors) = read(world, taken);
    if !errors.is_empty() {
        // Reported as a difference about the document by the comparison of validation.
        return Ok((0, Vec::new()));
    }
    let engine: BTreeMap<Said, String> = lint::check(&policy)
        .into_iter()
        .filter(|finding| finding.code != REJECTED)
        .filter_map(|finding| {
            let level = match finding.istio_level? {
                Level::Error => "error",
                Level::Warning => "warning",
                Level::Info => "info",
            };
            let object = finding.object?;
            let said = (
                finding.code.into(),
                level.into(),
                object.kind,
                object.namespace,
                object.name,
            );
            Some((said, finding.message))
        })
        .collect();
    let said = |message: &Message| -> Said {
        let Message {
            code,
            level,
            kind,
            namespace,
            name,
            ..
        } = message;
        (
            code.clone(),
            level.clone(),
            kind.clone(),
            namespace.clone(),
            name.clone(),
        )
    };
    let always: BTreeMap<Said, &str> = verdict
        .analyzed
        .always
        .iter()
        .map(|message| (said(message), message.message.as_str()))
        .collect();
    let sometimes: BTreeSet<Said> = verdict.analyzed.sometimes.iter().map(said).collect();
    let mut differences = Vec::new();
    let mut differ = |who: &str, said: &Said, words: &str| {
        let (code, level, kind, namespace, name) = said;
        differences.push(Difference {
            kind: format!("analyze: {code} of {who} alone"),
            said: format!("{level} about {kind} {namespace}/{name}: {words}"),
        });
    };
    let missed = |said: &Said| said.0 != WARNED && !engine.contains_key(said);
    for (said, words) in always.iter().filter(|(said, _)| missed(said)) {
        differ("Istio", said, words);
    }
    let unsaid = |said: &Said| said.0 != WARNED && !always.contains_key(said) && !sometimes.contains(said);
    for (said, words) in engine.iter().filter(|(said, _)| unsaid(said)) {
        differ("the engine", said, words);
    }
    let mut agreed = engine.keys().filter(|said| always.contains_key(*said)).count();
    for (document, review) in world.documents.iter().zip(&verdict.documents) {
        let text = |pointer| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let object = (text("/kind"), text("/metadata/namespace"), text("/metadata/name"));
        // Where codes are suppressed the webhook warns all the same.
        if !review.rejected.is_empty() || document.pointer("/metadata/annotations").is_some() {
            continue;
        }
        let own = engine.iter().find(|((code, _, kind, namespace, name), _)| {
            WARNINGS.contains(&code.as_str()) && object == (kind, namespace, name)
        });
        match (review.warning.is_empty(), own) {
            (false, None) => differences.push(Difference {
                kind: "warning of Istio's validation alone".into(),
                said: format!("{object:?}: {}", review.warning),
            }),
            (true, Some((_, words))) => differences.push(Difference {
                kind: "warning of the engine alone".into(),
                said: format!("{object:?}: {words}"),
            }),
            _ => agreed += 1,
        }
    }
    Ok((agreed, differences))
}

/// Shrinks the first difference of each kind.
fn show(program: &Path, report: &mut Report) -> Result<(), String> {
    let mut oracle = Oracle::start(program)?;
    let mut kinds = BTreeSet::new();
    for ((number, _), (world, differences)) in &report.tally.differed {
        for difference in differences {
            if kinds.len() < SHOWN && kinds.insert(difference.kind.clone()) {
                let world = shrink(&mut oracle, world, &difference.kind);
                report.shown.push((*number, world, difference.clone()));
            }
        }
    }
    Ok(())
}

/// The smallest world found that shows a difference of `kind`.
fn shrink(oracle: &mut Oracle, world: &World, kind: &str) -> World {
    let mut world = world.clone();
    let mut shows = |candidate: &World| {
        compare(oracle, candidate).is_ok_and(|(_, found)| found.iter().any(|difference| difference.kind == kind))
    };
    while let Some(smaller) = smaller(&world).into_iter().find(|candidate| shows(candidate)) {
        world = smaller;
    }
    world
}

/// Every world that lacks one object or one field.
fn smaller(world: &World) -> Vec<World> {
    let mut all = Vec::new();
    for index in 0..world.documents.len() {
        let mut candidate = world.clone();
        candidate.documents.remove(index);
        all.push(candidate);
    }
    for (index, document) in world.documents.iter().enumerate() {
        let mut paths = Vec::new();
        pointers("", document, &mut paths);
        for path in paths.into_iter().filter(|path| may_go(path)) {
            let mut candidate = world.clone();
            remove(&mut candidate.documents[index], &path);
            all.push(candidate);
        }
    }
    all
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for difference in self.tally.differed.values().flat_map(|(_, differences)| differences) {
            *kinds.entry(&difference.kind).or_default() += 1;
        }
        for (number, world, difference) in &self.shown {
            writeln!(
                f,
                "world {number}: {}\n  {}\n  mesh {:?}",
                difference.kind, difference.said, world.mesh
            )?;
            for document in &world.documents {
                writeln!(f, "  {document}")?;
            }
        }
        for (kind, count) in kinds {
            writeln!(f, "{count} messages: {kind}")?;
        }
        writeln!(
            f,
            "analyze, {} worlds of seed {}: {} messages agreed, {} differed, {} known",
            self.worlds,
            self.seed,
            self.tally.agreed,
            self.differed(),
            self.tally.known
        )
    }
}
