//! One object to the API server: what its file says, under the version that was seen, by server-side apply.

use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, ValidationDirective},
    core::{ApiResource, DynamicObject, Status},
};
use proxy_core::yaml;
use serde_json::{Map, Value, json};

use super::{
    anew,
    connect::told,
    left_out::leave_out,
    owner::{Change, Owner, Settings, owner},
    refusal,
};
use crate::fault::{Fault, Result};

/// The name under which Kubernetes notes what Egret set.
pub(super) const MANAGER: &str = "egret";
/// Marks what Egret made, so that it can be found and taken away.
pub const MADE_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "egret");

/// Whether a write is only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Try {
    Dry,
    Real,
}

/// Whether fields that another tool owns are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Force {
    No,
    Yes,
}

/// Writes and reads objects of one kind in one namespace.
#[derive(Clone)]
pub(super) struct Writer {
    client: Client,
    api: Api<DynamicObject>,
    resource: ApiResource,
    name: String,
}

/// What came of a write.
pub(super) struct Written {
    /// As it is stored; `None` for an object that is deleted.
    pub object: Option<DynamicObject>,
    /// It is deleted, and still there until who set its finalizers lets it go.
    pub is_ending: bool,
    /// What a person must know: fields that were another tool's, in the server's words, and what undoing leaves out.
    pub warnings: Vec<String>,
}

impl Written {
    fn stored(object: DynamicObject, warnings: Vec<String>) -> Self {
        Self {
            object: Some(object),
            is_ending: false,
            warnings,
        }
    }
}

/// Why a write came to nothing.
#[derive(Debug)]
pub(super) struct Failed {
    pub fault: Box<Fault>,
    /// Nobody knows whether it was made all the same.
    pub is_unknown: bool,
    /// What the API server answered.
    status: Option<Box<Status>>,
}

impl Failed {
    /// With what the API server has against `object`, where that is why.
    fn refused(mut self, object: &Value) -> Self {
        let Some(status) = &self.status else { return self };
        let causes = refusal::causes(status, object);
        if !causes.is_empty() {
            // Also where its code says something else: strict validation answers 500, a policy of the cluster 403.
            self.fault = Fault::new("refused", status.message.clone()).into();
            self.fault.causes = causes.into();
            self.is_unknown = false;
        }
        self
    }

    /// Nothing can have been written.
    fn unwritten(mut self) -> Self {
        self.is_unknown = false;
        self
    }

    /// Sent, and not answered.
    pub fn unanswered(fault: Fault, way: Try) -> Self {
        Self {
            fault: fault.into(),
            is_unknown: way == Try::Real,
            status: None,
        }
    }
}

impl From<Fault> for Failed {
    /// Found out before anything was sent.
    fn from(fault: Fault) -> Self {
        Self {
            fault: fault.into(),
            is_unknown: false,
            status: None,
        }
    }
}

impl From<kube::Error> for Failed {
    fn from(error: kube::Error) -> Self {
        // A request that the server found wrong was not carried out; after any other answer, and after none, it may be.
        let is_refused = matches!(&error, kube::Error::Api(status) if (400..500).contains(&status.code));
        Self {
            fault: told(&error).into(),
            is_unknown: !is_refused,
            status: match error {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
        }
    }
}

impl Writer {
    pub fn new(client: Client, resource: &ApiResource, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced_with(client.clone(), namespace, resource),
            client,
            resource: resource.clone(),
            name: name.to_string(),
        }
    }

    fn object(&self) -> String {
        format!("{} {}", self.resource.kind, self.name)
    }

    /// The object as it is.
    pub async fn read(&self) -> Result<Option<DynamicObject>> {
        self.api.get_opt(&self.name).await.map_err(|error| told(&error))
    }

    /// Who manages `live`, and how it is made what `text` says there; without one, how it is deleted there.
    pub fn owner(&self, live: &DynamicObject, text: Option<&str>) -> Option<Owner> {
        let wanted = text.and_then(|text| document(text.as_bytes()).ok()).unwrap_or_default();
        let change = Change {
            object: text,
            settings: Settings::of(&self.resource.kind, &self.name, &live.data, &wanted),
        };
        owner(&live.metadata, &change)
    }

