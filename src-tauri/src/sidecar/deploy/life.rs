//! One deployment's life: three steps, then flows and policies until it is stopped, then nothing. Whatever fails before it
//! runs is taken away again.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    containers::ADMIN_PORT,
    end::also,
    hear::{connected, row},
    policy::Policy,
    prepare::Prepared,
    steps::{self, Step},
};
use crate::{
    cluster::{Cluster, Following},
    dto::{DeployPhase, DeployState, DeployStepState},
    events::{Event, Events},
    fault::{Fault, Result},
    session::now,
    traffic::Traffic,
};

/// How often it is looked.
pub(super) const LOOK: Duration = Duration::from_millis(400);
/// Lines of what was done that are kept.
const LINES: usize = 40;

/// The one deployment of a window.
#[derive(Clone)]
pub struct Deployment {
    events: Events,
    pub(super) traffic: Arc<Traffic>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
    /// A person wants it to end before it runs.
    cancelled: AtomicBool,
    /// One thing at a time.
    busy: Mutex<()>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub state: DeployState,
    pub live: Option<Live>,
    pub log: VecDeque<String>,
    /// The source, or what is staged, may give another policy.
    stale: bool,
    closed: bool,
    pub told: Option<Instant>,
}

/// What stands in the cluster.
pub(super) struct Live {
    pub cluster: Arc<Cluster>,
    pub prepared: Arc<Prepared>,
    pub policy: Policy,
    pub following: Following,
}

impl Deployment {
    pub fn new(traffic: Arc<Traffic>, events: Events) -> Self {
        Self {
            events,
            traffic,
            shared: Arc::default(),
        }
    }

    /// How it stands.
    pub fn state(&self) -> DeployState {
        let inner = self.inner();
        let mut state = inner.state.clone();
        state.log = inner.log.iter().cloned().collect();
        state
    }

    /// The session that stands, where one does.
    pub fn session(&self) -> Option<String> {
        let inner = self.inner();
        inner.live.as_ref().map(|live| live.prepared.id.clone())
    }

    /// Puts it there, and returns when it runs. What fails, or is called off, is taken away again first.
    pub fn start(&self, cluster: &Arc<Cluster>, prepared: Prepared) -> Result<DeployState> {
        let _alone = self.alone()?;
        if self.inner().live.is_some() {
            return Err(Fault::new("running", "A sidecar is deployed already.").hint("Stop it first."));
        }
        self.shared.cancelled.store(false, Ordering::SeqCst);
        let prepared = Arc::new(prepared);
        self.begins(&prepared);
        let outcome = self.steps(cluster, &prepared);
        if let Err(fault) = outcome {
            let left = self.take_away(cluster, &prepared);
            self.failed(also(fault, left));
        }
        Ok(self.state())
    }

