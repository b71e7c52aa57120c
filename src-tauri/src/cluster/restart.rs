//! Rolling restarts: running pods keep the capture rules that they were born with. One workload after the other, as
//! `kubectl rollout restart` does it, until all of its pods are new; the first that fails ends it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::{
    Api,
    api::{Patch, PatchParams},
    core::DynamicObject,
};
use serde_json::{Value, json};
use tokio::{
    sync::Notify,
    time::{self, Instant},
};

use super::{
    Cluster,
    connect::told,
    pods::{Pod, Pods},
    write::MANAGER,
};
use crate::{
    change::Store as _,
    fault::{Fault, Result},
};

/// What `kubectl rollout restart` writes.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";
/// Kinds that roll.
const KINDS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];
/// Most workloads of one restart.
const MAX: usize = 1_000;
/// How often a rollout is looked at.
const LOOK: Duration = Duration::from_millis(400);
/// Longest that one workload may take; a Deployment's own deadline is usually shorter.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// A restart of several workloads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Restart {
    pub steps: Vec<RestartStep>,
    /// No further workload is begun until this is off again.
    pub paused: bool,
    /// Steps are left, and will be taken.
    pub running: bool,
}

/// One workload of a restart.
#[derive(Debug, Clone, PartialEq)]
pub struct RestartStep {
    /// Deployment, StatefulSet or DaemonSet.
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub state: StepState,
}

/// How far a workload is.
#[derive(Debug, Clone, PartialEq)]
pub enum StepState {
    Waiting,
    /// New and available pods, of how many.
    Rolling(u64, u64),
    Done,
    Failed(Fault),
    /// Not begun: stopped before, or another one failed.
    Left,
}

/// The newest restart of a cluster.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    inner: Mutex<Restart>,
    pub changed: Notify,
}

impl Restarts {
    fn lock(&self) -> MutexGuard<'_, Restart> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, index: usize, state: StepState) {
        let mut restart = self.lock();
        if restart.steps[index].state != state {
            restart.steps[index].state = state;
            self.changed.notify_one();
        }
    }

    fn end(&self) {
        let mut restart = self.lock();
        restart.running = false;
        for step in &mut restart.steps {
            if step.state == StepState::Waiting {
                step.state = StepState::Left;
            }
        }
        self.changed.notify_one();
    }
}

impl Cluster {
    /// The newest restart.
    pub fn restart(&self) -> Restart {
        self.restarts.lock().clone()
    }

    /// Begins to restart `workloads`, each kind, namespace and name, in this order.
    pub fn begin_restart(&self, workloads: Vec<(String, String, String)>) -> Result<()> {
        if let Some(reason) = self.locked() {
            return Err(Fault::new("read-only", reason));
        }
        if workloads.is_empty() || workloads.len() > MAX {
            return Err(Fault::input(format!("Between 1 and {MAX} workloads are expected.")));
        }
        let mut steps = Vec::new();
        for (kind, namespace, name) in workloads {
            if !KINDS.contains(&kind.as_str()) {
                return Err(Fault::new(
                    "kind",
                    format!("{namespace}/{name} is made by a {kind}: it does not roll."),
                )
                .hint("Delete its pods when it suits; what made them makes new ones."));
            }
            steps.push(RestartStep {
                kind,
                namespace,
                name,
                state: StepState::Waiting,
            });
        }
        let mut restart = self.restarts.lock();
        if restart.running {
            return Err(Fault::new("busy", "A restart is under way.").hint("Stop it, or wait for its end."));
        }
        let rollouts = steps
            .iter()
            .map(|step| self.rollout(step))
            .collect::<Result<Vec<_>>>()?;
        *restart = Restart {
            steps,
            paused: false,
            running: true,
        };
        drop(restart);
        self.restarts.changed.notify_one();
        let restarts = self.restarts.clone();
        self.spawn(async move {
            for (index, rollout) in rollouts.into_iter().enumerate() {
                while restarts.lock().paused && restarts.lock().running {
                    time::sleep(LOOK).await;
                }
                if !restarts.lock().running {
                    break;
                }
                let outcome = rollout
                    .run(|new, all| restarts.set(index, StepState::Rolling(new, all)))
                    .await;
                let failed = outcome.is_err();
                restarts.set(index, outcome.map_or_else(StepState::Failed, |()| StepState::Done));
                if failed {
                    break;
                }
            }
            restarts.end();
        });
        Ok(())
    }

    /// Begins no further workload, or goes on. What rolls already rolls on.
    pub fn pause_restart(&self, paused: bool) {
        self.restarts.lock().paused = paused;
        self.restarts.changed.notify_one();
    }

    /// Begins no further workload, for good.
    pub fn stop_restart(&self) {
        let rolls = |step: &RestartStep| matches!(step.state, StepState::Rolling(..));
        let restart = self.restarts.lock();
        let is_rolling = restart.steps.iter().any(rolls);
        drop(restart);
        if is_rolling {
            let mut restart = self.restarts.lock();
            restart.running = false;
            drop(restart);
            self.restarts.changed.notify_one();
        } else {
            self.restarts.end();
        }
    }

    fn rollout(&self, step: &RestartStep) -> Result<Rollout> {
        let resource = self.resource(&step.kind)?;
        Ok(Rollout {
            api: Api::namespaced_with(self.client.clone(), &step.namespace, resource),
            pods: self.pods.clone(),
            step: step.clone(),
        })
    }
}

struct Rollout {
    api: Api<DynamicObject>,
    pods: Arc<Pods>,
    step: RestartStep,
}

/// What a workload's own status says of its rollout.
#[derive(Debug, PartialEq)]
enum Progress {
    Rolling(u64, u64),
    Done,
    Failed(String),
}

impl Rollout {
    async fn run(&self, progress: impl Fn(u64, u64)) -> Result<()> {
        let RestartStep { kind, name, .. } = &self.step;
        let live = self.api.get(name).await.map_err(|error| told(&error))?;
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
        self.api
            .patch(name, &parameters, &Patch::Merge(&patch))
            .await
            .map_err(|error| told(&error))?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            // A server that is away for a moment does not end a rollout.
            if let Ok(live) = self.api.get(name).await {
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
fn unable(kind: &str, data: &Value) -> Option<&'static str> {
    if kind == "Deployment" && data["spec"]["paused"] == true {
        return Some("is paused: resume it first with kubectl rollout resume.");
    }
    let on_delete = data["spec"]["updateStrategy"]["type"] == "OnDelete";
    on_delete.then_some("has the update strategy OnDelete: delete its pods when it suits.")
}

/// As `kubectl rollout status` reads it.
fn status(kind: &str, live: &DynamicObject) -> Progress {
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
    use super::*;

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
}
