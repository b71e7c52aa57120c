//! Rolling restarts: running pods keep the capture rules that they were born with. One workload after the other, as
//! `kubectl rollout restart` does it, until all of its pods are new; the first that fails ends it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::Api;
use tokio::{sync::Notify, time};

use super::{Cluster, kinds::ROLLING, rollout::Rollout};
use crate::{
    change::Store as _,
    fault::{Fault, Result},
};

/// Most workloads of one restart.
const MAX: usize = 1_000;
/// How often a rollout is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(400);

/// A restart of several workloads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Restart {
    pub steps: Vec<RestartStep>,
    /// No further workload is begun until this is off again.
    pub paused: bool,
    /// Steps are left, and will be taken.
    pub running: bool,
    /// Counts restarts: one that was stopped may still wait for its last workload when the next one begins.
    number: u64,
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

    /// Another restart takes the place of the one before; gives its number.
    fn begin(&self, restart: &mut Restart, steps: Vec<RestartStep>) -> u64 {
        *restart = Restart {
            steps,
            paused: false,
            running: true,
            number: restart.number + 1,
        };
        self.changed.notify_one();
        restart.number
    }

    fn set(&self, number: u64, index: usize, state: StepState) {
        let mut restart = self.lock();
        if restart.number == number && restart.steps[index].state != state {
            restart.steps[index].state = state;
            self.changed.notify_one();
        }
    }

    /// Whether the restart `number` takes its next step: `None` while it is paused.
    fn goes_on(&self, number: u64) -> Option<bool> {
        let restart = self.lock();
        let goes_on = restart.running && restart.number == number;
        (!goes_on || !restart.paused).then_some(goes_on)
    }

    fn end(&self, number: u64) {
        let mut restart = self.lock();
        if restart.number != number {
            return;
        }
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

    /// Begins to restart `workloads`, each kind, namespace and name, in this order. `ended` hears what came of each.
    pub fn begin_restart(
        &self,
        workloads: Vec<(String, String, String)>,
        ended: impl FnOnce(&[RestartStep]) + Send + 'static,
    ) -> Result<()> {
        if let Some(reason) = self.locked() {
            return Err(Fault::new("read-only", reason));
        }
        if workloads.is_empty() || workloads.len() > MAX {
            return Err(Fault::input(format!("Between 1 and {MAX} workloads are expected.")));
        }
        let mut steps = Vec::new();
        for (kind, namespace, name) in workloads {
            if !ROLLING.contains(&kind.as_str()) {
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
        let mut outcomes = steps.clone();
        let number = self.restarts.begin(&mut restart, steps);
        drop(restart);
        let restarts = self.restarts.clone();
        self.spawn(async move {
            for step in &mut outcomes {
                step.state = StepState::Left;
            }
            for (index, rollout) in rollouts.into_iter().enumerate() {
                let goes_on = loop {
                    match restarts.goes_on(number) {
                        Some(goes_on) => break goes_on,
                        None => time::sleep(LOOK).await,
                    }
                };
                if !goes_on {
                    break;
                }
                let outcome = rollout
                    .run(|new, all| restarts.set(number, index, StepState::Rolling(new, all)))
                    .await;
                let failed = outcome.is_err();
                outcomes[index].state = outcome.map_or_else(StepState::Failed, |()| StepState::Done);
                restarts.set(number, index, outcomes[index].state.clone());
                if failed {
                    break;
                }
            }
            restarts.end(number);
            // Whoever hears it may wait for what itself waits for this thread.
            tokio::task::spawn_blocking(move || ended(&outcomes));
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
        let number = self.restarts.lock().number;
        self.restarts.end(number);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(names: &[&str]) -> Vec<RestartStep> {
        let step = |name: &&str| RestartStep {
            kind: "Deployment".into(),
            namespace: "shop".into(),
            name: (*name).into(),
            state: StepState::Waiting,
        };
        names.iter().map(step).collect()
    }

    #[test]
    fn a_restart_that_was_stopped_says_nothing_of_the_one_after_it() {
        let restarts = Restarts::default();
        let first = restarts.begin(&mut restarts.lock(), steps(&["a", "b"]));
        restarts.set(first, 0, StepState::Rolling(0, 1));
        restarts.end(first);
        let stopped = restarts.lock().clone();
        assert_eq!(stopped.steps[0].state, StepState::Rolling(0, 1), "what rolls rolls on");
        assert_eq!(stopped.steps[1].state, StepState::Left);
        restarts.set(first, 0, StepState::Done);
        assert_eq!(restarts.lock().steps[0].state, StepState::Done, "and its end is told");

        let second = restarts.begin(&mut restarts.lock(), steps(&["c"]));
        restarts.set(first, 1, StepState::Done);
        restarts.end(first);
        assert_eq!(restarts.goes_on(first), Some(false));
        assert_eq!((restarts.goes_on(second), restarts.lock().steps.len()), (Some(true), 1));
        restarts.lock().paused = true;
        assert_eq!(restarts.goes_on(second), None);
    }
}
