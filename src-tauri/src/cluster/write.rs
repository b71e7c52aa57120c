//! One object to the API server: what its file says, under the version that was seen, by server-side apply.

use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, ValidationDirective},
    core::{ApiResource, DynamicObject, Status},
};
use proxy_core::yaml;
use serde_json::{Map, Value, json};

use super::{
    connect::told,
    owner::{Settings, owner},
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

/// Writes and reads objects of one kind in one namespace.
pub(super) struct Writer {
    api: Api<DynamicObject>,
    resource: ApiResource,
    name: String,
}

/// What came of a write.
pub(super) struct Written {
    /// As it is stored; `None` for a deleted object.
    pub object: Option<DynamicObject>,
    /// What a person must know: fields that were another tool's, in the server's words, and who will take this back.
    pub warnings: Vec<String>,
}

impl Writer {
    pub fn new(client: Client, resource: &ApiResource, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced_with(client, namespace, resource),
            resource: resource.clone(),
            name: name.to_string(),
        }
    }

    /// The object as it is.
    pub async fn read(&self) -> Result<Option<DynamicObject>> {
        self.api.get_opt(&self.name).await.map_err(|error| told(&error))
    }

    /// Makes the object say what `text` says, from `live`, which must still be the newest version.
    pub async fn put(&self, live: Option<&DynamicObject>, text: &str, way: Try) -> Result<Written> {
        let wanted = self.wanted(live, text)?;
        let mut written = match (self.resource.kind.as_str(), live) {
            ("ConfigMap", Some(live)) => self.patch_data(live, &wanted, way).await,
            ("ConfigMap", None) => Err(Fault::new("missing", format!("The ConfigMap {} is gone.", self.name))
                .hint("Istio's own ConfigMaps are made by its installation.")),
            (_, None) if self.resource.group == "apps" => Err(Fault::new(
                "missing",
                format!("The {} {} is gone.", self.resource.kind, self.name),
            )),
            (_, Some(live)) if self.resource.group == "apps" => self.patch_template(live, &wanted, way).await,
            _ => self.apply(live, wanted.clone(), way).await,
        }?;
        written.warnings.extend(self.owned(live, &wanted));
        Ok(written)
    }

    /// Who will take a change of `live` back.
    fn owned(&self, live: Option<&DynamicObject>, wanted: &Value) -> Vec<String> {
        let object = format!("{} {}", self.resource.kind, self.name);
        let owner = live.and_then(|live| {
            let settings = Settings::of(&self.resource.kind, &self.name, &live.data, wanted);
            owner(&live.metadata, &settings)
        });
        owner.map(|owner| owner.warning(&object)).into_iter().collect()
    }

    /// Takes the object away, if it is still `live`.
    pub async fn delete(&self, live: &DynamicObject, way: Try) -> Result<Written> {
        let parameters = DeleteParams {
            dry_run: way == Try::Dry,
            preconditions: Some(Preconditions {
                uid: live.metadata.uid.clone(),
                resource_version: live.metadata.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        self.api
            .delete(&self.name, &parameters)
            .await
            .map_err(|error| told(&error))?;
        Ok(Written {
            object: None,
            warnings: self.owned(Some(live), &Value::Null),
        })
    }

    /// The document as JSON, in the version that the cluster serves, with the mark of who made it where it is new.
    fn wanted(&self, live: Option<&DynamicObject>, text: &str) -> Result<Value> {
        let documents = yaml::read(text.as_bytes())
            .map_err(|error| Fault::new("syntax", format!("line {}: {}", error.line, error.message)))?;
        let [document] = documents.as_slice() else {
            return Err(Fault::input("One object is expected in a file of a cluster."));
        };
        let mut wanted = document.to_json();
        wanted["apiVersion"] = json!(self.resource.api_version);
        let metadata = wanted["metadata"].as_object_mut();
        let metadata = metadata.ok_or_else(|| Fault::input("The object has no metadata."))?;
        metadata.remove("creationTimestamp");
        match live {
            Some(live) => {
                metadata.insert("resourceVersion".into(), json!(live.metadata.resource_version));
            }
            None => {
                let labels = metadata.entry("labels").or_insert_with(|| json!({}));
                labels[MADE_BY.0] = json!(MADE_BY.1);
            }
        }
        Ok(wanted)
    }

    /// Server-side apply. What another tool set and this text changes is taken over, which is told; what another tool set
    /// and this text leaves out would stay, so that the object is then replaced whole, under its version.
    async fn apply(&self, live: Option<&DynamicObject>, wanted: Value, way: Try) -> Result<Written> {
        let patch = Patch::Apply(&wanted);
        let mut parameters = PatchParams::apply(MANAGER);
        parameters.dry_run = way == Try::Dry;
        parameters.field_validation = Some(ValidationDirective::Strict);
        let (applied, warnings) = match self.api.patch(&self.name, &parameters, &patch).await {
            Ok(applied) => (applied, Vec::new()),
            Err(kube::Error::Api(status)) if is_ownership(&status) => {
                parameters.force = true;
                let forced = self
                    .api
                    .patch(&self.name, &parameters, &patch)
                    .await
                    .map_err(|error| told(&error))?;
                (
                    forced,
                    vec![format!(
                        "Applying takes fields over from another tool: {}",
                        status.message
                    )],
                )
            }
            Err(error) => return Err(told(&error)),
        };
        if applied.data["spec"] == wanted["spec"] || live.is_none() {
            return Ok(Written {
                object: Some(applied),
                warnings,
            });
        }
        let mut whole = applied;
        whole.data["spec"] = wanted["spec"].clone();
        if way == Try::Dry {
            // The dry run stored nothing: the version to replace is still the old one.
            whole.metadata.resource_version = live.and_then(|live| live.metadata.resource_version.clone());
        }
        let parameters = PostParams {
            dry_run: way == Try::Dry,
            field_manager: Some(MANAGER.into()),
        };
        let replaced = self
            .api
            .replace(&self.name, &parameters, &whole)
            .await
            .map_err(|error| told(&error))?;
        Ok(Written {
            object: Some(replaced),
            warnings,
        })
    }

    /// Of a workload only its pods' annotations are known and changed, those that differ; the rest is its owner's.
    async fn patch_template(&self, live: &DynamicObject, wanted: &Value, way: Try) -> Result<Written> {
        let mut patch = template_patch(&live.data, wanted);
        patch["metadata"] = json!({"resourceVersion": live.metadata.resource_version});
        self.merge(patch, way).await
    }

    /// Only the keys of `data` that differ, under the version that was read: the rest is the installation's.
    async fn patch_data(&self, live: &DynamicObject, wanted: &Value, way: Try) -> Result<Written> {
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

    async fn merge(&self, patch: Value, way: Try) -> Result<Written> {
        let parameters = PatchParams {
            dry_run: way == Try::Dry,
            field_manager: Some(MANAGER.into()),
            ..PatchParams::default()
        };
        let patched = self.api.patch(&self.name, &parameters, &Patch::Merge(&patch)).await;
        Ok(Written {
            object: Some(patched.map_err(|error| told(&error))?),
            warnings: Vec::new(),
        })
    }
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

fn is_ownership(status: &Status) -> bool {
    let causes = status
        .details
        .as_ref()
        .map(|details| details.causes.as_slice())
        .unwrap_or_default();
    status.code == 409 && causes.iter().any(|cause| cause.reason == "FieldManagerConflict")
}
