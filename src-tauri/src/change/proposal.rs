//! What the staged edits make of the folder: the new text of each file, and the World that those texts describe. Nothing
//! is written here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proxy_core::{
    model::{self, ModelError, World},
    source::edit::{self, SourceEditError},
    yaml,
};

use super::{access_log, write::FileEdit};
use crate::{
    dto::{DraftKind, Edit, Mode},
    fault::{Fault, Result},
    session::View,
};

/// Texts of files as they were when an edit was staged; other files are read from disk.
pub type Base = BTreeMap<String, Option<Vec<u8>>>;

/// The outcome of a list of edits.
#[derive(Debug)]
pub struct Proposal {
    /// One edit a file that changes.
    pub files: Vec<FileEdit>,
    /// What the folder will say.
    pub world: World,
    /// What is wrong in the new texts.
    pub errors: Vec<ModelError>,
    /// Files that each edit touched, in the order of the edits.
    pub touched: Vec<Vec<String>>,
    /// Files that become what they were once.
    pub restored: BTreeSet<String>,
}

pub(super) struct Draft<'v> {
    pub(super) view: &'v View,
    base: &'v Base,
    before: BTreeMap<String, Option<Vec<u8>>>,
    after: BTreeMap<String, Option<Vec<u8>>>,
    pub(super) world: World,
    errors: BTreeMap<String, Vec<ModelError>>,
    touched: Vec<String>,
}

impl Proposal {
    /// Makes `edits` one after the other, on what `base` says and else on what is on disk.
    pub fn of(view: &View, base: &Base, edits: &[Edit]) -> Result<Self> {
        let mut draft = Draft::new(view, base);
        let mut touched = Vec::new();
        for edit in edits {
            draft.make(edit)?;
            touched.push(std::mem::take(&mut draft.touched));
        }
        let restored = edits.iter().filter_map(|edit| match edit {
            Edit::Restore { file, .. } => Some(file.clone()),
            _ => None,
        });
        let files = draft.after.into_iter().map(|(file, after)| FileEdit {
            before: draft.before.get(&file).cloned().flatten(),
            file,
            after,
        });
        Ok(Self {
            files: files.filter(|edit| edit.before != edit.after).collect(),
            world: draft.world,
            errors: draft.errors.into_values().flatten().collect(),
            touched,
            restored: restored.collect(),
        })
    }
}

impl<'v> Draft<'v> {
    /// What `view` says, with no edit made; texts are read from `base` and else from the place itself.
    pub(super) fn new(view: &'v View, base: &'v Base) -> Self {
        Self {
            view,
            base,
            before: BTreeMap::new(),
            after: BTreeMap::new(),
            world: view.world().clone(),
            errors: BTreeMap::new(),
            touched: Vec::new(),
        }
    }
}

