//! The access log of a scope, switched on and off by a Telemetry of Egret's own. When it is to end stands on the object,
//! so that whoever opens the cluster later knows it too.

use std::sync::Arc;

use proxy_core::{
    model::{Labels, Object, Telemetry, World},
    policy,
    source::edit,
    yaml::{self, Field},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::proposal::{Draft, check_name, free_file, unknown_scope};
use crate::{
    dto::Edit,
    fault::{Fault, Result},
    session::View,
};

/// When the object is to be removed, RFC 3339.
pub const REMOVE_AFTER: &str = "egret.dev/remove-after";
/// What the objects are called, with the workload's name behind it where they are for one.
const NAME: &str = "egret-access-log";
const KIND: &str = "Telemetry";
/// The output of the sidecar's container.
const STDOUT: &str = "/dev/stdout";

/// Whose access log.
#[derive(Debug)]
pub(super) struct Scope {
    namespace: String,
    /// The one workload that it is for, as `namespace/name`.
    workload: Option<String>,
    /// Pod labels of that workload, once they are asked for.
    selector: Option<Labels>,
    /// Name of Egret's own object.
    name: String,
    mesh: bool,
}

impl Scope {
    /// Reads `mesh`, `namespace NAME` or `workload NAMESPACE/NAME`.
    pub fn of(world: &World, scope: &str) -> Result<Self> {
        let own = |namespace: &str| {
            check_name("namespace", namespace)?;
            Ok(Self {
                namespace: namespace.into(),
                workload: None,
                selector: None,
                name: NAME.into(),
                mesh: false,
            })
        };
        match scope.split_once(' ') {
            None if scope == "mesh" => Ok(Self {
                mesh: true,
                ..own(root_namespace(world))?
            }),
            Some(("namespace", namespace)) => own(namespace),
            Some(("workload", workload)) => {
                let (namespace, name) = workload.split_once('/').ok_or_else(|| unknown_scope(scope))?;
                check_name("workload", name)?;
                Ok(Self {
                    workload: Some(workload.into()),
                    name: format!("{NAME}-{name}"),
                    ..own(namespace)?
                })
            }
            _ => Err(unknown_scope(scope)),
        }
    }

    /// Asks for the labels of its workload. Who only takes a Telemetry away needs none: the workload may have gone.
    fn select(&mut self, view: &View) -> Result<()> {
        let Some(workload) = &self.workload else {
            return Ok(());
        };
        let labels = view.workload(workload).map(|known| known.labels).unwrap_or_default();
        if labels.is_empty() {
            return Err(
                Fault::new("missing", format!("No workload {workload} with labels is declared."))
                    .hint("A Telemetry for one workload selects it by its labels."),
            );
        }
        self.selector = Some(labels);
        Ok(())
    }

    /// The Telemetry that speaks for the scope: Istio takes one.
    fn holder(&self, world: &World) -> Option<Arc<Object<Telemetry>>> {
        policy::telemetry_of(world, &self.namespace, self.selector.as_ref())
    }
}

impl Draft<'_> {
    /// Has the sidecars of `scope` write their access log, until `until`.
    pub(super) fn access_log_on(&mut self, scope: &mut Scope, until: Option<&str>) -> Result<()> {
        scope.select(self.view)?;
        if let Some(until) = until {
            parsed(until)?;
        }
        if !self.view.store.serves(KIND) {
            return self.mesh_setting(scope, until);
        }
        let mesh = self.world.mesh_configs.first().map(|mesh| mesh.spec.access_log.clone());
        let mesh = mesh.unwrap_or_default();
        let provider = policy::output_provider(&mesh).ok_or_else(|| {
            Fault::new(
                "provider",
                "No provider of the mesh writes access logs to the sidecar's output.",
            )
            .hint("Add one with envoyFileAccessLog to extensionProviders of the mesh config.")
        })?;
        let logging = format!("- providers:\n  - name: {}\n", yaml::quoted(provider));
        match scope.holder(&self.world) {
            Some(theirs) if *theirs.meta.name != *scope.name => {
                let (namespace, name) = (&*theirs.meta.namespace, &*theirs.meta.name);
                if until.is_some() {
                    return Err(Fault::new(
                        "taken",
                        format!(
                            "Telemetry {namespace}/{name} speaks for this scope already, and Istio takes only one."
                        ),
                    )
                    .hint("Choose \"until I remove it\": then that object is edited, and undone in Changes."));
                }
                let file = theirs.place.file.clone();
                let field = Field::Block(logging);
                let new = edit::edit_document(&self.text(&file)?, &file, (KIND, namespace, name), |document| {
                    yaml::set(document, &["spec", "accessLogging"], &field)
                })?;
                self.set(file.to_string(), Some(new))
            }
            _ => {
                let (namespace, name) = (scope.namespace.as_str(), scope.name.as_str());
                let file = edit::file_of(&self.world, KIND, namespace, name).map(|file| file.to_string());
                let file = file
                    .or_else(|| self.view.store.file_of(KIND, namespace, name))
                    .unwrap_or_else(|| free_file(self.view, &format!("{namespace}-{name}")));
                let document = document(scope, until, &logging);
                let new = edit::put_object(&self.text(&file)?, KIND, namespace, name, &document)?;
                self.set(file, Some(new))
            }
        }
    }

    /// Takes Egret's own Telemetry of `scope` away; one that is gone is no mistake, for it goes by itself when it is due.
    pub(super) fn access_log_off(&mut self, scope: &Scope) -> Result<()> {
        let (namespace, name) = (scope.namespace.as_str(), scope.name.as_str());
        let Some(file) = edit::file_of(&self.world, KIND, namespace, name) else {
            return Ok(());
        };
        let text = self.text(&file)?;
        if text.is_empty() {
            return Ok(());
        }
        self.set(file.to_string(), edit::delete_object(&text, KIND, namespace, name)?)
    }

    /// Istio before 1.10 has the mesh's setting alone.
    fn mesh_setting(&mut self, scope: &Scope, until: Option<&str>) -> Result<()> {
        if !scope.mesh || until.is_some() {
            return Err(Fault::new(
                "no-kind",
                "This Istio has no Telemetry: access logs are on or off for the whole mesh.",
            )
            .hint("Choose the mesh, and \"until I remove it\"; undo it in Changes."));
        }
        let mesh = self.world.mesh_configs.first().cloned().ok_or_else(|| {
            Fault::new("missing", "There is no ConfigMap istio.")
                .hint("Add it with the key `mesh`; accessLogFile is written there.")
        })?;
        let file = mesh.place.file.clone();
        let object = ("ConfigMap", &*mesh.meta.namespace, &*mesh.meta.name);
        let field = Field::Text(STDOUT.into());
        let new = edit::edit_document(&self.text(&file)?, &file, object, |document| {
            yaml::inside(document, &["data", "mesh"], |mesh| {
                yaml::set(mesh, &["accessLogFile"], &field)
            })
        })?;
        self.set(file.to_string(), Some(new))
    }
}

