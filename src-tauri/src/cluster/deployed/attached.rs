//! A sidecar in a pod that runs already: ephemeral containers, which are added to a pod and never taken out of it again. They
//! end when the sidecar is told to, and their rules with them. The pod carries the session's label for as long as they run.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use super::{
    INJECTOR, OWN_SIDECAR, Refusal, SESSION,
    forward::{broken_off, end},
    tried::refusal,
};
use crate::{
    cluster::{Cluster, Stands, connect::told, probe::state, write::MANAGER},
    fault::{Fault, Result},
};

/// By which a sidecar that has nothing mounted knows who may send it a policy, or end it.
pub const PUSH_TOKEN: &str = "EGRET_PUSH_TOKEN";

/// Longest that a sidecar that was told to end may take: it drains what is open.
const END: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);

impl Cluster {
    /// Tries to add `containers` to `pod`. Nothing is stored.
    pub fn try_attach(&self, namespace: &str, pod: &str, containers: &[Value]) -> Result<Option<Refusal>> {
        let pods = self.pods_in(namespace);
        let (pod, patch) = (pod.to_string(), added(containers));
        self.call(async move {
            let parameters = PatchParams {
                dry_run: true,
                ..by_hand()
            };
            let patch = Patch::Strategic(&patch);
            let tried = pods.patch_ephemeral_containers(&pod, &parameters, &patch).await;
            tried.map_or_else(refusal, |_| Ok(None))
        })
    }

    /// Marks `pod` as one of the session `id`, and adds `container` to it.
    pub fn attach(&self, namespace: &str, pod: &str, id: &str, container: &Value) -> Result<()> {
        self.unlocked()?;
        let pods = self.pods_in(namespace);
        let (pod, id, patch) = (pod.to_string(), id.to_string(), added(std::slice::from_ref(container)));
        self.call(async move {
            mark(&pods, &pod, Some(&id)).await?;
            let patch = Patch::Strategic(&patch);
            let added = pods.patch_ephemeral_containers(&pod, &by_hand(), &patch).await;
            added.map(drop).map_err(|error| told(&error))
        })
    }

    /// How the container `name` that was added to `pod` stands.
    pub fn attached(&self, namespace: &str, pod: &str, name: &str) -> Result<Stands> {
        let pods = self.pods_in(namespace);
        let (pod, name) = (pod.to_string(), name.to_string());
        self.call(async move {
            let live = pods.get(&pod).await.map_err(|error| told(&error))?;
            let statuses = live.status.and_then(|status| status.ephemeral_container_statuses);
            let own = statuses.into_iter().flatten().find(|status| status.name == name);
            let Some(own) = own else {
                return Ok(Stands::Waiting("the node to begin".into()));
            };
            let end = own.state.as_ref().and_then(|state| state.terminated.as_ref());
            Ok(match (state(&own), end.and_then(|end| end.message.clone())) {
                // What it said itself tells more than that it ended.
                (Stands::Failed(_), Some(said)) => Stands::Failed(said.trim().to_string()),
                (stands, _) => stands,
            })
        })
    }

    /// Ends what the session `id` added to `pod`, and returns when it has ended. A person agreed to that when it was added,
    /// so that it is done with editing off too. A pod that is gone has nothing that runs.
    pub fn detach(&self, namespace: &str, pod: &str, id: &str, port: u16) -> Result<()> {
        let pods = self.pods_in(namespace);
        let (pod, id) = (pod.to_string(), id.to_string());
        self.call_within(END + END, async move {
            let sidecar = attached_name(OWN_SIDECAR, &id);
            let mut told_to = false;
            let until = Instant::now() + END;
            while let Some(live) = pods.get_opt(&pod).await.map_err(|error| told(&error))? {
                let running = running(&live, &id);
                if running.is_empty() {
                    return mark(&pods, &pod, None).await;
                }
                if running.contains(&sidecar) && !told_to {
                    // One that ends meanwhile does not answer.
                    match end(&pods, &pod, port, &token(&live, &sidecar)).await {
                        Err(fault) if !broken_off(&fault) => return Err(fault),
                        Err(_) if Instant::now() < until => {}
                        outcome => {
                            outcome?;
                            told_to = true;
                        }
                    }
                }
                if Instant::now() > until {
                    return Err(
                        Fault::new("left", format!("Not ended yet in {pod}: {}.", running.join(", ")))
                            .hint("Deleting the pod ends it; its workload makes another one."),
                    );
                }
                sleep(LOOK).await;
            }
            Ok(())
        })
    }

    fn pods_in(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// What an added container is called: names are never given twice in a pod's life.
pub fn attached_name(name: &str, id: &str) -> String {
    format!("{name}-{id}")
}

fn added(containers: &[Value]) -> Value {
    json!({"spec": {"ephemeralContainers": containers}})
}

fn by_hand() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.into()),
        ..PatchParams::default()
    }
}

/// Sets the session's label, or takes it away: by server-side apply, so that nothing else of the pod is touched.
async fn mark(pods: &Api<Pod>, pod: &str, id: Option<&str>) -> Result<()> {
    // Applying to what is gone would try to make it anew.
    if pods.get_opt(pod).await.map_err(|error| told(&error))?.is_none() {
        return match id {
            Some(_) => Err(Fault::new("no-pod", format!("The pod {pod} is gone.")).hint("Check once more.")),
            None => Ok(()),
        };
    }
    let mut metadata = json!({"name": pod});
    if let Some(id) = id {
        metadata["labels"] = json!({SESSION: id});
    }
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata});
    let marked = pods
        .patch(pod, &PatchParams::apply(INJECTOR), &Patch::Apply(&object))
        .await;
    marked.map(drop).map_err(|error| told(&error))
}

/// Containers of the session that have not ended, without those that the node could not even begin: they end nothing that
/// they are told to.
fn running(pod: &Pod, id: &str) -> Vec<String> {
    let spec = pod
        .spec
        .iter()
        .flat_map(|spec| spec.ephemeral_containers.iter().flatten());
    let own = spec
        .map(|each| &each.name)
        .filter(|name| name.ends_with(&format!("-{id}")));
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.ephemeral_container_statuses.as_ref());
    let ended = |name: &&String| {
        let mut statuses = statuses.into_iter().flatten();
        statuses.any(|status| &&status.name == name && (has_ended(status) || never_began(status)))
    };
    own.filter(|name| !ended(name)).cloned().collect()
}

fn has_ended(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.terminated.is_some())
}

/// The node fails to begin it, as where its image cannot be fetched, and it has never run.
fn never_began(status: &ContainerStatus) -> bool {
    let has_run = status.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    let waits = status.state.as_ref().is_some_and(|state| state.waiting.is_some());
    waits && !has_run && matches!(state(status), Stands::Failed(_))
}

/// What the sidecar knows its sender by; the pod's spec says it, also to another window than the one that made it.
fn token(pod: &Pod, sidecar: &str) -> String {
    let spec = pod
        .spec
        .iter()
        .flat_map(|spec| spec.ephemeral_containers.iter().flatten());
    let mut variables = spec
        .filter(|each| each.name == sidecar)
        .flat_map(|each| each.env.iter().flatten());
    let token = variables.find(|variable| variable.name == PUSH_TOKEN);
    token.and_then(|token| token.value.clone()).unwrap_or_default()
}
