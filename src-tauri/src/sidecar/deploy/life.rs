//! One deployment's life: three steps, then flows and policies until it is stopped, then nothing. Whatever fails before it
//! runs is taken away again.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    end::{LEFT, Unremoved, also},
    patience::AWAY,
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
    pub(super) shared: Arc<Shared>,
    /// Longest that the API server is waited for.
    pub(super) away: Duration,
}

#[derive(Default)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    pub changed: Condvar,
    /// A person wants it to end before it runs.
    cancelled: AtomicBool,
    /// How often the window has turned to another place, or closed.
    ends: AtomicU64,
    /// How many of those wait no more for what was being done.
    ended: AtomicU64,
    /// One thing at a time.
    busy: Mutex<()>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub state: DeployState,
    pub live: Option<Live>,
    pub log: VecDeque<String>,
    /// The source, or what is staged, may give another policy.
    pub stale: bool,
    /// When a policy that could not be brought is brought again.
    pub again: Option<Instant>,
    /// Why it could not be brought.
    pub unbrought: Option<Fault>,
    pub closed: bool,
    pub told: Option<Instant>,
}

impl Inner {
    /// The session that is being put there, stands, or is being taken away.
    pub fn session(&self) -> Option<&str> {
        let is_here = matches!(
            self.state.phase,
            DeployPhase::Starting | DeployPhase::Running | DeployPhase::Stopping
        );
        self.state.session.as_deref().filter(|_| is_here)
    }
}

/// What stands in the cluster.
pub(super) struct Live {
    pub cluster: Arc<Cluster>,
    pub prepared: Arc<Prepared>,
    /// Of the session's ConfigMap.
    pub uid: String,
    /// The newest policy, and whether all that should have it do.
    pub policy: Policy,
    pub brought: bool,
    /// Held: dropped, nothing is heard any more.
    pub _following: Following,
}

/// When something was begun: before the window last turned to another place, or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn(u64);

impl Deployment {
    pub fn new(traffic: Arc<Traffic>, events: Events) -> Self {
        Self {
            events,
            traffic,
            shared: Arc::default(),
            away: AWAY,
        }
    }

    /// How it stands.
    pub fn state(&self) -> DeployState {
        let inner = self.inner();
        let mut state = inner.state.clone();
        state.log = inner.log.iter().cloned().collect();
        state
    }

    /// The session that this window looks after: that is being put there, stands, or is being taken away.
    pub fn session(&self) -> Option<String> {
        self.inner().session().map(str::to_string)
    }

    /// To be had before anything is worked out for [`Self::start`].
    pub fn turn(&self) -> Turn {
        Turn(self.shared.ends.load(Ordering::SeqCst))
    }

    /// Puts it there, and returns when it runs. What fails, or is called off, is taken away again first. What was worked
    /// out for the place that the window was turned to before is not begun.
    pub fn start(&self, cluster: &Arc<Cluster>, prepared: Prepared, turn: Turn) -> Result<DeployState> {
        let _alone = self.alone()?;
        if self.inner().live.is_some() {
            return Err(Fault::new("running", "A sidecar is deployed already.").hint("Stop it first."));
        }
        self.shared.cancelled.store(false, Ordering::SeqCst);
        if turn != self.turn() || self.inner().closed {
            return Err(Fault::new(
                "turned",
                "The window has turned to another place, or was closed.",
            ));
        }
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
        self.shared.cancelled.load(Ordering::SeqCst) || self.is_leaving()
    }

    /// Somebody waits to turn to another place.
    pub(super) fn is_leaving(&self) -> bool {
        self.shared.ends.load(Ordering::SeqCst) != self.shared.ended.load(Ordering::SeqCst)
    }

    /// Takes it away, and returns when nothing of it is left. A sidecar that cannot be taken away runs on, to be stopped again;
    /// what is left once it is out is found by its label.
    pub fn stop(&self) -> Result<DeployState> {
        let _alone = self.alone()?;
        let Some(live) = self.lets_go() else {
            return Ok(self.state());
        };
        let (cluster, prepared) = (live.cluster.clone(), live.prepared.clone());
        match self.remove(&cluster, &prepared) {
            Err(Unremoved::Sidecar(fault)) => self.runs_on(live, fault),
            Err(Unremoved::Rest(fault)) => self.failed(fault),
            Ok(same) => {
                // Lines that are still on their way are heard no more.
                drop(live);
                match self.await_gone(&cluster, &prepared, same) {
                    Ok(words) => self.change(|inner| {
                        inner.state = DeployState {
                            ended: Some(words),
                            ..DeployState::default()
                        };
                    }),
                    Err(fault) => self.failed(fault),
                }
            }
        }
        Ok(self.state())
    }

    /// What a Stop of the session `id` left has been removed: nothing has to be said of it any more.
    pub fn left_is_gone(&self, id: &str) {
        let mut inner = self.inner();
        let is_told_of = inner.state.fault.as_ref().is_some_and(|fault| fault.code == LEFT);
        if inner.state.phase != DeployPhase::Failed || inner.state.session.as_deref() != Some(id) || !is_told_of {
            return;
        }
        inner.state = DeployState::default();
        drop(inner);
        self.told();
    }

    /// The window turns to another place, or closes: what stands is taken away, and nobody waits for the last pod's end.
    pub fn end(&self) {
        self.shared.ends.fetch_add(1, Ordering::SeqCst);
        // A start that is called off takes away what it made.
        let _alone = self.shared.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = self.lets_go() {
            // What cannot be taken away now is found by its label when the cluster is opened.
            let _ = self.remove(&live.cluster, &live.prepared);
        }
        self.shared.ended.fetch_add(1, Ordering::SeqCst);
        self.change(|inner| {
            inner.log.clear();
            inner.state = DeployState::default();
        });
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

    /// Changes what is shown of the session `id`, while this window looks after it.
    pub(super) fn change_session(&self, id: &str, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.inner();
        if inner.session() != Some(id) {
            return;
        }
        change(&mut inner);
        drop(inner);
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
