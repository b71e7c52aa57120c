//! The app's parts, put together once. Nothing here knows of windows.

mod connect;
mod leftovers;
mod noted;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

use crate::{
    change::{Changes, Journal},
    cluster::{Cluster, Feature, Kubeconfigs, Mirrors},
    dto::{Countdown, Holds, JournalEntry, ObjectRef, RequestResult, SourceState, Verdict},
    events::{Event, Events},
    fault::{Fault, Result},
    probe::{self, Bringing, FromPod, FromSandbox},
    session::{self, Origin, Session, View, bundled_playground},
    settings::Settings,
    sidecar::Sidecar,
    traffic::{Row, Traffic, announce, why},
    verify::Verify,
};

/// Everything the commands work on.
pub struct App {
    pub session: Session,
    pub changes: Arc<Changes>,
    pub traffic: Arc<Traffic>,
    pub sidecar: Sidecar,
    pub events: Events,
    pub verify: Verify,
    pub settings: Settings,
    pub bringing: Bringing,
    /// Why an access log that is due could not be removed, where it could not.
    pub removal: Mutex<Option<Fault>>,
    database: PathBuf,
    mirrors: Mirrors,
    pub kubeconfigs: Arc<Kubeconfigs>,
    /// Connecting, while it is under way.
    under_way: Mutex<Option<connect::UnderWay>>,
}

/// Where the app finds and keeps things.
pub struct Places {
    /// Folder to open, where one was named.
    pub folder: Option<PathBuf>,
    /// The package's resources.
    pub resources: Option<PathBuf>,
    /// The user's data of this app.
    pub data: PathBuf,
}

impl App {
    /// Opens the folder, finishes what a killed app left half done, and follows the flows.
    pub fn start(places: Places, events: Events) -> Result<Self> {
        let data = &places.data;
        fs::create_dir_all(data).map_err(|error| Fault::file("create", data, &error))?;
        let traffic = Arc::new(Traffic::default());
        let sidecar = Sidecar::new(data, traffic.clone(), events.clone());
        let bundle = bundled_playground(places.resources.as_deref());
        // The sidecar reads the folder too: whatever changes in it, its policy is about to change.
        let (follower, listener) = (sidecar.clone(), events.clone());
        let session_events = Events::new(move |event| {
            if matches!(event, Event::SourceChanged(_)) {
                follower.expect_policy(follower.policy_hash(), None);
            }
            listener.send(event);
        });
        let session = Session::start(places.folder, bundle, data, session_events)?;
        let database = data.join("journal.sqlite");
        let store = session.view().store.clone();
        let journal = Journal::open(&database, &*store)?;
        let recovered = journal.recover(&*store)?;
        announce(traffic.clone(), events.clone()).map_err(|error| Fault::new("thread", error.to_string()))?;
        Ok(Self {
            session,
            changes: Arc::new(Changes::new(journal, recovered, events.clone())),
            traffic,
            sidecar,
            verify: Verify::new(events.clone()),
            settings: Settings::open(data),
            bringing: Bringing::new(events.clone()),
            events,
            removal: Mutex::default(),
            database,
            mirrors: Mirrors::new(data),
            kubeconfigs: Kubeconfigs::open(data),
            under_way: Mutex::default(),
        })
    }

    /// What the folder says now.
    pub fn view(&self) -> Arc<View> {
        self.session.view()
    }

    /// Turns to another folder.
    pub fn open_folder(&self, folder: &Path) -> Result<SourceState> {
        self.turn_to(session::folder(folder)?)
    }

    /// Turns to another source: what ran and what was staged for the old one ends.
    fn turn_to(&self, origin: Origin) -> Result<SourceState> {
        self.changes.settled(&*self.view().store)?;
        let state = self.session.open(origin)?;
        self.bringing.cancel();
        self.sidecar.stop();
        self.traffic.clear();
        self.verify.forget();
        self.changes.turn_to(&self.database, &*self.view().store)?;
        self.events.send(Event::JournalChanged);
        Ok(state)
    }

    /// Applies the change set, and notes how long the sidecar takes to enforce it.
    pub fn apply(&self, countdown: Option<&Countdown>) -> Result<JournalEntry> {
        let view = self.view();
        self.written(&view, || self.changes.apply(&view, &self.traffic, countdown))
    }

    /// Takes an applied change set back.
    pub fn undo(&self, id: Option<i64>) -> Result<JournalEntry> {
        let view = self.view();
        self.written(&view, || self.changes.undo(&*view.store, id))
    }

    /// Finishes a change set that was cut short, or goes back.
    pub fn settle(&self, id: i64, side: Holds) -> Result<JournalEntry> {
        let view = self.view();
        self.written(&view, || self.changes.settle(&view, id, side))
    }

    /// Writes, and follows what becomes of it: in the sandbox's sidecar and in the cluster's.
    fn written(&self, view: &View, write: impl FnOnce() -> Result<JournalEntry>) -> Result<JournalEntry> {
        let (policy, since) = (self.sidecar.policy_hash(), Instant::now());
        let cluster = view.origin.cluster();
        let sidecars = cluster.map(|cluster| cluster.sidecars());
        let entry = write()?;
        self.sidecar.expect_policy(policy, Some(since));
        if let (Some(cluster), Some(sidecars)) = (cluster, sidecars) {
            self.verify.begin(entry.id, cluster.clone(), sidecars)?;
        }
        Ok(entry)
    }

    /// Sends a test request from the sandbox, or from a pod of the workload `pod` of the open cluster.
    pub fn send_request(&self, method: &str, url: &str, pod: Option<&str>) -> Result<RequestResult> {
        let view = self.view();
        let Some(workload) = pod else {
            let snapshot = view.snapshot(&self.sidecar.state().workload);
            return probe::send_request(&FromSandbox(&self.sidecar), &self.traffic, &snapshot, (method, url));
        };
        let cluster = cluster_of(&view)?;
        cluster.require(Feature::SendRequests, workload.split('/').next().unwrap_or_default())?;
        let start = FromPod {
            cluster: &cluster,
            workload,
        };
        probe::send_request(&start, &self.traffic, &view.snapshot(workload), (method, url))
    }

    /// The open cluster.
    pub fn cluster(&self) -> Result<Arc<Cluster>> {
        cluster_of(&self.view())
    }

    /// Takes back what nobody confirmed, whenever its time is up, for as long as the app lives.
    pub fn watch_countdowns(self: &Arc<Self>) -> Result<()> {
        let app = Arc::downgrade(self);
        let watch = move || {
            while let Some(app) = app.upgrade() {
                if app.changes.await_deadline() {
                    // What kept a change from being taken back is told with the change, which is tried again.
                    let _ = app.changes.revert_due(&*app.view().store);
                }
            }
        };
        thread::Builder::new()
            .name("countdown".into())
            .spawn(watch)
            .map_err(|error| Fault::new("thread", error.to_string()))?;
        Ok(())
    }

    /// The last thing before the app ends.
    pub fn end(&self) {
        // Where it cannot be taken back now, the next start does it.
        let _ = self.changes.revert_at_exit(&*self.view().store);
        self.sidecar.stop();
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
        let why = why(&row, &view.snapshot(&row.workload()), &view.folder).ok()?;
        let registered = why.verdict == Verdict::Registered;
        registered
            .then(|| why.steps.into_iter().rev().find_map(|step| step.object))
            .flatten()
    }
}

fn cluster_of(view: &View) -> Result<Arc<Cluster>> {
    let cluster = view.origin.cluster().cloned();
    cluster.ok_or_else(|| Fault::input("A folder is open, not a cluster."))
}
