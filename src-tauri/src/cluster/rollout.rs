//! One workload's rollout: begun as `kubectl rollout restart` does, and followed as `kubectl rollout status` does.

use std::{collections::HashSet, sync::Arc, time::Duration};

use kube::{
    Api,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::{Value, json};
use tokio::time::{self, Instant};

use super::{
    pods::{Pod, Pods},
    pulse::answered,
    restart::{LOOK, RestartStep},
    write::MANAGER,
};
use crate::fault::{Fault, Result};

/// What `kubectl rollout restart` writes.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";
/// Longest that one workload may take; a Deployment's own deadline is usually shorter.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// The rollout of one workload.
pub(super) struct Rollout {
    pub api: Api<DynamicObject>,
    pub pods: Arc<Pods>,
    pub step: RestartStep,
}

/// What a workload's own status says of its rollout.
#[derive(Debug, PartialEq)]
pub(super) enum Progress {
    Rolling(u64, u64),
    Done,
    Failed(String),
}

impl Rollout {
    /// Restarts the workload and waits until all of its pods are new; `progress` gets new and all pods.
    pub async fn run(&self, progress: impl Fn(u64, u64)) -> Result<()> {
        let RestartStep { kind, name, .. } = &self.step;
        let live = answered(self.api.get(name)).await?;
        if let Some(reason) = unable(kind, &live.data) {
            return Err(Fault::new("rollout", format!("{kind} {name} {reason}")));
        }
        let before: HashSet<String> = self.own_pods().map(|pod| pod.name).collect();
        let now = crate::session::now();
        let patch = json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED: now}}}}});
        let parameters = PatchParams {
            field_manager: Some(MANAGER.into()),
            ..PatchParams::default()
        };
        answered(self.api.patch(name, &parameters, &Patch::Merge(&patch))).await?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            // A server that is away for a moment does not end a rollout.
            if let Ok(live) = answered(self.api.get(name)).await {
                match status(kind, &live) {
                    Progress::Rolling(new, all) => progress(new, all),
                    Progress::Done => return Ok(()),
                    Progress::Failed(reason) => return Err(self.failed(&reason)),
                }
            }
            // The control plane gives up after minutes only, while the old pods go on serving.
            let stuck = self
                .own_pods()
                .find(|pod| !before.contains(&pod.name) && pod.trouble.is_some());
            if let Some(Pod {
                name,
                trouble: Some(reason),
                ..
            }) = stuck
            {
                return Err(self.failed(&format!("its new pod {name} does not start: {reason}.")));
            }
            time::sleep(LOOK).await;
        }
        Err(self.failed(&format!("it did not end within {} minutes.", PATIENCE.as_secs() / 60)))
    }

    fn own_pods(&self) -> impl Iterator<Item = Pod> {
        let RestartStep {
            kind, namespace, name, ..
        } = self.step.clone();
        let all = self.pods.all().into_iter();
        all.filter(move |pod| pod.kind == kind && pod.workload.namespace == namespace && pod.workload.name == name)
    }

    fn failed(&self, reason: &str) -> Fault {
        let RestartStep {
            kind, namespace, name, ..
        } = &self.step;
        let of = format!("{}/{name} --namespace {namespace}", kind.to_ascii_lowercase());
        Fault::new("rollout", format!("{kind} {namespace}/{name}: {reason}")).hint(format!(
            "To see more: kubectl rollout status {of}. To go back: kubectl rollout undo {of}."
        ))
    }
}

/// Why a workload would not roll when its template changes.
pub(super) fn unable(kind: &str, data: &Value) -> Option<&'static str> {
    if kind == "Deployment" && data["spec"]["paused"] == true {
        return Some("is paused: resume it first with kubectl rollout resume.");
    }
    let on_delete = data["spec"]["updateStrategy"]["type"] == "OnDelete";
    on_delete.then_some("has the update strategy OnDelete: delete its pods when it suits.")
}

