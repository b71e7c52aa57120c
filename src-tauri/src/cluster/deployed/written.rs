//! Writes the objects of a session, and takes them away. The ConfigMap comes first and goes last: a copy is its dependent,
//! and whatever is left is found by it.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    core::{DynamicObject, Status},
};
use serde_json::{Value, json};

use super::SESSION;
use crate::{
    cluster::{Cluster, connect::told, write::MANAGER},
    fault::{Fault, Result},
};

/// The field manager of what is put into somebody's workload: applying nothing under it takes all of that away.
pub const INJECTOR: &str = "egret-inject";

/// The container of a sidecar of Egret's own.
pub const OWN_SIDECAR: &str = "egret-proxy";

impl Cluster {
    /// The workload as the API server has it.
    pub fn workload_object(&self, kind: &str, namespace: &str, name: &str) -> Result<DynamicObject> {
        let api = self.workloads(kind, namespace)?;
        let name = name.to_string();
        self.call(async move { api.get(&name).await.map_err(|error| told(&error)) })
    }

    /// Writes the session's ConfigMap and gives its uid, by which those of its policy's parts are its dependents.
    pub fn put_session(&self, config_map: &Value) -> Result<String> {
        self.unlocked()?;
        let made = self.apply_config_map(config_map.clone())?;
        Ok(made.metadata.uid.unwrap_or_default())
    }

    /// Writes the ConfigMaps of a policy's parts.
    pub fn put_parts(&self, parts: &[Value]) -> Result<()> {
        parts
            .iter()
            .try_for_each(|part| self.apply_config_map(part.clone()).map(drop))
    }

    /// The same for the ConfigMap `uid` of a session that stands: its policy follows what a person does elsewhere, also
    /// with editing off. One that was deleted is not made anew. It is written after the parts that it lists.
    pub fn put_policy(&self, config_map: &Value, parts: &[Value], uid: &str) -> Result<()> {
        self.put_parts(parts)?;
        let mut config_map = config_map.clone();
        config_map["metadata"]["uid"] = json!(uid);
        self.apply_config_map(config_map).map(drop)
    }

    fn apply_config_map(&self, config_map: Value) -> Result<ConfigMap> {
        let (namespace, name) = place(&config_map)?;
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &namespace);
        self.call(async move {
            let parameters = PatchParams::apply(MANAGER).force();
            match maps.patch(&name, &parameters, &Patch::Apply(&config_map)).await {
                Ok(made) => Ok(made),
                Err(kube::Error::Api(status)) if is_another_ones(&status) => Err(Fault::new(
                    "gone",
                    format!("ConfigMap {namespace}/{name}, which holds the sidecar's policy, was deleted."),
                )
                .hint("Pods that start from now on have no policy. Stop the sidecar, and start it again.")),
                Err(error) => Err(told(&error)),
            }
        })
    }

    /// Makes the copy.
    pub fn put_copy(&self, deployment: &Value) -> Result<()> {
        self.unlocked()?;
        let (namespace, name) = place(deployment)?;
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &namespace);
        let object = deployment.clone();
        self.call(async move {
            let parameters = PatchParams::apply(MANAGER).force();
            let made = deployments.patch(&name, &parameters, &Patch::Apply(&object)).await;
            made.map(drop).map_err(|error| told(&error))
        })
    }

    /// Puts the sidecar into a workload. Nothing that another manager set is taken over.
    pub fn inject(&self, injection: &Value) -> Result<()> {
        self.unlocked()?;
        let (namespace, name) = place(injection)?;
        let api = self.workloads(injection["kind"].as_str().unwrap_or_default(), &namespace)?;
        let object = injection.clone();
        self.call(async move {
            let made = api
                .patch(&name, &PatchParams::apply(INJECTOR), &Patch::Apply(&object))
                .await;
            made.map(drop).map_err(|error| told(&error))
        })
    }

    /// Takes it out again, and gives the workload as it is then; `None` where it is gone. A person agreed to that when it
    /// was put there, so that it is done with editing off too.
    pub fn eject(&self, kind: &str, namespace: &str, name: &str) -> Result<Option<DynamicObject>> {
        let api = self.workloads(kind, namespace)?;
        let (nothing, name) = (no_fields(kind, namespace, name), name.to_string());
        self.call(async move {
            // Applying to what is gone would make it anew.
            if api.get_opt(&name).await.map_err(|error| told(&error))?.is_none() {
                return Ok(None);
            }
            let left = api
                .patch(&name, &PatchParams::apply(INJECTOR), &Patch::Apply(&nothing))
                .await;
            left.map(Some).map_err(|error| told(&error))
        })
    }

    /// Takes everything of the session `id` in `namespace` away but what is in a workload.
    pub fn delete_session(&self, namespace: &str, id: &str) -> Result<()> {
        // A copy is a dependent, but who collects dependents may be slow; and a ConfigMap may be gone without it.
        self.delete_copy(namespace, id)?;
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let own = own(id);
        self.call(async move { delete(&maps, &own).await })
    }

    /// Takes the copy of the session `id` away, where there is one.
    pub fn delete_copy(&self, namespace: &str, id: &str) -> Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        let own = own(id);
        self.call(async move { delete(&deployments, &own).await })
    }

    /// What is left of the session `id` in `namespace`, as names for a person; pods too, until they have ended.
    pub fn session_objects(&self, namespace: &str, id: &str) -> Result<Vec<String>> {
        let (client, namespace, own) = (self.client.clone(), namespace.to_string(), own(id));
        self.call(async move {
            let mut left = names::<Deployment>(&client, &namespace, &own).await?;
            left.extend(names::<ConfigMap>(&client, &namespace, &own).await?);
            left.extend(names::<Pod>(&client, &namespace, &own).await?);
            Ok(left)
        })
    }

    pub(super) fn workloads(&self, kind: &str, namespace: &str) -> Result<Api<DynamicObject>> {
        let resource = self.resource(kind)?;
        if resource.group != "apps" {
            return Err(Fault::input(format!("{kind} is no kind of a workload.")));
        }
        Ok(Api::namespaced_with(self.client.clone(), namespace, resource))
    }
}

/// A forced apply meets no other conflict than a uid that is nobody's (409) or another object's (422).
fn is_another_ones(status: &Status) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 409 || causes.any(|cause| cause.field == "metadata.uid")
}

/// Everything that a session made.
pub(super) fn own(id: &str) -> ListParams {
    ListParams::default().labels(&format!("{SESSION}={id}"))
}

async fn names<K>(client: &Client, namespace: &str, own: &ListParams) -> Result<Vec<String>>
where
    K: Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let all = api.list_metadata(own).await.map_err(|error| told(&error))?;
    let named = |name: Option<String>| format!("{} {}", K::kind(&()), name.unwrap_or_default());
    Ok(all.into_iter().map(|each| named(each.metadata.name)).collect())
}

/// One by one: who may delete an object may not always delete a collection.
async fn delete<K>(api: &Api<K>, own: &ListParams) -> Result<()>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + kube::Resource,
{
    let parameters = DeleteParams::background();
    for each in api.list_metadata(own).await.map_err(|error| told(&error))? {
        match api
            .delete(each.metadata.name.as_deref().unwrap_or_default(), &parameters)
            .await
        {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(told(&error)),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// A workload of which nothing is said: applied, it takes away what was applied before.
pub fn no_fields(kind: &str, namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}})
}

fn place(object: &Value) -> Result<(String, String)> {
    let named = |field: &str| Some(object["metadata"][field].as_str()?.to_string());
    named("namespace")
        .zip(named("name"))
        .ok_or_else(|| Fault::input("The object has no name."))
}