impl Draft<'_> {
    fn make(&mut self, edit: &Edit) -> Result<()> {
        match edit {
            Edit::Mode { scope, mode } => self.mode(scope, *mode),
            Edit::Put {
                object,
                namespace,
                name,
                yaml,
                ..
            } => {
                check_document(*object, namespace, name, yaml)?;
                let file = target_file(self.view, &self.world, *object, namespace, name);
                let text = self.text(&file)?;
                let new = edit::put_object(&text, object.as_str(), namespace, name, yaml)?;
                self.set(file, Some(new))
            }
            Edit::Delete {
                object,
                namespace,
                name,
            } => {
                let kind = object.as_str();
                let file = edit::file_of(&self.world, kind, namespace, name).ok_or_else(|| {
                    Fault::new("missing", format!("No {kind} {namespace}/{name} is there to delete."))
                })?;
                let text = self.text(&file)?;
                self.set(file.to_string(), edit::delete_object(&text, kind, namespace, name)?)
            }
            Edit::Fix {
                object,
                namespace,
                name,
                fixes,
            } => self.fix((object, namespace, name), fixes),
            Edit::Restore { file, text } => {
                self.text(file)?;
                self.set(file.clone(), text.clone())
            }
            Edit::Capture {
                namespace,
                name,
                include_ranges,
                exclude_ranges,
                include_ports,
                exclude_ports,
            } => {
                let lists = [include_ranges, exclude_ranges, include_ports, exclude_ports].map(Clone::clone);
                self.capture(namespace, name, &lists)
            }
            Edit::AccessLog { scope, on, until } => {
                let mut scope = access_log::Scope::of(&self.world, scope)?;
                match on {
                    true => self.access_log_on(&mut scope, until.as_deref()),
                    false => self.access_log_off(&scope),
                }
            }
            Edit::Ranges {
                revision,
                include_ranges,
                exclude_ranges,
                include_ports,
                exclude_ports,
            } => self.ranges(revision, [include_ranges, exclude_ranges, include_ports, exclude_ports]),
        }
    }

    fn mode(&mut self, scope: &str, mode: Mode) -> Result<()> {
        let revision = match scope.split_once(' ') {
            None if scope == "mesh" => Some(""),
            Some(("revision", revision)) => Some(revision),
            _ => None,
        };
        if let Some(revision) = revision {
            let mesh = self.world.mesh_config(revision).cloned();
            let mesh = mesh.filter(|mesh| revision.is_empty() || mesh.spec.revision == revision);
            let mesh = mesh.ok_or_else(|| {
                Fault::new("missing", "There is no ConfigMap istio.")
                    .hint("Add it with the key `mesh`; the mesh's mode is written there.")
            })?;
            // It counts where it is written, which may be a second ConfigMap that the control plane reads.
            let mode_at = mesh.mode_reference().unwrap_or_else(|| mesh.reference("ConfigMap", 0));
            let file = mode_at.file.clone();
            let place = (&*mode_at.namespace, &*mode_at.name);
            let new = edit::set_mesh_mode(&self.text(&file)?, &file, place, mode.into())?;
            return self.set(file.to_string(), Some(new));
        }
        if mode == Mode::AllowAnyDynamicDns {
            return Err(
                Fault::new("mode", "ALLOW_ANY_DYNAMIC_DNS holds for the whole mesh only.")
                    .hint("A Sidecar takes ALLOW_ANY or REGISTRY_ONLY."),
            );
        }
        let (namespace, workload) = match scope.split_once(' ') {
            Some(("namespace", namespace)) => (namespace, None),
            Some(("workload", workload)) => {
                let (namespace, name) = workload.split_once('/').ok_or_else(|| unknown_scope(scope))?;
                (namespace, Some(name))
            }
            _ => return Err(unknown_scope(scope)),
        };
        check_name("namespace", namespace)?;
        let mode = model::OutboundMode::from(mode).to_string();
        let holder = self.world.sidecars.iter().find(|sidecar| {
            *sidecar.meta.namespace == *namespace
                && match workload {
                    None => sidecar.spec.workload_selector.is_none(),
                    Some(name) => sidecar.spec.workload_selector.is_some() && *sidecar.meta.name == *name,
                }
        });
        if let Some(sidecar) = holder.cloned() {
            let file = sidecar.place.file.clone();
            let field = yaml::Field::Text(mode);
            let object = ("Sidecar", namespace, &*sidecar.meta.name);
            let new = edit::edit_document(&self.text(&file)?, &file, object, |document| {
                yaml::set(document, &["spec", "outboundTrafficPolicy", "mode"], &field)
            })?;
            return self.set(file.to_string(), Some(new));
        }
        let name = workload.unwrap_or("default");
        let document = self.new_sidecar(namespace, workload, &mode)?;
        let own = self.view.store.file_of("Sidecar", namespace, name);
        let file = own.unwrap_or_else(|| free_file(self.view, &format!("{namespace}-sidecar")));
        let new = edit::put_object(&self.text(&file)?, "Sidecar", namespace, name, &document)?;
        self.set(file, Some(new))
    }

    fn new_sidecar(&self, namespace: &str, workload: Option<&str>, mode: &str) -> Result<String> {
        let name = workload.unwrap_or("default");
        let mut selector = String::new();
        if let Some(workload) = workload {
            check_name("workload", workload)?;
            let known = self.view.workload(&format!("{namespace}/{workload}"));
            let labels = known.map(|known| known.labels).unwrap_or_default();
            if labels.is_empty() {
                return Err(Fault::new(
                    "missing",
                    format!("No workload {namespace}/{workload} with labels is declared."),
                )
                .hint("A Sidecar for one workload selects it by its labels."));
            }
            selector.push_str("  workloadSelector:\n    labels:\n");
            for (key, value) in labels {
                selector.push_str(&format!("      {}: {}\n", yaml::quoted(&key), yaml::quoted(&value)));
            }
        }
        Ok(format!(
            "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata:\n  name: {name}\n  namespace: {namespace}\nspec:\n\
             {selector}  outboundTrafficPolicy:\n    mode: {mode}\n"
        ))
    }

    /// The text of a file as the edits before have left it.
    pub(super) fn text(&mut self, file: &str) -> Result<String> {
        let bytes = match (self.after.get(file), self.base.get(file)) {
            (Some(bytes), _) => bytes.clone(),
            (None, Some(bytes)) => bytes.clone(),
            (None, None) => self.view.store.read(file)?,
        };
        self.before.entry(file.to_string()).or_insert_with(|| bytes.clone());
        String::from_utf8(bytes.unwrap_or_default()).map_err(|_| {
            Fault::new("syntax", format!("{file} is not UTF-8.")).hint("Save it as UTF-8; nothing was changed.")
        })
    }

    pub(super) fn set(&mut self, file: String, text: Option<String>) -> Result<()> {
        let name: Arc<str> = file.as_str().into();
        let mut world = World::default();
        let mut errors = Vec::new();
        let documents = yaml::read(text.as_deref().unwrap_or_default().as_bytes())
            .map_err(|error| Fault::new("syntax", format!("{file}:{}: {}", error.line, error.message)))?;
        // Age decides between objects of the same host: those of a file keep their place in the order.
        let mut order = first_order(&self.world, &file);
        for document in &documents {
            model::add_document(document, &name, &mut order, &mut world, &mut errors);
        }
        self.world = self.world.without_file(&file);
        self.world.extend(&world);
        self.errors.insert(file.clone(), errors);
        self.touched.push(file.clone());
        self.after.insert(file, text.map(String::into_bytes));
        Ok(())
    }
}