/// As `kubectl rollout status` reads it.
pub(super) fn status(kind: &str, live: &DynamicObject) -> Progress {
    let (spec, status) = (&live.data["spec"], &live.data["status"]);
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let wanted = spec["replicas"].as_u64().unwrap_or(1);
    let (all, new, available, old) = match kind {
        "DaemonSet" => (
            number(&status["desiredNumberScheduled"]),
            number(&status["updatedNumberScheduled"]),
            number(&status["numberAvailable"]),
            0,
        ),
        "StatefulSet" => {
            let kept = number(&spec["updateStrategy"]["rollingUpdate"]["partition"]);
            let all = wanted.saturating_sub(kept);
            let new = number(&status["updatedReplicas"]);
            let ready = number(&status["readyReplicas"]).saturating_sub(kept);
            (all, new, ready, 0)
        }
        _ => {
            let new = number(&status["updatedReplicas"]);
            let old = number(&status["replicas"]).saturating_sub(new);
            (wanted, new, number(&status["availableReplicas"]), old)
        }
    };
    let seen = status["observedGeneration"].as_i64() >= live.metadata.generation;
    if !seen {
        return Progress::Rolling(0, all);
    }
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let failed = conditions.into_iter().find(|condition| {
        condition["reason"] == "ProgressDeadlineExceeded"
            || condition["type"] == "ReplicaFailure" && condition["status"] == "True"
    });
    if let Some(failed) = failed {
        return Progress::Failed(failed["message"].as_str().unwrap_or("The rollout failed.").to_string());
    }
    match new >= all && available >= all && old == 0 {
        true => Progress::Done,
        false => Progress::Rolling(new.min(available), all),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::{ApiResource, GroupVersionKind};
    use tokio::runtime::Builder;

    use super::{
        super::{
            connect::UNREACHABLE,
            pulse::{LATE, tests::falls_silent},
            restart::StepState,
        },
        *,
    };

    fn live(generation: i64, spec: Value, status: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "X", "metadata": {"name": "x", "generation": generation},
            "spec": spec, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_rollout_has_ended_when_all_pods_are_new_and_available() {
        let two = json!({"replicas": 2});
        let seen = |new: u64, all: u64, available: u64| {
            json!({"observedGeneration": 2, "updatedReplicas": new, "replicas": all, "availableReplicas": available,
                "readyReplicas": available})
        };
        for (kind, spec, status_is, expected) in [
            (
                "Deployment",
                &two,
                json!({"observedGeneration": 1, "updatedReplicas": 2}),
                Progress::Rolling(0, 2),
            ),
            ("Deployment", &two, seen(1, 3, 2), Progress::Rolling(1, 2)),
            ("Deployment", &two, seen(2, 3, 3), Progress::Rolling(2, 2)),
            ("Deployment", &two, seen(2, 2, 1), Progress::Rolling(1, 2)),
            ("Deployment", &two, seen(2, 2, 2), Progress::Done),
            ("StatefulSet", &two, seen(2, 2, 1), Progress::Rolling(1, 2)),
            ("StatefulSet", &two, seen(2, 2, 2), Progress::Done),
            (
                "StatefulSet",
                &json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}}),
                seen(1, 3, 3),
                Progress::Done,
            ),
            (
                "DaemonSet",
                &json!({}),
                json!({"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 2, "numberAvailable": 3}),
                Progress::Rolling(2, 3),
            ),
            ("Deployment", &json!({"replicas": 0}), seen(0, 0, 0), Progress::Done),
        ] {
            let found = status(kind, &live(2, spec.clone(), status_is.clone()));
            assert_eq!(found, expected, "{kind} {spec} {status_is}");
        }
    }

    #[test]
    fn a_rollout_that_the_control_plane_gave_up_has_failed_with_its_words() {
        for condition in [
            json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "m"}),
            json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "m"}),
        ] {
            let found = status(
                "Deployment",
                &live(
                    1,
                    json!({}),
                    json!({"observedGeneration": 1, "conditions": [condition]}),
                ),
            );
            assert_eq!(found, Progress::Failed("m".into()));
        }
    }

    #[test]
    fn what_does_not_roll_by_itself_says_so() {
        assert!(unable("Deployment", &json!({"spec": {"paused": true}})).is_some());
        assert!(unable("DaemonSet", &json!({"spec": {"updateStrategy": {"type": "OnDelete"}}})).is_some());
        assert!(
            unable(
                "StatefulSet",
                &json!({"spec": {"updateStrategy": {"type": "RollingUpdate"}}})
            )
            .is_none()
        );
    }

    #[test]
    fn whatever_a_silent_api_server_is_asked_a_rollout_does_not_wait_for_it_for_ever() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let deployment = json!({"metadata": {"name": "cart", "generation": 1}, "spec": {"replicas": 1}});
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
        let rolls = |after: usize| {
            let (client, asked_rx) = falls_silent(after, &deployment);
            let rollout = Rollout {
                api: Api::namespaced_with(client, "shop", &resource),
                pods: Arc::default(),
                step: RestartStep {
                    kind: "Deployment".into(),
                    namespace: "shop".into(),
                    name: "cart".into(),
                    state: StepState::Waiting,
                },
            };
            let ends = async move { time::timeout(LATE * 20, rollout.run(|_, _| {})).await };
            (ends, asked_rx)
        };
        runtime.block_on(async {
            // Silent where it is read, where it is begun, and where it is looked at.
            let ((read, _), (begun, _), (looked, mut asked_rx)) = (rolls(0), rolls(1), rolls(2));
            let again = async {
                for _ in 0..4 {
                    asked_rx.recv().await.unwrap();
                }
            };
            let looked = async {
                tokio::select! {
                    ended = looked => panic!("{ended:?}"),
                    () = again => {}
                }
            };
            let (read, begun, ()) = tokio::join!(read, begun, looked);
            for ended in [read, begun] {
                assert_eq!(ended.expect("it waits").unwrap_err().code, UNREACHABLE);
            }
        });
    }
}
