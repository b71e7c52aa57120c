//! After a change was applied to a cluster: do the sidecars have it? istiod is asked until it says so.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    cluster::{Cluster, ProxySync},
    dto::SyncState,
    events::{Event, Events},
    fault::{Fault, Result},
};

/// How often istiod is asked.
const PACE: Duration = Duration::from_millis(400);
/// istiod gathers changes for a tenth of a second and up to ten where they do not stop; then it sends.
const NOTHING_SENT: Duration = Duration::from_secs(5);
/// How long nothing may change before it is over.
const QUIET: Duration = Duration::from_secs(1);
/// Longest that it is asked.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most names of sidecars that are told.
const NAMES: usize = 20;

/// The newest verification.
#[derive(Debug, Clone)]
pub struct Verify {
    events: Events,
    state: Arc<Mutex<Option<SyncState>>>,
    /// The change that is looked at; an older look ends.
    current: Arc<AtomicI64>,
}

impl Verify {
    pub fn new(events: Events) -> Self {
        Self {
            events,
            state: Arc::default(),
            current: Arc::default(),
        }
    }

    /// How far the newest is.
    pub fn state(&self) -> Option<SyncState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nothing is looked at any more.
    pub fn forget(&self) {
        self.current.store(0, Ordering::Relaxed);
        self.tell(None);
    }

    /// Looks after `entry`, which was applied to `cluster` when istiod had sent what `before` says.
    pub fn begin(&self, entry: i64, cluster: Arc<Cluster>, before: Result<BTreeMap<String, ProxySync>>) -> Result<()> {
        self.current.store(entry, Ordering::Relaxed);
        let own = self.clone();
        let look = move || match before {
            Ok(before) => own.look(entry, &cluster, &before),
            Err(fault) => own.tell(Some(SyncState::unknown(entry, fault))),
        };
        thread::Builder::new()
            .name("verify".into())
            .spawn(look)
            .map_err(|error| Fault::new("thread", error.to_string()))?;
        Ok(())
    }

    fn look(&self, entry: i64, cluster: &Cluster, before: &BTreeMap<String, ProxySync>) {
        let began = Instant::now();
        let (mut last, mut since) = (None, began);
        while self.current.load(Ordering::Relaxed) == entry {
            let now = match cluster.sidecars() {
                Ok(now) => now,
                Err(fault) => return self.tell(Some(SyncState::unknown(entry, fault))),
            };
            let mut state = sync_state(entry, before, &now);
            if last.as_ref() != Some(&now) {
                (last, since) = (Some(now), Instant::now());
            }
            let quiet = since.elapsed() >= QUIET && state.behind == 0;
            state.done = quiet && (state.sent > 0 || began.elapsed() >= NOTHING_SENT) || began.elapsed() >= PATIENCE;
            let done = state.done;
            self.tell(Some(state));
            if done {
                return;
            }
            thread::sleep(PACE);
        }
    }

    fn tell(&self, state: Option<SyncState>) {
        let mut known = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != state {
            *known = state;
            drop(known);
            self.events.send(Event::SyncChanged);
        }
    }
}

fn sync_state(entry: i64, before: &BTreeMap<String, ProxySync>, now: &BTreeMap<String, ProxySync>) -> SyncState {
    let sent = |(name, proxy): &(&String, &ProxySync)| before.get(*name).is_none_or(|old| proxy.is_newer(old));
    let behind: Vec<&String> = now
        .iter()
        .filter(|(_, proxy)| !proxy.is_synced())
        .map(|(name, _)| name)
        .collect();
    SyncState {
        entry,
        total: now.len(),
        sent: now.iter().filter(sent).count(),
        behind: behind.len(),
        names: behind.into_iter().take(NAMES).cloned().collect(),
        done: false,
        fault: None,
    }
}