/// Order of the first object of `file`, less one; behind everything for a new file.
fn first_order(world: &World, file: &str) -> u32 {
    let entries = world
        .service_entries
        .iter()
        .map(|object| (&object.place, object.meta.order));
    let services = world
        .virtual_services
        .iter()
        .map(|object| (&object.place, object.meta.order));
    let sidecars = world.sidecars.iter().map(|object| (&object.place, object.meta.order));
    let all: Vec<(&model::Place, u32)> = entries.chain(services).chain(sidecars).collect();
    let own = all
        .iter()
        .filter(|(place, _)| *place.file == *file)
        .map(|(_, order)| *order)
        .min();
    own.map_or_else(
        || all.iter().map(|(_, order)| *order).max().unwrap_or(0),
        |order| order - 1,
    )
}

/// The file an object is, or will be, written in.
pub fn target_file(view: &View, world: &World, kind: DraftKind, namespace: &str, name: &str) -> String {
    if let Some(file) = edit::file_of(world, kind.as_str(), namespace, name) {
        return file.to_string();
    }
    if let Some(file) = view.store.file_of(kind.as_str(), namespace, name) {
        return file;
    }
    // A timeout stands best beside the service it is for, when one of that name is there.
    let companion = edit::file_of(world, "ServiceEntry", namespace, name);
    companion.map_or_else(|| free_file(view, name), |file| file.to_string())
}

/// `name.yaml`, or with a number where that file holds something already.
pub(super) fn free_file(view: &View, name: &str) -> String {
    let taken = |file: &String| view.folder.join(file).exists();
    let plain = format!("{name}.yaml");
    if !taken(&plain) {
        return plain;
    }
    (2..)
        .map(|number| format!("{name}-{number}.yaml"))
        .find(|file| !taken(file))
        .unwrap_or(plain)
}

/// A document that says what the window says it does, and that the model takes.
fn check_document(kind: DraftKind, namespace: &str, name: &str, yaml: &str) -> Result<()> {
    check_name("namespace", namespace)?;
    check_name("name", name)?;
    let documents = yaml::read(yaml.as_bytes())
        .map_err(|error| Fault::new("syntax", format!("line {}: {}", error.line, error.message)))?;
    if documents.len() != 1 || edit::find_document(yaml, kind.as_str(), namespace, name).is_none() {
        let kind = kind.as_str();
        return Err(Fault::new(
            "object",
            format!("The YAML is not the one document of {kind} {namespace}/{name}."),
        ));
    }
    let (mut world, mut errors, mut order) = (World::default(), Vec::new(), 0);
    model::add_document(&documents[0], &"draft".into(), &mut order, &mut world, &mut errors);
    match errors.first() {
        Some(error) => Err(Fault::from(error)),
        None => Ok(()),
    }
}

/// A name as Kubernetes takes it; it becomes part of a file name too.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    let inside = !name.starts_with(['-', '.']) && !name.ends_with(['-', '.']);
    if (1..=253).contains(&name.len()) && name.bytes().all(legal) && inside {
        return Ok(());
    }
    Err(
        Fault::new("name", format!("{name:?} is no {what} that Kubernetes takes."))
            .hint("Lower-case letters, digits, - and . only, a letter or digit first and last."),
    )
}

pub(super) fn unknown_scope(scope: &str) -> Fault {
    Fault::input(format!(
        "{scope:?} is no scope; mesh, namespace NAME or workload NAMESPACE/NAME is."
    ))
}

impl From<SourceEditError> for Fault {
    fn from(error: SourceEditError) -> Self {
        Self::new("edit", error.to_string())
            .hint("Edit the file by hand; the app shows the result as soon as it is saved.")
    }
}
