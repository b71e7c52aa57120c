//! curl for workloads that have none: an ephemeral container in one of their pods, or a Deployment of Egret's own. Both do
//! nothing but wait for commands; nothing here waits for long, so that who asks can stop.

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ContainerState, ContainerStatus, Pod, ServiceAccount},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Cluster, Place,
    connect::told,
    pods::is_ready,
    write::{MADE_BY, MANAGER},
};
use crate::{
    change::Store as _,
    fault::{Fault, Result},
};

/// What Egret's own Deployment and ServiceAccount are called, and how the names of its containers begin.
pub const PROBE: &str = "egret-probe";
/// Seconds after which an added container ends by itself: it cannot be removed.
const ADDED_LIVES: &str = "3600";

/// How something that was started stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stands {
    Ready,
    /// Not yet: what is waited for.
    Waiting(String),
    /// It will not come up by itself.
    Failed(String),
}

impl Cluster {
    /// Adds a container of `image` to the pod of `place` and gives its name.
    pub fn add_container(&self, place: &Place, image: &str) -> Result<String> {
        self.unlocked()?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &place.namespace);
        let (pod, image) = (place.pod.clone(), image.to_string());
        self.call(async move {
            let live = pods.get(&pod).await.map_err(|error| told(&error))?;
            let known = live
                .spec
                .into_iter()
                .flat_map(|spec| spec.ephemeral_containers.unwrap_or_default());
            let name = next_name(known.map(|container| container.name));
            let patch = json!({"spec": {"ephemeralContainers": [container(&name, &image, &["sleep", ADDED_LIVES])]}});
            let parameters = PatchParams {
                field_manager: Some(MANAGER.into()),
                ..PatchParams::default()
            };
            pods.patch_ephemeral_containers(&pod, &parameters, &Patch::Strategic(&patch))
                .await
                .map_err(|error| told(&error))?;
            Ok(name)
        })
    }

    /// How the added container `name` stands.
    pub fn added_container(&self, place: &Place, name: &str) -> Result<Stands> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &place.namespace);
        let (pod, name) = (place.pod.clone(), name.to_string());
        self.call(async move {
            let live = pods.get(&pod).await.map_err(|error| told(&error))?;
            let statuses = live.status.and_then(|status| status.ephemeral_container_statuses);
            let own = statuses.into_iter().flatten().find(|status| status.name == name);
            Ok(own.map_or_else(|| Stands::Waiting("the node to begin".into()), |own| state(&own)))
        })
    }

    /// Makes, or brings up to date, Egret's Deployment and ServiceAccount in `namespace`.
    pub fn deploy_probe(&self, namespace: &str, image: &str) -> Result<()> {
        self.unlocked()?;
        let (client, namespace, image) = (self.client.clone(), namespace.to_string(), image.to_string());
        self.call(async move {
            own::<Deployment>(&client, &namespace).await?;
            own::<ServiceAccount>(&client, &namespace).await?;
            let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
            // A closed registry's credentials are usually the default account's. Only their names are read, and who may not
            // read them may still not need them.
            let default = accounts.get("default").await.ok();
            let secrets = default
                .and_then(|account| account.image_pull_secrets)
                .unwrap_or_default();
            put::<ServiceAccount>(&client, &namespace, account()).await?;
            put::<Deployment>(&client, &namespace, deployment(&image, json!(secrets))).await
        })
    }

    /// How the Deployment's pod in `namespace` stands.
    pub fn probe(&self, namespace: &str) -> Result<Stands> {
        let (client, namespace) = (self.client.clone(), namespace.to_string());
        self.call(async move {
            let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
            let deployment = deployments.get(PROBE).await.map_err(|error| told(&error))?;
            let pods: Api<Pod> = Api::namespaced(client, &namespace);
            let own = ListParams::default().labels(&format!("app={PROBE}"));
            let pods = pods.list(&own).await.map_err(|error| told(&error))?;
            Ok(rollout(&deployment, &pods.items))
        })
    }

    /// Takes Egret's Deployment and ServiceAccount out of `namespace`. What is gone already is not missed.
    pub fn remove_probe(&self, namespace: &str) -> Result<()> {
        self.unlocked()?;
        let (client, namespace) = (self.client.clone(), namespace.to_string());
        self.call(async move {
            let deployment = own::<Deployment>(&client, &namespace).await?;
            let account = own::<ServiceAccount>(&client, &namespace).await?;
            remove::<Deployment>(&client, &namespace, deployment).await?;
            remove::<ServiceAccount>(&client, &namespace, account).await
        })
    }

    /// A fault unless a person has editing switched on.
    pub fn unlocked(&self) -> Result<()> {
        match self.locked() {
            Some(reason) => Err(Fault::new("read-only", reason)),
            None => Ok(()),
        }
    }
}

/// The first name that no container of the pod had before: names are never given twice in a pod's life.
fn next_name(known: impl Iterator<Item = String>) -> String {
    let number = |name: String| name.strip_prefix(PROBE)?.strip_prefix('-')?.parse::<u32>().ok();
    let last = known.filter_map(number).max().unwrap_or(0);
    format!("{PROBE}-{}", last.saturating_add(1))
}