    /// Makes the object say what `text` says, from `live`, which must still be the newest version.
    pub async fn put(&self, live: Option<&DynamicObject>, text: &str, way: Try) -> Result<Written, Failed> {
        if live.is_some_and(is_ending) {
            return Err(
                Fault::new("ending", format!("{} is still being deleted.", self.object()))
                    .hint("It waits for its finalizers. Once it is gone it can be made anew.")
                    .into(),
            );
        }
        let mut wanted = self.wanted(live, text)?;
        match (self.resource.kind.as_str(), live) {
            ("ConfigMap", Some(live)) => self.patch_data(live, &wanted, way).await,
            ("ConfigMap", None) => Err(Fault::new("missing", format!("The ConfigMap {} is gone.", self.name))
                .hint("Istio's own ConfigMaps are made by its installation.")
                .into()),
            (_, None) if self.resource.group == "apps" => {
                Err(Fault::new("missing", format!("The {} {} is gone.", self.resource.kind, self.name)).into())
            }
            (_, None) => self.create(&mut wanted, way).await,
            (_, Some(live)) if self.resource.group == "apps" => self.patch_template(live, &wanted, way).await,
            (_, Some(live)) => self.replace(live, &wanted, way).await,
        }
        .map_err(|failed: Failed| failed.refused(&wanted))
    }

