//! Istio's own examples: the manifests of its samples and tests, as they come with its code. What `check` says about each
//! file must be what Istio's validation and its analyzer say.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use egret_tests::mesh::cache;
use proxy_core::yaml::{self, Node};
use serde_json::{Value, json};

use crate::{analyze, judge, known::Known, oracle::Oracle, world::World};

/// Kinds by the beginning of their `apiVersion`, as the oracle takes them.
const KINDS: [(&str, &[&str]); 3] = [
    (
        "networking.istio.io/",
        &[
            "DestinationRule",
            "Gateway",
            "ServiceEntry",
            "Sidecar",
            "VirtualService",
        ],
    ),
    ("apps/", &["Deployment"]),
    ("v1", &["Namespace", "Pod", "Service"]),
];

/// The fewest files with such objects that Istio's code has had.
const AT_LEAST: usize = 150;

/// What came of all files.
#[derive(Default)]
pub struct Report {
    files: usize,
    agreed: usize,
    known: usize,
    /// Differences that are not listed.
    pub differed: Vec<String>,
}

/// Asks both sides about each file.
pub fn run(program: &Path) -> Result<Report, String> {
    let (root, known) = (source()?, Known::read()?);
    let mut files = Vec::new();
    manifests(&root, &mut files)?;
    files.sort();
    let mut oracle = Oracle::start(program)?;
    let mut report = Report::default();
    for file in &files {
        let Some(world) = world(file)? else { continue };
        report.files += 1;
        let name = file.strip_prefix(&root).unwrap_or(file).display();
        let judgement = judge::judge(&mut oracle, &world)?;
        let (agreed, differences) = analyze::compare(&mut oracle, &world)?;
        report.agreed += judgement.agreed + agreed;
        // See DIFFERENCES.md.
        let of_gateway = |one: &&judge::Difference| one.field == "Gateway taken";
        let of_validation = judgement.differences.iter().filter(|one| !of_gateway(one));
        let of_validation = of_validation.map(|one| (one.kind(), format!("{one:?}")));
        let of_analyzer = differences.into_iter().map(|one| (one.kind, one.said));
        for (kind, said) in of_validation.chain(of_analyzer) {
            let kind = format!("{name}: {kind}");
            match known.lists_kind(&kind) {
                true => report.known += 1,
                false => report.differed.push(format!("{kind}\n  {said}")),
            }
        }
    }
    println!(
        "Istio's examples, {} files: {} agreed, {} differed, {} known",
        report.files,
        report.agreed,
        report.differed.len(),
        report.known
    );
    match report.files {
        files if files < AT_LEAST => Err(format!("{}: {files} files, fewer than {AT_LEAST}", root.display())),
        _ => Ok(report),
    }
}

/// Istio's code, where building the oracle has put it.
fn source() -> Result<PathBuf, String> {
    let modules = cache().join("go-modules/istio.io");
    let entries = fs::read_dir(&modules).map_err(|error| format!("{}: {error}", modules.display()))?;
    let is_istio = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("istio@"))
    };
    let found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(is_istio)
        .collect();
    match found.as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(format!(
            "{}: expected one release of Istio, found {found:?}",
            modules.display()
        )),
    }
}

fn manifests(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            manifests(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    Ok(())
}

/// The objects of a file that the oracle takes; `None` where there is none, or where the file is a template.
fn world(file: &Path) -> Result<Option<World>, String> {
    let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let Ok(nodes) = yaml::read(&bytes) else { return Ok(None) };
    let mut names = BTreeSet::new();
    let mut documents = Vec::new();
    for document in nodes.iter().map(Node::to_json).flat_map(unwrapped).filter_map(object) {
        // The API server has one object of a name.
        let key = ["/kind", "/metadata/namespace", "/metadata/name"].map(|part| document.pointer(part).cloned());
        if names.insert(format!("{key:?}")) {
            documents.push(document);
        }
    }
    let mut world = World {
        documents,
        analyze: true,
        ..World::default()
    };
    analyze::respell(&mut world);
    Ok((!world.documents.is_empty()).then_some(world))
}

/// The objects of a List.
fn unwrapped(document: Value) -> Vec<Value> {
    match document["items"].as_array() {
        Some(items) if document["kind"] == "List" => items.clone(),
        _ => vec![document],
    }
}

/// The object as `kubectl apply` would send it; `None` for other kinds.
fn object(mut document: Value) -> Option<Value> {
    let (version, kind) = (document["apiVersion"].as_str()?, document["kind"].as_str()?);
    let is_known = |(prefix, kinds): &(&str, &[&str])| version.starts_with(prefix) && kinds.contains(&kind);
    if !KINDS.iter().any(is_known) {
        return None;
    }
    let is_namespaced = kind != "Namespace";
    let fields = document.as_object_mut()?;
    // Notes of Istio's tests to themselves.
    fields.retain(|key, _| !key.starts_with('_'));
    let metadata = fields.get_mut("metadata")?.as_object_mut()?;
    metadata.get("name")?;
    if is_namespaced {
        metadata.entry("namespace").or_insert(json!("default"));
    }
    Some(document)
}
