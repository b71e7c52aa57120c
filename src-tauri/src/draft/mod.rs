//! One draft, two views: a form and its YAML. The YAML is the document; the form reads it and changes single fields of
//! it, so that comments and fields that the form does not know stay. What a draft does is said in a sentence.

mod from_flow;
mod read;
mod service;
mod timeout;

pub use from_flow::{Present, from_flow};
pub use service::from_service;
pub use timeout::from_timeout;

use proxy_core::{model::Meta, source::edit};

use crate::{
    change::target_file,
    dto::{Draft, DraftKind},
    fault::{Fault, Result},
    session::{self, View},
};

/// Longest document that is taken from a window.
const MAX_YAML: usize = 1 << 20;

/// A staged object: its text, and the file that it was made from.
pub type Staged = (String, Option<String>);

/// Opens an object of the folder (with the staged edits, where there are any).
pub fn open(view: &View, staged: Option<Staged>, object: (DraftKind, &str, &str)) -> Result<Draft> {
    let (kind, namespace, name) = object;
    if let Some((yaml, base)) = staged {
        let draft = from_yaml(view, kind, &yaml)?;
        return Ok(Draft { base, ..draft });
    }
    let missing = || Fault::new("missing", format!("There is no {} {namespace}/{name}.", kind.as_str()));
    let file = edit::file_of(view.world(), kind.as_str(), namespace, name).ok_or_else(missing)?;
    let bytes = view.store.read(&file)?.ok_or_else(missing)?;
    let text = String::from_utf8(bytes).map_err(|_| Fault::new("syntax", format!("{file} is not UTF-8.")))?;
    let range = edit::find_document(&text, kind.as_str(), namespace, name).ok_or_else(missing)?;
    let draft = from_yaml(view, kind, text[range].trim_start_matches('\n'))?;
    let base = Some(text);
    Ok(Draft { base, ..draft })
}

/// An empty form, in the namespace of the first workload.
pub fn blank(view: &View, kind: DraftKind) -> Draft {
    let workloads = view.workloads();
    let namespace = workloads.first().map_or("default", |workload| &workload.namespace);
    match kind {
        DraftKind::ServiceEntry => service::blank(view, namespace),
        DraftKind::VirtualService => timeout::blank(view, namespace),
    }
}

/// What a YAML text says. A text that cannot be read is a draft with its fault, not a failure.
pub fn from_yaml(view: &View, kind: DraftKind, yaml: &str) -> Result<Draft> {
    if yaml.len() > MAX_YAML {
        return Err(Fault::input("The document is larger than 1 MiB."));
    }
    Ok(match kind {
        DraftKind::ServiceEntry => checked(view, service::draft(view, yaml)),
        DraftKind::VirtualService => checked(view, timeout::draft(view, yaml)),
    })
}

/// The draft with what the checks find in it, beside everything else that the folder says.
fn checked(view: &View, draft: Draft) -> Draft {
    let Ok(own) = read::read(draft.kind, &draft.yaml) else {
        return draft;
    };
    let mut world = view.world().clone();
    let is = |meta: &Meta, other: &Meta| meta.namespace == other.namespace && meta.name == other.name;
    for entry in &own.service_entries {
        world.service_entries.retain(|other| !is(&other.meta, &entry.meta));
    }
    for service in &own.virtual_services {
        world.virtual_services.retain(|other| !is(&other.meta, &service.meta));
    }
    world.extend(&own);
    let text = |file: &str| (file == read::FILE).then(|| draft.yaml.clone().into_bytes());
    let all = session::findings(&world, std::iter::empty(), text);
    let findings = all.into_iter().filter(|finding| finding.file == read::FILE);
    Draft {
        findings: findings.collect(),
        ..draft
    }
}

fn file_for(view: &View, kind: DraftKind, namespace: &str, name: &str) -> String {
    if name.is_empty() {
        return String::new();
    }
    target_file(view, view.world(), kind, namespace, name)
}

#[cfg(test)]
mod tests;