    /// Takes the object away, if it is still `live`.
    pub async fn delete(&self, live: &DynamicObject, way: Try) -> Result<Written, Failed> {
        let parameters = DeleteParams {
            dry_run: way == Try::Dry,
            preconditions: Some(Preconditions {
                uid: live.metadata.uid.clone(),
                resource_version: live.metadata.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        let object = self.object();
        if is_ending(live) {
            return Ok(Written {
                object: None,
                is_ending: true,
                warnings: anew::waits(&object, live).into_iter().collect(),
            });
        }
        let deleted = self.api.delete(&self.name, &parameters).await;
        let deleted = deleted.map_err(|error| Failed::from(error).refused(&Value::Null))?;
        Ok(Written {
            object: None,
            is_ending: deleted.left().is_some_and(|left| is_ending(&left)),
            warnings: anew::warnings(&object, live),
        })
    }

    /// The document as JSON, in the version that the cluster serves, on top of `live`.
    fn wanted(&self, live: Option<&DynamicObject>, text: &str) -> Result<Value> {
        let mut wanted = document(text.as_bytes())?;
        wanted["apiVersion"] = json!(self.resource.api_version);
        let metadata = metadata(&mut wanted)?;
        metadata.remove("creationTimestamp");
        if let Some(live) = live {
            metadata.insert("resourceVersion".into(), json!(live.metadata.resource_version));
            anew::without_theirs(metadata, live);
        }
        Ok(wanted)
    }

    /// Makes a new object by server-side apply. Where another hand made one meanwhile, its fields are not taken over.
    async fn create(&self, wanted: &mut Value, way: Try) -> Result<Written, Failed> {
        let warnings = anew::under_living_owners(&self.client, &self.object(), wanted).await;
        let made = self.server_side_apply(wanted, way, Force::No).await?;
        Ok(Written::stored(made, warnings))
    }

    /// Makes `live` what `wanted` says, by one request, so that it is the old or the new object at every moment. That is
    /// a server-side apply. What another tool set and `wanted` changes is taken over, which is told; what another tool set
    /// and `wanted` leaves out would stay, fields as well as labels and annotations, so that the object is then replaced
    /// whole, under its version. Which of them it takes is tried first.
    async fn replace(&self, live: &DynamicObject, wanted: &Value, way: Try) -> Result<Written, Failed> {
        let mut warnings = Vec::new();
        let (tried, force) = match self.server_side_apply(wanted, Try::Dry, Force::No).await {
            Err(kube::Error::Api(status)) if is_ownership(&status) => {
                warnings.push(format!(
                    "Applying takes fields over from another tool: {}",
                    status.message
                ));
                let tried = self.server_side_apply(wanted, Try::Dry, Force::Yes);
                (tried.await.map_err(unwritten)?, Force::Yes)
            }
            tried => (tried.map_err(unwritten)?, Force::No),
        };
        let mut whole = tried.clone();
        whole.data["spec"] = wanted["spec"].clone();
        leave_out(&mut whole.metadata, &live.metadata, wanted);
        let says_all = tried.data["spec"] == whole.data["spec"] && tried.metadata == whole.metadata;
        let object = match (says_all, way) {
            (true, Try::Dry) => tried,
            (true, Try::Real) => self.server_side_apply(wanted, way, force).await?,
            (false, _) => {
                // The dry run stored nothing: the version to replace is still the old one.
                whole.metadata.resource_version = live.metadata.resource_version.clone();
                let parameters = PostParams {
                    dry_run: way == Try::Dry,
                    field_manager: Some(MANAGER.into()),
                };
                self.api.replace(&self.name, &parameters, &whole).await?
            }
        };
        Ok(Written::stored(object, warnings))
    }

    async fn server_side_apply(&self, wanted: &Value, way: Try, force: Force) -> kube::Result<DynamicObject> {
        let mut parameters = PatchParams::apply(MANAGER);
        parameters.dry_run = way == Try::Dry;
        parameters.force = force == Force::Yes;
        parameters.field_validation = Some(ValidationDirective::Strict);
        self.api.patch(&self.name, &parameters, &Patch::Apply(wanted)).await
    }

    /// Of a workload only its pods' annotations are known and changed, those that differ; the rest is its owner's.
    async fn patch_template(&self, live: &DynamicObject, wanted: &Value, way: Try) -> Result<Written, Failed> {
        let mut patch = template_patch(&live.data, wanted);
        patch["metadata"] = json!({"resourceVersion": live.metadata.resource_version});
        self.merge(patch, way).await
    }

    /// Only the keys of `data` that differ, under the version that was read: the rest is the installation's.
    async fn patch_data(&self, live: &DynamicObject, wanted: &Value, way: Try) -> Result<Written, Failed> {
        let mut changed = Map::new();
        for (key, value) in wanted["data"].as_object().into_iter().flatten() {
            if live.data["data"][key] != *value {
                changed.insert(key.clone(), value.clone());
            }
        }
        self.merge(
            json!({"metadata": {"resourceVersion": live.metadata.resource_version}, "data": changed}),
            way,
        )
        .await
    }

    async fn merge(&self, patch: Value, way: Try) -> Result<Written, Failed> {
        let parameters = PatchParams {
            dry_run: way == Try::Dry,
            field_manager: Some(MANAGER.into()),
            ..PatchParams::default()
        };
        let patched = self.api.patch(&self.name, &parameters, &Patch::Merge(&patch)).await;
        Ok(Written::stored(patched?, Vec::new()))
    }
}

/// True for an object that is deleted and waits for its finalizers.
pub(super) fn is_ending(object: &DynamicObject) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

/// The text of a new object with the mark of who made it.
pub(super) fn marked(text: &[u8]) -> Result<Vec<u8>> {
    let mut object = document(text)?;
    let labels = metadata(&mut object)?.entry("labels").or_insert_with(|| json!({}));
    labels[MADE_BY.0] = json!(MADE_BY.1);
    Ok(yaml::write(&object).into_bytes())
}

/// The one document of a file.
fn document(text: &[u8]) -> Result<Value> {
    let documents =
        yaml::read(text).map_err(|error| Fault::new("syntax", format!("line {}: {}", error.line, error.message)))?;
    match documents.as_slice() {
        [document] => Ok(document.to_json()),
        _ => Err(Fault::input("One object is expected in a file of a cluster.")),
    }
}

fn metadata(object: &mut Value) -> Result<&mut Map<String, Value>> {
    let metadata = object["metadata"].as_object_mut();
    metadata.ok_or_else(|| Fault::input("The object has no metadata."))
}

/// The merge patch that makes the annotations of a workload's pods what `wanted` says.
pub(super) fn template_patch(now: &Value, wanted: &Value) -> Value {
    let annotations = |data: &Value| data["spec"]["template"]["metadata"]["annotations"].clone();
    let (now, wanted) = (annotations(now), annotations(wanted));
    let mut changed = Map::new();
    for key in now
        .as_object()
        .into_iter()
        .chain(wanted.as_object())
        .flat_map(Map::keys)
    {
        if now[key] != wanted[key] {
            // Null takes the key away.
            changed.insert(key.clone(), wanted[key].clone());
        }
    }
    json!({"spec": {"template": {"metadata": {"annotations": changed}}}})
}

/// A dry run stored nothing, whatever came of it.
fn unwritten(error: kube::Error) -> Failed {
    Failed::from(error).unwritten()
}

fn is_ownership(status: &Status) -> bool {
    let causes = status
        .details
        .as_ref()
        .map(|details| details.causes.as_slice())
        .unwrap_or_default();
    status.code == 409 && causes.iter().any(|cause| cause.reason == "FieldManagerConflict")
}