/// Name of Egret's own object for a scope without its namespace: of a workload where one is named.
pub fn own_name(workload: Option<&str>) -> String {
    workload.map_or_else(|| NAME.into(), |name| format!("{NAME}-{name}"))
}

/// What the edit is called.
pub(super) fn title(scope: &str, on: bool, until: Option<&str>) -> String {
    match (on, until) {
        (true, Some(until)) => format!("Access log on for {scope} until {until}"),
        (true, None) => format!("Access log on for {scope}"),
        (false, _) => format!("Access log off for {scope}"),
    }
}

/// Why an edit came too late.
pub(super) fn overdue(edit: &Edit) -> Option<String> {
    let Edit::AccessLog {
        on: true,
        until: Some(until),
        ..
    } = edit
    else {
        return None;
    };
    let over = parsed(until).is_ok_and(|until| until <= OffsetDateTime::now_utc());
    over.then(|| format!("The access log was to end at {until}, which is over; switch it on anew."))
}

fn parsed(time: &str) -> Result<OffsetDateTime> {
    OffsetDateTime::parse(time, &Rfc3339)
        .map_err(|_| Fault::input(format!("{time:?} is no time; 2026-01-31T12:00:00Z is.")))
}

fn root_namespace(world: &World) -> &str {
    let mesh = world.mesh_configs.first();
    mesh.map_or("istio-system", |mesh| mesh.spec.root_namespace.as_str())
}

fn document(scope: &Scope, until: Option<&str>, logging: &str) -> String {
    let annotations = until.map_or_else(String::new, |until| {
        format!("  annotations:\n    {REMOVE_AFTER}: {}\n", yaml::quoted(until))
    });
    let selector = scope.selector.as_ref().map_or_else(String::new, |labels| {
        let lines = labels
            .iter()
            .map(|(key, value)| format!("      {}: {}\n", yaml::quoted(key), yaml::quoted(value)));
        format!("  selector:\n    matchLabels:\n{}", lines.collect::<String>())
    });
    format!(
        "apiVersion: telemetry.istio.io/v1\nkind: {KIND}\nmetadata:\n  name: {}\n  namespace: {}\n  labels:\n    \
         app.kubernetes.io/managed-by: egret\n{annotations}spec:\n{selector}  accessLogging:\n{}",
        scope.name,
        scope.namespace,
        logging.lines().map(|line| format!("  {line}\n")).collect::<String>()
    )
}
