//! Connecting takes its time: how far it is, and how a person calls it off.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tokio::{runtime, time};

use super::connect::UNREACHABLE;
use crate::fault::{Fault, Result};

/// Code of the fault that a person wanted.
pub const CANCELLED: &str = "cancelled";
/// Code of the fault of a server that gives no answer.
const SLOW: &str = "slow";
/// How often it is looked whether a step has ended or was called off.
pub(super) const LOOK: Duration = Duration::from_millis(10);
/// How often a step that counts is told.
const PACE: Duration = Duration::from_millis(100);

/// Whether nobody answers: then asking for something else is in vain too.
pub fn is_away(fault: &Fault) -> bool {
    fault.code == UNREACHABLE || fault.code == SLOW
}

/// What is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Credentials are read, or asked of a program.
    Credentials,
    /// The API server is asked for its version.
    Version,
    /// It is asked which kinds it serves.
    Kinds,
    /// It is asked what this person may do.
    Rights,
    /// Objects of a kind are listed, so many yet.
    Listing { kind: String, objects: usize },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credentials => f.write_str("credentials"),
            Self::Version => f.write_str("version"),
            Self::Kinds => f.write_str("kinds"),
            Self::Rights => f.write_str("rights"),
            Self::Listing { kind, objects: 0 } => write!(f, "listing {kind}"),
            Self::Listing { kind, objects } => write!(f, "listing {kind}: {objects} objects"),
        }
    }
}

/// One attempt to connect.
pub struct Attempt {
    cancelled: AtomicBool,
    last: Mutex<Option<(Step, Instant)>>,
    told: Box<dyn Fn(&Step) + Send + Sync>,
}

impl Attempt {
    /// `told` hears of each step.
    pub fn new(told: impl Fn(&Step) + Send + Sync + 'static) -> Self {
        Self {
            cancelled: AtomicBool::new(false),
            last: Mutex::default(),
            told: Box::new(told),
        }
    }

    /// Ends it: who waits is free at once.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }

    /// A fault once it was called off.
    pub fn go_on(&self) -> Result<()> {
        match self.cancelled.load(Ordering::SeqCst) {
            false => Ok(()),
            true => Err(Fault::new(CANCELLED, "Connecting was cancelled.")),
        }
    }

    /// What is under way.
    pub fn last(&self) -> Option<Step> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|(step, _)| step.clone())
    }

    /// Says what is under way, unless it was called off; where only its number changes, now and then.
    pub(super) fn step(&self, step: Step) {
        if self.go_on().is_err() {
            return;
        }
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let same_kind = |last: &Step| match (last, &step) {
            (Step::Listing { kind: before, .. }, Step::Listing { kind, .. }) => before == kind,
            (before, step) => before == step,
        };
        let told = last
            .as_ref()
            .is_some_and(|(before, at)| *before == step || same_kind(before) && now < *at + PACE);
        if !told {
            (self.told)(&step);
            *last = Some((step, now));
        }
    }

    /// Runs `exchange` on `runtime` and waits for it: until it ends, for `limit`, or until this is called off.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        runtime: &runtime::Runtime,
        limit: Duration,
        exchange: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (done_tx, done_rx) = mpsc::sync_channel(1);
        let task = runtime.spawn(async move {
            let late = |_| Fault::new(SLOW, format!("The API server gave no answer within {limit:?}."));
            let outcome = time::timeout(limit, exchange).await.map_err(late).flatten();
            // Who asked waits for nothing else, or no longer.
            let _ = done_tx.send(outcome);
        });
        loop {
            match done_rx.recv_timeout(LOOK) {
                Ok(outcome) => return outcome,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if let Err(cancelled) = self.go_on() {
                        task.abort();
                        return Err(cancelled);
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(Fault::new("cluster", "The exchange with the API server broke off."));
                }
            }
        }
    }
}

impl Default for Attempt {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempt")
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        thread,
    };

    use super::*;

    #[test]
    fn what_is_called_off_keeps_nobody_waiting_whatever_it_waits_for() {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let attempt = Arc::new(Attempt::default());
        let own = attempt.clone();
        let waiting = thread::spawn(move || {
            let for_ever = std::future::pending::<Result<()>>();
            own.wait(&runtime, Duration::MAX, for_ever)
        });
        attempt.cancel();
        assert_eq!(waiting.join().unwrap().unwrap_err().code, CANCELLED);
        assert_eq!(attempt.go_on().unwrap_err().code, CANCELLED);
        attempt.step(Step::Version);
        assert_eq!(attempt.last(), None, "and says no more");
    }

    #[test]
    fn each_step_is_told_once_and_its_number_now_and_then() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let own = told.clone();
        let attempt = Attempt::new(move |step| own.lock().unwrap().push(step.to_string()));
        attempt.step(Step::Credentials);
        attempt.step(Step::Version);
        attempt.step(Step::Version);
        for objects in 0..1000 {
            attempt.step(Step::Listing {
                kind: "Service".into(),
                objects,
            });
        }
        attempt.step(Step::Listing {
            kind: "Sidecar".into(),
            objects: 7,
        });
        let told = told.lock().unwrap();
        assert_eq!(told[..3], ["credentials", "version", "listing Service"]);
        assert_eq!(told.last().unwrap(), "listing Sidecar: 7 objects");
        assert!(told.len() < 100, "{}", told.len());
    }
}
