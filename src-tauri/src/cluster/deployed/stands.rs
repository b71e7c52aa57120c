//! How far the pods of a session are.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::Api;

use super::written::own;
use crate::{
    cluster::{
        Cluster, Stands,
        connect::told,
        pods::is_ready,
        probe::state,
        rollout::{Progress, status},
    },
    fault::Result,
};

/// What a session's pods wait for, or what they fail at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodsStand {
    pub stands: Stands,
    /// Ready pods, of how many there will be.
    pub ready: (u64, u64),
    /// Names of the pods that are there.
    pub pods: Vec<String>,
}

impl Cluster {
    /// How the workload `kind` `name`, which has the sidecar of the session `id`, stands.
    pub fn session_stands(&self, kind: &str, namespace: &str, name: &str, id: &str) -> Result<PodsStand> {
        let workloads = self.workloads(kind, namespace)?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let (kind, name, own) = (kind.to_string(), name.to_string(), own(id));
        self.call(async move {
            let live = workloads.get(&name).await.map_err(|error| told(&error))?;
            let pods = pods.list(&own).await.map_err(|error| told(&error))?;
            Ok(stands(status(&kind, &live), &pods.items))
        })
    }
}

fn stands(progress: Progress, pods: &[Pod]) -> PodsStand {
    let going = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none();
    let names: Vec<String> = pods
        .iter()
        .filter(going)
        .filter_map(|pod| pod.metadata.name.clone())
        .collect();
    let worst = pods.iter().filter(going).map(pod_stands);
    let mut waiting = None;
    let mut failed = None;
    for each in worst {
        match each {
            Stands::Ready => {}
            Stands::Waiting(words) => waiting = waiting.or(Some(words)),
            Stands::Failed(words) => failed = failed.or(Some(words)),
        }
    }
    let (ready, stands) = match progress {
        Progress::Failed(words) => ((0, 0), Stands::Failed(failed.unwrap_or(words))),
        Progress::Rolling(new, all) => {
            let waits = || Stands::Waiting(waiting.unwrap_or_else(|| "the pods to be made".into()));
            ((new, all), failed.map_or_else(waits, Stands::Failed))
        }
        Progress::Done => ((names.len() as u64, names.len() as u64), Stands::Ready),
    };
    PodsStand {
        stands,
        ready,
        pods: names,
    }
}

/// The first container of a pod that does not run yet, in the order in which they start.
fn pod_stands(pod: &Pod) -> Stands {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.clone().unwrap_or_default();
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        return Stands::Waiting(format!(
            "a node for {name}: {}",
            condition.message.as_deref().unwrap_or("none fits")
        ));
    }
    let all = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten();
    for container in all {
        match container_stands(container) {
            Stands::Ready => {}
            Stands::Waiting(words) => return Stands::Waiting(format!("{name}, {}: {words}", container.name)),
            Stands::Failed(words) => return Stands::Failed(format!("{name}, {}: {words}", container.name)),
        }
    }
    match is_ready(pod) {
        true => Stands::Ready,
        false => Stands::Waiting(format!("{name} to be ready")),
    }
}

fn container_stands(status: &ContainerStatus) -> Stands {
    let now = status.state.clone().unwrap_or_default();
    // An init container that did its work has ended well.
    if now.terminated.as_ref().is_some_and(|end| end.exit_code == 0) {
        return Stands::Ready;
    }
    let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    let said = now.terminated.as_ref().or(last);
    let said = said
        .and_then(|end| end.message.as_deref())
        .map(str::trim)
        .filter(|said| !said.is_empty());
    match (state(status), said) {
        // What it said itself tells more than that it ended.
        (Stands::Failed(_), Some(said)) => Stands::Failed(shortened(said)),
        (stands, _) => stands,
    }
}

/// A container may say much: its end is what it ended with.
fn shortened(said: &str) -> String {
    const MOST: usize = 600;
    match said.char_indices().nth_back(MOST) {
        Some((at, _)) => format!("…{}", &said[at..]),
        None => said.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(init: Value, ready: bool) -> Pod {
        let ready = if ready { "True" } else { "False" };
        serde_json::from_value(
            json!({"metadata": {"name": "cart-1"}, "spec": {"containers": []}, "status": {
            "conditions": [{"type": "Ready", "status": ready}], "initContainerStatuses": init}}),
        )
        .unwrap()
    }

    fn status(name: &str, state: Value, last: Value) -> Value {
        json!({"name": name, "state": state, "lastState": last, "image": "egret", "imageID": "", "ready": false,
            "restartCount": 0})
    }

    #[test]
    fn an_init_container_that_fails_is_told_in_its_own_words() {
        let end = json!({"terminated": {"exitCode": 1, "message": "The kernel has no nf_tables.\n"}});
        let waits = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
        let proxy = status("egret-proxy", json!({"running": {}}), json!({}));
        let failing = pod(json!([proxy, status("egret-capture", waits, end)]), false);
        assert_eq!(
            stands(Progress::Rolling(0, 1), &[failing]).stands,
            Stands::Failed("cart-1, egret-capture: The kernel has no nf_tables.".into())
        );
    }

    #[test]
    fn an_init_container_that_did_its_work_holds_nothing_up() {
        let done = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
        let one = pod(json!([status("egret-capture", done, json!({}))]), true);
        let found = stands(Progress::Done, &[one]);
        assert_eq!((found.stands, found.ready), (Stands::Ready, (1, 1)));
    }
}
