//! The parts of one main window and its logs, put together once. Nothing here knows of windows but their labels.

mod claims;
mod connect;
mod deploy;
mod leftovers;
mod lock;
mod noted;
mod open;
mod sandbox;
mod shared;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock, mpsc},
    thread,
    time::Instant,
};

#[cfg(test)]
pub use lock::left_by_a_killed_app;
pub use open::{Opened, Ready, Refused, Source};
use proxy_core::{
    model::IstioVersion,
    policy::{Verdict, explain},
};
pub use shared::Shared;

use crate::{
    change::{Changes, Journal},
    cluster::{Cluster, Feature},
    dto::{Countdown, Holds, JournalEntry, ObjectRef, Phase, RequestResult, SourceState, Unconfirmed},
    events::{Event, Events},
    fault::{Fault, Result},
    probe::{self, Bringing, FromPod, FromSandbox},
    session::{Session, View},
    sidecar::{Sidecar, delivery::Delivery, deploy::Deployment},
    traffic::{Row, Traffic, announce, facts},
    verify::Verify,
};

/// Everything the commands of a window work on.
pub struct App {
    /// Label of the main window.
    pub window: String,
    pub session: Session,
    pub changes: Arc<Changes>,
    pub traffic: Arc<Traffic>,
    pub sidecar: Sidecar,
    pub deployment: Deployment,
    pub delivery: Delivery,
    pub events: Events,
    pub verify: Verify,
    pub bringing: Bringing,
    /// What all windows share.
    pub shared: Arc<Shared>,
    /// Why an access log that is due could not be removed, where it could not.
    pub removal: Mutex<Option<Fault>>,
    /// Held while the release to decide for changes, and while a sandbox starts, so that it runs for the last one.
    deciding: Mutex<()>,
    /// The open place is this window's; `None` once it has closed.
    claim: Mutex<Option<claims::Claim>>,
    /// Connecting, while it is under way.
    under_way: Mutex<Option<connect::UnderWay>>,
    /// False once the window has closed. Whatever writes holds it for reading, so that the end waits for it, and so does
    /// turning to another place.
    is_open: RwLock<bool>,
}

impl App {
    /// Opens a source for the window `window`, finishes what a killed app left half done there, and follows the flows.
    pub fn start(shared: Arc<Shared>, window: &str, ready: Ready, events: Events) -> Result<Arc<Self>> {
        let traffic = Arc::new(Traffic::default());
        let (turn_tx, turn_rx) = mpsc::channel();
        let told = events;
        let events = Events::new(move |event| {
            if matches!(event, Event::StagedChanged(_) | Event::SourceChanged(_)) {
                // Who hears of it ends with the window.
                let _ = turn_tx.send(());
            }
            told.send(event);
        });
        let sidecar = Sidecar::new(&shared.data, window, traffic.clone(), events.clone());
        let deployment = Deployment::new(traffic.clone(), events.clone());
        // The sidecar reads the folder too: whatever changes in it, its policy is about to change.
        let (follower, listener) = (sidecar.clone(), events.clone());
        let session_events = Events::new(move |event| {
            if matches!(event, Event::SourceChanged(_)) {
                follower.expect_policy(follower.policy_hash(), None);
            }
            listener.send(event);
        });
        let version = shared.version_for(&ready.origin);
        let session = Session::start(ready.origin, version, session_events)?;
        ready.listener.set(session.announcer());
        let store = session.view().store.clone();
        let journal = Journal::open(&shared.database(), &*store)?;
        let recovered = journal.recover(&*store)?;
        announce(traffic.clone(), events.clone()).map_err(|error| Fault::new("thread", error.to_string()))?;
        let app = Arc::new(Self {
            window: window.to_string(),
            session,
            changes: Arc::new(Changes::new(journal, recovered, events.clone())),
            traffic,
            sidecar,
            deployment,
            delivery: Delivery::new(events.clone()),
            verify: Verify::new(events.clone()),
            bringing: Bringing::new(events.clone()),
            events,
            shared,
            removal: Mutex::default(),
            deciding: Mutex::default(),
            claim: Mutex::new(Some(ready.claim)),
            under_way: Mutex::default(),
            is_open: RwLock::new(true),
        });
        app.follow();
        app.follow_staged(turn_rx)?;
        deploy::keep_policy(&app)?;
        Ok(app)
    }

    /// What the folder says now.
    pub fn view(&self) -> Arc<View> {
        self.session.view()
    }

    /// Applies the change set, and notes how long the sidecar takes to enforce it.
    pub fn apply(&self, countdown: Option<&Countdown>) -> Result<JournalEntry> {
        self.written(|view| self.changes.apply(view, &self.traffic, countdown))
    }

    /// Takes an applied change set back.
    pub fn undo(&self, id: Option<i64>) -> Result<JournalEntry> {
        self.written(|view| self.changes.undo(&*view.store, id))
    }

    /// Finishes a change set that was cut short, or goes back.
    pub fn settle(&self, id: i64, side: Holds) -> Result<JournalEntry> {
        self.written(|view| self.changes.settle(view, id, side))
    }

    /// Writes, and follows what becomes of it: in the sandbox's sidecar and in the cluster's.
    fn written(&self, write: impl FnOnce(&View) -> Result<JournalEntry>) -> Result<JournalEntry> {
        let (policy, since) = (self.sidecar.policy_hash(), Instant::now());
        let (entry, cluster) = self.while_open(|| {
            let view = self.view();
            let cluster = view.origin.cluster().cloned();
            let cluster = cluster.map(|cluster| (cluster.sidecars(), cluster));
            Ok((write(&view)?, cluster))
        })?;
        self.sidecar.expect_policy(policy, Some(since));
        if let Some((sidecars, cluster)) = cluster {
            self.verify.begin(entry.id, cluster, sidecars)?;
        }
        Ok(entry)
    }

