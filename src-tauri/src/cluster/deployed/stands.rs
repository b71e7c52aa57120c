//! How far the pods of a session are.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
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
        Progress::Failed(words) => {
            let words = match waiting {
                // Kubernetes says that it took too long, not what did.
                Some(waiting) => format!("{words} It waited for {waiting}."),
                None => words,
            };
            ((0, 0), Stands::Failed(failed.unwrap_or(words)))
        }
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
    let end = now.terminated.as_ref().or(last);
    let given_up = now.waiting.and_then(|waiting| waiting.reason).as_deref() == Some("CrashLoopBackOff");
    match (state(status), end) {
        (Stands::Failed(_), Some(end)) if is_killed(end) => match given_up {
            true => Stands::Failed(killed(end)),
            // The node starts it again, and says so when it has done that too often.
            false => Stands::Waiting(format!("the node to start it again; {}", killed(end))),
        },
        // What it said itself tells more than that it ended.
        (Stands::Failed(words), Some(end)) => Stands::Failed(said(end).unwrap_or(words)),
        // False before its startup probe has succeeded, and as long as what only begins a pod goes on.
        (Stands::Ready, _) if status.started == Some(false) => Stands::Waiting("it to have started".into()),
        (stands, _) => stands,
    }
}

fn said(end: &ContainerStateTerminated) -> Option<String> {
    let said = end.message.as_deref().map(str::trim);
    said.filter(|said| !said.is_empty()).map(shortened)
}

/// Ended by a signal, as by the kernel where memory runs out: what it said last is not why.
fn is_killed(end: &ContainerStateTerminated) -> bool {
    // As a shell counts: 128 and the number of one of its 64 signals.
    (129..=192).contains(&end.exit_code)
}

fn killed(end: &ContainerStateTerminated) -> String {
    format!(
        "it was killed ({}, {})",
        end.exit_code,
        end.reason.as_deref().unwrap_or("no reason")
    )
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
    fn one_that_is_killed_is_waited_for_and_one_that_is_killed_again_and_again_is_told_as_killed() {
        let end = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled", "message": "listens"}});
        let once = pod(json!([status("egret-proxy", end.clone(), json!({}))]), false);
        assert_eq!(
            stands(Progress::Rolling(0, 1), &[once]).stands,
            Stands::Waiting("cart-1, egret-proxy: the node to start it again; it was killed (137, OOMKilled)".into())
        );
        let hook = json!({"waiting": {"reason": "PostStartHookError", "message": "exit code 7"}});
        let hooked = pod(json!([status("egret-proxy", hook, end.clone())]), false);
        assert!(matches!(
            stands(Progress::Rolling(0, 1), &[hooked]).stands,
            Stands::Waiting(_)
        ));
        let waits = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
        let often = pod(json!([status("egret-proxy", waits, end)]), false);
        assert_eq!(
            stands(Progress::Rolling(0, 1), &[often]).stands,
            Stands::Failed("cart-1, egret-proxy: it was killed (137, OOMKilled)".into())
        );
    }

    #[test]
    fn a_rollout_that_is_given_up_says_what_it_waited_for() {
        let mut proxy = status("egret-proxy", json!({"running": {}}), json!({}));
        proxy["started"] = json!(false);
        let waits = status(
            "egret-capture",
            json!({"waiting": {"reason": "PodInitializing"}}),
            json!({}),
        );
        let silent = [pod(json!([proxy, waits]), false)];
        let what = "cart-1, egret-proxy: it to have started";
        assert_eq!(
            stands(Progress::Rolling(0, 1), &silent).stands,
            Stands::Waiting(what.into())
        );
        let given_up = Progress::Failed("ReplicaSet \"cart\" has timed out progressing.".into());
        assert_eq!(
            stands(given_up, &silent).stands,
            Stands::Failed(format!(
                "ReplicaSet \"cart\" has timed out progressing. It waited for {what}."
            ))
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
