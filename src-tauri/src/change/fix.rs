//! The fixes of findings: what is offered, and how it becomes an edit. The change is always the one that the checks name
//! for the object as it is, never one that a window sends.

use std::collections::{BTreeMap, BTreeSet};

use proxy_core::{lint, source::edit, yaml::Change};
use serde_json::json;

use super::{
    Changes,
    proposal::{Base, Draft},
};
use crate::{
    cluster::{Feature, shell_word},
    dto::{Edit, Fix, FixKey, FixOffer, StagedEdit},
    fault::{Fault, Result},
    session::View,
};

/// The change that mends `finding` of `view`, where the checks are sure of one.
pub fn offer(view: &View, finding: &lint::Finding) -> Option<FixOffer> {
    let (patch, object) = (finding.patch.as_ref()?, finding.object.as_ref()?);
    let steps = json!([patch]).to_string();
    Some(FixOffer {
        change: in_words(patch),
        command: format!(
            "kubectl patch {}.networking.istio.io {} -n {} --type=json -p {}",
            object.kind.to_lowercase(),
            object.name,
            object.namespace,
            shell_word(&steps)
        ),
        blocked_because: blocked(view, &object.kind),
    })
}

/// `set spec.outboundTrafficPolicy.mode to REGISTRY_ONLY`, `take spec.http[1] away`.
fn in_words(patch: &lint::Patch) -> String {
    let field = patch
        .path
        .split('/')
        .skip(1)
        .fold(String::new(), |field, step| match step.parse::<usize>() {
            Ok(index) => format!("{field}[{index}]"),
            Err(_) if field.is_empty() => step.to_string(),
            Err(_) => format!("{field}.{step}"),
        });
    match &patch.value {
        None => format!("take {field} away"),
        Some(serde_json::Value::String(text)) => format!("set {field} to {text}"),
        Some(value) => format!("set {field} to {value}"),
    }
}

/// Why objects of `kind` cannot be changed in the source of `view`.
fn blocked(view: &View, kind: &str) -> Option<String> {
    match view.origin.cluster() {
        None => (!view.is_editable()).then(|| "The folder cannot be written.".to_string()),
        Some(cluster) => match Feature::that_writes(kind) {
            None => Some(format!(
                "Egret does not write a {kind} into a cluster; the command does."
            )),
            Some(feature) => cluster.forbidden(feature).map(|fault| fault.message),
        },
    }
}

impl Changes {
    /// Stages what mends the findings `wanted`, an edit an object.
    pub fn stage_fixes(&self, view: &View, wanted: &[FixKey]) -> Result<Vec<StagedEdit>> {
        let file = |key: &FixKey| edit::file_of(view.world(), &key.kind, &key.namespace, &key.name);
        let files: BTreeSet<String> = wanted.iter().filter_map(file).map(|file| file.to_string()).collect();
        let now = files
            .into_iter()
            .map(|file| Ok((file.clone(), view.store.read(&file)?)));
        let now = now.collect::<Result<Base>>()?;
        let found = said_of(view, &now)?;
        let mut objects: BTreeMap<(String, String, String), Vec<Fix>> = BTreeMap::new();
        for key in wanted {
            let finding = found.iter().find(|finding| is(finding, key));
            let patch = finding.and_then(|finding| Some((finding, finding.patch.as_ref()?)));
            let (finding, patch) = patch.ok_or_else(|| gone(key))?;
            if let Some(reason) = blocked(view, &key.kind) {
                return Err(Fault::new("kept", reason));
            }
            let object = (key.kind.clone(), key.namespace.clone(), key.name.clone());
            objects.entry(object).or_default().push(fix_of(finding, patch));
        }
        let edits = objects.into_iter().map(|((object, namespace, name), fixes)| Edit::Fix {
            object,
            namespace,
            name,
            fixes,
        });
        self.stage_together(view, edits.collect(), &now)
    }
}

/// `edits` for the files as they are `now`: a fix names places of the text that it was found in, so that it is found there
/// anew. Refuses where the checks do not say the same any more.
pub(super) fn found_again(view: &View, now: &Base, edits: &[StagedEdit]) -> Result<Vec<StagedEdit>> {
    let found = said_of(view, now)?;
    let mut edits = edits.to_vec();
    for staged in &mut edits {
        let Edit::Fix {
            object,
            namespace,
            name,
            fixes,
        } = &mut staged.edit
        else {
            continue;
        };
        let file = edit::file_of(view.world(), object, namespace, name);
        if !file.is_some_and(|file| now.contains_key(&*file)) {
            continue;
        }
        for fix in fixes {
            let key = FixKey {
                code: fix.code.clone(),
                kind: object.clone(),
                namespace: namespace.clone(),
                name: name.clone(),
                field: fix.field.clone(),
            };
            let same = found
                .iter()
                .find(|finding| is(finding, &key) && finding.message == fix.why);
            let patch = same.and_then(|finding| Some(fix_of(finding, finding.patch.as_ref()?)));
            *fix = patch
                .ok_or_else(|| gone(&key).hint("Take the fix out of the change set, or keep the other version."))?;
        }
    }
    Ok(edits)
}

/// What the checks say with the files as they are `now`: a view may be a moment older.
fn said_of(view: &View, now: &Base) -> Result<Vec<lint::Finding>> {
    let mut draft = Draft::new(view, now);
    for file in now.keys() {
        let text = draft.text(file)?;
        draft.set(file.clone(), Some(text))?;
    }
    Ok(lint::check(&draft.world))
}

fn fix_of(finding: &lint::Finding, patch: &lint::Patch) -> Fix {
    Fix {
        code: finding.code.to_string(),
        field: finding.field.to_string(),
        why: finding.message.clone(),
        change: in_words(patch),
        path: patch.path.clone(),
        value: patch.value.clone(),
    }
}

fn gone(key: &FixKey) -> Fault {
    let FixKey {
        code,
        kind,
        namespace,
        name,
        ..
    } = key;
    Fault::new(
        "gone",
        format!("{code} is not said about {kind} {namespace}/{name} any more."),
    )
}

fn is(finding: &lint::Finding, key: &FixKey) -> bool {
    let object = finding.object.as_ref();
    finding.code == key.code
        && finding.field == key.field
        && object.is_some_and(|object| {
            object.kind == key.kind && object.namespace == key.namespace && object.name == key.name
        })
}

impl Draft<'_> {
    /// Makes the changes in the object's text.
    pub(super) fn fix(&mut self, (kind, namespace, name): (&str, &str, &str), fixes: &[Fix]) -> Result<()> {
        let file = edit::file_of(&self.world, kind, namespace, name)
            .ok_or_else(|| Fault::new("missing", format!("No {kind} {namespace}/{name} is there to mend.")))?;
        let changes: Vec<(String, Change)> = fixes
            .iter()
            .map(|fix| (fix.path.clone(), fix.value.clone().map_or(Change::Remove, Change::Put)))
            .collect();
        let new = edit::patch_object(&self.text(&file)?, &file, (kind, namespace, name), &changes)?;
        self.set(file.to_string(), Some(new))
    }
}