    /// Sends a test request from the sandbox, or from a pod of the workload `pod` of the open cluster.
    pub fn send_request(&self, method: &str, url: &str, pod: Option<&str>) -> Result<RequestResult> {
        let view = self.view();
        let Some(workload) = pod else {
            let snapshot = self.sandbox_snapshot();
            return probe::send_request(&FromSandbox(&self.sidecar), &self.traffic, &snapshot, (method, url));
        };
        let cluster = cluster_of(&view)?;
        cluster.require(Feature::SendRequests, workload.split('/').next().unwrap_or_default())?;
        let start = FromPod {
            cluster: &cluster,
            workload,
        };
        match self.deployed_policy(&view, workload)? {
            None => probe::send_request(&start, &self.traffic, &view.snapshot(workload), (method, url)),
            Some((snapshot, mode)) => {
                let sent = probe::send_request(&start, &self.traffic, &snapshot, (method, url))?;
                Ok(deploy::as_sent_under(mode, sent))
            }
        }
    }

    /// The open cluster.
    pub fn cluster(&self) -> Result<Arc<Cluster>> {
        cluster_of(&self.view())
    }

    /// Changes that wait for a person, here and in places that no window has open: who has one open is asked there.
    pub fn unconfirmed(&self) -> Result<Vec<Unconfirmed>> {
        let mut all = self.changes.unconfirmed(&*self.view().store)?;
        all.retain(|change| change.here || self.shared.claims.window_of(&change.place).is_none());
        Ok(all)
    }

    /// Takes back what nobody confirmed, whenever its time is up, until the window is closed.
    pub fn watch_countdowns(self: &Arc<Self>) -> Result<()> {
        let app = Arc::downgrade(self);
        let watch = move || {
            while let Some(app) = app.upgrade().filter(|app| app.is_open()) {
                if app.changes.await_deadline() {
                    // What kept a change from being taken back is told with the change, which is tried again.
                    let _ = app.while_open(|| app.changes.revert_due(&*app.view().store));
                }
            }
        };
        thread::Builder::new()
            .name("countdown".into())
            .spawn(watch)
            .map_err(|error| Fault::new("thread", error.to_string()))?;
        Ok(())
    }

    /// Decides as another release of Istio from now on, and whenever this folder is opened again; as the folder itself
    /// says where none is named. A sandbox that runs goes on with it.
    pub fn decide_for(&self, version: Option<IstioVersion>) -> Result<SourceState> {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let view = self.view();
        if view.origin.cluster().is_some() {
            return Err(Fault::input("A cluster is decided for as the Istio that runs there."));
        }
        self.shared.settings.set_istio_version(&view.store.name(), version)?;
        let state = self.session.decide_for(version);
        let sandbox = self.sidecar.state();
        if sandbox.state == Phase::Running {
            self.sidecar.stop();
            self.launch_sandbox(&sandbox.workload, sandbox.staged)?;
        }
        Ok(state)
    }

    /// Does what writes, unless the window has closed.
    pub fn while_open<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let is_open = self.is_open.read().unwrap_or_else(PoisonError::into_inner);
        if *is_open { work() } else { Err(closed()) }
    }

    /// Does what nothing may be written beside, unless the window has closed.
    fn while_still<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let is_open = self.is_open.write().unwrap_or_else(PoisonError::into_inner);
        if *is_open { work() } else { Err(closed()) }
    }

    fn is_open(&self) -> bool {
        *self.is_open.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The window has closed: who wants its place waits for its end.
    pub fn leave(&self) {
        self.shared.claims.leave(&self.window);
    }

    /// Takes back what was to be taken back when the window closes, stops what runs, and gives the place up.
    pub fn end(&self) {
        self.cancel_connecting();
        self.bringing.cancel();
        self.verify.forget();
        // What is being written now is written to its end.
        *self.is_open.write().unwrap_or_else(PoisonError::into_inner) = false;
        // Where it cannot be taken back now, the next start does it.
        let _ = self.changes.revert_at_exit(&*self.view().store);
        self.sidecar.stop();
        self.deployment.end();
        self.delivery.end();
        self.deployment.close();
        self.traffic.close();
        self.claim().take();
    }

    /// The flow `id`, while it is kept.
    pub fn flow(&self, id: u64) -> Result<Row> {
        self.traffic
            .row(id)
            .ok_or_else(|| Fault::new("gone", format!("Flow {id} is no longer kept.")).hint("Send the request again."))
    }

    /// The object that names a registered flow: the last one the engine's trace mentions.
    pub fn rule(&self, id: u64) -> Option<ObjectRef> {
        let (view, row) = (self.view(), self.traffic.row(id)?);
        let facts = facts(&row.record)?;
        let explained = explain(&view.snapshot(&row.workload()), &facts);
        let registered = explained.verdict == Verdict::Registered;
        let named = explained.trace.iter().rev().find_map(|step| step.object.as_ref());
        named.filter(|_| registered).map(Into::into)
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

fn closed() -> Fault {
    Fault::new("closed", "The window was closed.")
}

fn cluster_of(view: &View) -> Result<Arc<Cluster>> {
    let cluster = view.origin.cluster().cloned();
    cluster.ok_or_else(|| Fault::input("A folder is open, not a cluster."))
}
