//! The app's parts, put together once. Nothing here knows of windows.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Instant,
};

use crate::{
    change::{Changes, Journal},
    cluster::{Cluster, Mirrors, contexts},
    dto::{JournalEntry, ObjectRef, RequestResult, SourceState, Verdict},
    events::{Event, Events},
    fault::{Fault, Result},
    probe::{self, FromPod, FromSandbox},
    session::{self, Origin, Session, View, bundled_playground},
    sidecar::Sidecar,
    traffic::{Row, Traffic, announce, why},
};

/// Everything the commands work on.
pub struct App {
    pub session: Session,
    pub changes: Changes,
    pub traffic: Arc<Traffic>,
    pub sidecar: Sidecar,
    pub events: Events,
    /// Why an access log that is due could not be removed, where it could not.
    pub removal: Mutex<Option<Fault>>,
    database: PathBuf,
    mirrors: Mirrors,
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
            changes: Changes::new(journal, recovered, events.clone()),
            traffic,
            sidecar,
            events,
            removal: Mutex::default(),
            database,
            mirrors: Mirrors::new(data),
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

    /// Connects to a context of the kubeconfig and turns to its cluster.
    pub fn open_context(&self, name: &str) -> Result<SourceState> {
        let context = contexts(None)?.into_iter().find(|context| context.name == name);
        let context =
            context.ok_or_else(|| Fault::new("missing", format!("The kubeconfig has no context {name:?}.")))?;
        let mirror = self.mirrors.next();
        let cluster = Cluster::open(&context, None, &mirror, self.session.announcer())?;
        let state = self.turn_to(Origin::Cluster(cluster.clone()))?;
        let events = self.events.clone();
        cluster.follow_logs(self.traffic.clone(), move || events.send(Event::LogsChanged));
        Ok(state)
    }

    /// Switches editing of the open cluster on or off.
    pub fn set_editing(&self, on: bool) -> Result<SourceState> {
        let view = self.view();
        let cluster = view
            .origin
            .cluster()
            .ok_or_else(|| Fault::input("A folder is open, not a cluster."))?;
        cluster.set_editing(on);
        self.session.announcer()();
        Ok(view.state())
    }

    /// Turns to another source: what ran and what was staged for the old one ends.
    fn turn_to(&self, origin: Origin) -> Result<SourceState> {
        let state = self.session.open(origin)?;
        self.sidecar.stop();
        self.traffic.clear();
        self.changes.turn_to(&self.database, &*self.view().store)?;
        self.events.send(Event::JournalChanged);
        Ok(state)
    }

    /// Applies the change set, and notes how long the sidecar takes to enforce it.
    pub fn apply(&self) -> Result<JournalEntry> {
        let (before, since) = (self.sidecar.policy_hash(), Instant::now());
        let entry = self.changes.apply(&self.view(), &self.traffic)?;
        self.sidecar.expect_policy(before, Some(since));
        Ok(entry)
    }

    /// Takes an applied change set back.
    pub fn undo(&self, id: Option<i64>) -> Result<JournalEntry> {
        let (before, since) = (self.sidecar.policy_hash(), Instant::now());
        let entry = self.changes.undo(&*self.view().store, id)?;
        self.sidecar.expect_policy(before, Some(since));
        Ok(entry)
    }

    /// Sends a test request from the sandbox, or from a pod of the workload `pod` of the open cluster.
    pub fn send_request(&self, method: &str, url: &str, pod: Option<&str>) -> Result<RequestResult> {
        let Some(workload) = pod else {
            return probe::send_request(&FromSandbox(&self.sidecar), &self.traffic, method, url);
        };
        let view = self.view();
        let cluster = view
            .origin
            .cluster()
            .ok_or_else(|| Fault::input("A folder is open: it has no pods."))?;
        probe::send_request(&FromPod { cluster, workload }, &self.traffic, method, url)
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