    /// Ends the waiting of a start.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::SeqCst)
    }

    /// Takes it away, and returns when nothing of it is left.
    pub fn stop(&self) -> Result<DeployState> {
        let _alone = self.alone()?;
        let Some((cluster, prepared)) = self.lets_go() else {
            return Ok(self.state());
        };
        match self.take_away(&cluster, &prepared) {
            Ok(words) => self.change(|inner| {
                inner.state = DeployState {
                    ended: Some(words),
                    ..DeployState::default()
                };
            }),
            Err(fault) => self.failed(fault),
        }
        Ok(self.state())
    }

    /// The window turns to another place, or closes: what stands is taken away, and nobody waits for the last pod's end.
    pub fn end(&self) {
        self.cancel();
        // A start that is called off takes away what it made.
        let _alone = self.shared.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((cluster, prepared)) = self.lets_go() {
            // What cannot be taken away now is found by its label when the cluster is opened.
            let _ = self.remove(&cluster, &prepared);
        }
        self.change(|inner| inner.state = DeployState::default());
    }

    /// Nobody waits for another policy any more.
    pub fn close(&self) {
        self.inner().closed = true;
        self.shared.changed.notify_all();
    }

    /// The source, or what is staged, has changed.
    pub fn source_changed(&self) {
        self.inner().stale = true;
        self.shared.changed.notify_all();
    }

    /// With, or without, what is staged from now on.
    pub fn with_staged(&self, staged: bool) {
        self.change(|inner| inner.state.staged = staged);
        self.source_changed();
    }

    /// Waits until the policy of what stands may be another one; `false` once the window has closed.
    pub fn await_change(&self) -> bool {
        let is_due = |inner: &Inner| inner.stale && inner.state.phase == DeployPhase::Running;
        let waits = |inner: &mut Inner| !inner.closed && !is_due(inner);
        let inner = self.shared.changed.wait_while(self.inner(), waits);
        let mut inner = inner.unwrap_or_else(PoisonError::into_inner);
        inner.stale = false;
        !inner.closed
    }

    /// Brings `policy` to the sidecars, where it is another one: into the ConfigMap, for pods that start later, and at once
    /// to those that run.
    pub fn update(&self, policy: Policy) -> Result<()> {
        let (cluster, prepared, generation, pods) = {
            let mut inner = self.inner();
            let generation = inner.state.generation + 1;
            let pods: Vec<String> = inner.state.pods.iter().map(|pod| pod.name.clone()).collect();
            let Some(live) = inner.live.as_mut().filter(|live| live.policy != policy) else {
                return Ok(());
            };
            live.policy = policy.clone();
            let (cluster, prepared) = (live.cluster.clone(), live.prepared.clone());
            inner.state.generation = generation;
            inner.state.policy_at = Some(now());
            inner.state.objects = policy.objects;
            (cluster, prepared, generation, pods)
        };
        let (options, namespace) = (&prepared.options, &prepared.options.target.namespace);
        let kept = cluster.put_policy(&policy.config_map(options, &prepared.id, &prepared.token, generation));
        self.log(format!("policy {generation} of {} objects", policy.objects));
        for pod in pods {
            let taken = cluster.push_policy(
                namespace,
                &pod,
                ADMIN_PORT,
                &policy.bytes,
                (generation, &prepared.token),
            );
            self.change(|inner| {
                let row = row(&mut inner.state.pods, &pod);
                match taken {
                    Ok(taken) => *row = connected(&pod, taken),
                    Err(fault) => row.fault = Some(fault.told()),
                }
            });
        }
        kept.map(drop)
    }

    /// What came of bringing another policy: what failed is shown until one is brought.
    pub fn noted(&self, outcome: Result<()>) {
        let fault = outcome.err();
        let state = self.state();
        if state.phase == DeployPhase::Running && state.fault != fault {
            self.change(|inner| inner.state.fault = fault);
        }
    }

    pub(super) fn failed(&self, fault: Fault) {
        self.change(|inner| {
            steps::fail(&mut inner.state.steps, &fault.message);
            inner.state.phase = DeployPhase::Failed;
            inner.state.pods.clear();
            inner.state.fault = Some(fault);
        });
    }

    pub(super) fn step(&self, which: Step, state: DeployStepState, text: impl Into<String>) {
        self.change(|inner| steps::set(&mut inner.state.steps, which, state, text));
    }

    pub(super) fn log(&self, line: String) {
        let time = now();
        let clock = time.get(11..19).unwrap_or_default();
        self.change(|inner| {
            if inner.log.len() == LINES {
                inner.log.pop_front();
            }
            inner.log.push_back(format!("{clock} {line}"));
        });
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner());
        self.told();
    }

    pub(super) fn told(&self) {
        self.events.send(Event::DeployChanged(Box::new(self.state())));
    }

    fn alone(&self) -> Result<MutexGuard<'_, ()>> {
        match self.shared.busy.try_lock() {
            Ok(alone) => Ok(alone),
            // What failed before guards nothing that could be half done.
            Err(TryLockError::Poisoned(alone)) => Ok(alone.into_inner()),
            Err(TryLockError::WouldBlock) => {
                Err(Fault::new("busy", "A sidecar is being started or removed.").hint("Wait for it, or cancel it."))
            }
        }
    }

    // Every change under the lock leaves a state that can be shown.
    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