/// A container that passes the strictest Pod Security Standard. Its user is set: as 1337, the sidecar's, nothing that it
/// sends would be captured.
fn container(name: &str, image: &str, command: &[&str]) -> Value {
    json!({"name": name, "image": image, "imagePullPolicy": "IfNotPresent", "command": command, "securityContext": {
        "runAsUser": 65534, "runAsGroup": 65534, "runAsNonRoot": true, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}})
}

fn labels() -> Value {
    json!({"app": PROBE, MADE_BY.0: MADE_BY.1})
}

fn account() -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": PROBE, "labels": labels()},
        "automountServiceAccountToken": false})
}

fn deployment(image: &str, secrets: Value) -> Value {
    let mut container = container("probe", image, &["sleep", "infinity"]);
    container["resources"] = json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": PROBE, "labels": labels()}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"app": PROBE}}, "template": {"metadata": {"labels": labels()}, "spec": {
            "serviceAccountName": PROBE, "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
            "imagePullSecrets": secrets, "containers": [container]}}}})
}

/// Egret's object of this kind in `namespace`, `None` where there is none. Somebody else's of that name is a fault.
async fn own<K>(client: &Client, namespace: &str) -> Result<Option<ObjectMeta>>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(PROBE).await.map_err(|error| told(&error))?;
    let Some(metadata) = found.map(|found| found.meta().clone()) else {
        return Ok(None);
    };
    let labels = metadata.labels.as_ref();
    if labels.and_then(|labels| labels.get(MADE_BY.0)).map(String::as_str) != Some(MADE_BY.1) {
        return Err(Fault::new(
            "taken",
            format!("{namespace} has a {} {PROBE} that Egret did not make.", K::kind(&())),
        )
        .hint("It is left alone. Choose another namespace."));
    }
    Ok(Some(metadata))
}

async fn put<K>(client: &Client, namespace: &str, object: Value) -> Result<()>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Serialize,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    // It is Egret's own: what another tool set in it is taken over.
    let parameters = PatchParams::apply(MANAGER).force();
    api.patch(PROBE, &parameters, &Patch::Apply(&object))
        .await
        .map_err(|error| told(&error))?;
    Ok(())
}

async fn remove<K>(client: &Client, namespace: &str, seen: Option<ObjectMeta>) -> Result<()>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let Some(seen) = seen else { return Ok(()) };
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    // Its pods go too; and only the very object that was looked at.
    let parameters = DeleteParams {
        preconditions: Some(kube::api::Preconditions {
            uid: seen.uid,
            resource_version: None,
        }),
        ..DeleteParams::background()
    };
    match api.delete(PROBE, &parameters).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(told(&error)),
        Ok(_) => Ok(()),
    }
}

pub(super) fn state(status: &ContainerStatus) -> Stands {
    let ended = |code: i32, reason: &str| Stands::Failed(format!("it ended at once with {code} ({reason})"));
    match status.state.clone().unwrap_or_default() {
        ContainerState { running: Some(_), .. } => Stands::Ready,
        ContainerState {
            terminated: Some(end), ..
        } => ended(end.exit_code, end.reason.as_deref().unwrap_or("no reason")),
        ContainerState {
            waiting: Some(waiting), ..
        } => {
            let reason = waiting.reason.unwrap_or_default();
            let words = waiting.message.unwrap_or_default();
            match reason.as_str() {
                // The kubelet tries again for ever, but what it says now it will say then.
                "ErrImagePull"
                | "ImagePullBackOff"
                | "ErrImageNeverPull"
                | "InvalidImageName"
                | "CreateContainerError"
                | "CreateContainerConfigError"
                | "RunContainerError"
                | "CrashLoopBackOff" => Stands::Failed(format!("{reason}: {words}")),
                "PodInitializing" => Stands::Waiting("what the pod starts with".into()),
                _ => Stands::Waiting(format!("the node to fetch {}", status.image)),
            }
        }
        ContainerState { .. } => Stands::Waiting("the node to begin".into()),
    }
}

/// A rollout is done when a pod is ready, its sidecar too; before that, the worst that anything of it says.
fn rollout(deployment: &Deployment, pods: &[Pod]) -> Stands {
    let mut conditions = deployment
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    if let Some(condition) = conditions.find(|each| each.type_ == "ReplicaFailure" && each.status == "True") {
        return Stands::Failed(condition.message.clone().unwrap_or_default());
    }
    if pods.iter().any(is_ready) {
        return Stands::Ready;
    }
    let statuses = pods.iter().flat_map(|pod| pod.status.iter()).flat_map(|status| {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    });
    let mut waiting = None;
    for status in statuses {
        match state(status) {
            // An init container that has done its work is no failure.
            Stands::Failed(words) if status.state.as_ref().is_some_and(|state| state.terminated.is_none()) => {
                return Stands::Failed(format!("{}: {words}", status.name));
            }
            Stands::Waiting(what) => waiting = Some(what),
            _ => {}
        }
    }
    let begun = pods.iter().any(|pod| {
        let status = pod.status.as_ref();
        status.is_some_and(|status| status.container_statuses.is_some())
    });
    let rest = if begun {
        "the pod to be ready"
    } else {
        "a node to take it"
    };
    Stands::Waiting(waiting.unwrap_or_else(|| rest.into()))
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
