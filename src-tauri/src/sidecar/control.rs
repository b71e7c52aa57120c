//! The sidecar's life: started step by step, watched until it ends, stopped without a trace.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use proxy_core::{model::IstioVersion, policy::Workload};

use super::{
    admin::{self, Compared, FlowLine},
    agent::Agent,
    last_words::Tail,
    launch::find_proxy,
    policy_folder::PolicyFolder,
    sites,
};
use crate::{
    cluster::{Cluster, Environment, Forwarder},
    dto::{Phase, PolicyChoice, SandboxState, Takes, Way},
    events::{Event, Events},
    fault::{Fault, Result},
    session::workload_name,
    traffic::Traffic,
};

/// How long the sidecar may take to end by itself before it is killed.
pub(super) const STOP: Duration = Duration::from_secs(3);
/// How long an edit may take to be enforced before nobody waits any more.
const EFFECT: Duration = Duration::from_secs(3);

/// The one sidecar of a window.
#[derive(Clone)]
pub struct Sidecar {
    events: Events,
    traffic: Arc<Traffic>,
    /// Folder for the certificate of the sites, which all windows share.
    pub(super) scratch: PathBuf,
    /// The sidecar's access log, for as long as it runs.
    pub(super) access_log: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    ended: Condvar,
    /// Counts starts: threads of an earlier run change nothing any more.
    run: AtomicU64,
    /// Counts edits whose effect is measured: a newer one ends the measuring of one that had no effect here.
    measured: AtomicU64,
}

#[derive(Default)]
pub(super) struct Inner {
    pub state: SandboxState,
    pub running: Option<Running>,
    /// It is on its way to run.
    pub launching: bool,
    pub stopping: bool,
    /// The way to the cluster's Services, for as long as the sidecar runs.
    pub forwarder: Option<Forwarder>,
    /// The workload's variables, where they are taken over. Some may be secret: they go to its commands alone.
    pub environment: BTreeMap<String, String>,
    /// The policy that is enforced, where it is not the source's own folder.
    pub own: Option<Arc<PolicyFolder>>,
    /// Where a policy to compare with is put.
    pub slot: Option<Arc<PolicyFolder>>,
}

impl Inner {
    /// Nothing runs any more: what was there for it goes.
    fn let_go(&mut self) {
        (self.forwarder, self.own, self.slot) = (None, None, None);
        self.environment.clear();
    }

    /// What is shown where nothing runs.
    fn rests(&mut self) {
        self.state = SandboxState {
            workload: std::mem::take(&mut self.state.workload),
            sites: sites::rows(),
            ..SandboxState::default()
        };
    }
}

#[derive(Clone)]
pub(super) struct Running {
    pub agent: Agent,
    pub admin: SocketAddr,
    pub explicit: SocketAddr,
    pub pid: u32,
    pub way: Way,
    pub ca: PathBuf,
}

/// The policy that a sidecar is to enforce.
pub struct Enforced<'a> {
    /// The source's own folder.
    pub folder: &'a Path,
    /// The release of Istio to decide as, where it is chosen.
    pub version: Option<IstioVersion>,
    /// The cluster that it is of: its Services can be reached.
    pub cluster: Option<&'a Arc<Cluster>>,
    /// Which one it is.
    pub choice: PolicyChoice,
    /// Its folder, where it is not the source's own.
    pub own: Option<Arc<PolicyFolder>>,
    /// An empty folder, where a policy to compare with is put later on.
    pub slot: Option<PolicyFolder>,
    /// What of the workload its commands get, and that.
    pub takes: Takes,
    pub taken: Environment,
}

impl Sidecar {
    /// The sidecar of the window called `window`; what it needs on disk lies in `scratch`.
    pub fn new(scratch: &Path, window: &str, traffic: Arc<Traffic>, events: Events) -> Self {
        let shared = Shared::default();
        let sidecar = Self {
            events,
            traffic,
            access_log: scratch.join(format!("access-{window}.log")),
            scratch: scratch.to_path_buf(),
            shared: Arc::new(shared),
        };
        sidecar.inner().state.sites = sites::rows();
        sidecar
    }

    /// How it stands now, with what the sidecar says of itself at this moment.
    pub fn state(&self) -> SandboxState {
        let (mut state, running) = {
            let inner = self.inner();
            let mut state = inner.state.clone();
            state.reach = inner.forwarder.as_ref().map(|forwarder| forwarder.state().into());
            (state, inner.running.clone())
        };
        let gauges = running.and_then(|running| admin::gauges(running.admin).ok());
        if let Some(gauges) = gauges.filter(|_| state.state == Phase::Running) {
            (state.memory_kb, state.connections) = (Some(gauges.memory_kb), Some(gauges.connections));
        }
        state
    }

    /// Starts it for a workload with the policy of `folder` and returns when it runs or has failed. The steps come as
    /// events meanwhile.
    pub fn start(&self, workload: Workload, enforced: Enforced<'_>) -> Result<SandboxState> {
        let Enforced {
            folder,
            version,
            cluster,
            choice,
            own,
            slot,
            takes,
            taken,
        } = enforced;
        let folder = own.as_ref().map_or(folder, |own| own.path()).to_path_buf();
        let proxy = find_proxy()?;
        let telling = self.clone();
        let forwarder = cluster.map(|cluster| cluster.forwarder(move || telling.told()));
        let forwarder = forwarder.transpose()?;
        let (run, files) = {
            let mut inner = self.inner();
            if inner.launching || inner.running.is_some() {
                return Err(Fault::new("running", "The sandbox runs already.").hint("Stop it first."));
            }
            (inner.launching, inner.stopping) = (true, false);
            inner.forwarder = forwarder;
            let Environment {
                variables,
                files,
                left_out,
            } = taken;
            inner.state = SandboxState {
                state: Phase::Starting,
                takes,
                variables: variables.len() as u64,
                files: files.len() as u64,
                left_out,
                policy: choice,
                workload: workload_name(&workload),
                step: Some("Looking for the sidecar".into()),
                sites: sites::rows(),
                ..SandboxState::default()
            };
            inner.environment = variables;
            (inner.own, inner.slot) = (own, slot.map(Arc::new));
            (self.shared.run.fetch_add(1, Ordering::SeqCst) + 1, files)
        };
        self.told();
        let outcome = self.launch(run, &proxy, (&folder, version), &workload, &files);
        if let Err(fault) = outcome {
            self.failed(run, fault);
        }
        self.inner().launching = false;
        self.shared.ended.notify_all();
        Ok(self.state())
    }

    /// Ends it and waits until it is gone; one that starts just now is called off.
    pub fn stop(&self) -> SandboxState {
        let running = {
            let mut inner = self.inner();
            inner.stopping = true;
            inner.running.clone()
        };
        if let Some(running) = &running {
            running.agent.close();
        }
        self.wait_for_end(STOP);
        if let Some(running) = running
            && self.inner().running.is_some()
            && let Ok(pid) = i32::try_from(running.pid)
        {
            // Everything below it dies with it.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            self.wait_for_end(STOP);
        }
        // Nothing is left behind; where there was no log there is none to delete.
        let _ = std::fs::remove_file(&self.access_log);
        let mut inner = self.inner();
        inner.let_go();
        inner.rests();
        drop(inner);
        self.told();
        self.state()
    }

    /// Where a policy to compare with is put, while it runs.
    pub fn slot(&self) -> Option<Arc<PolicyFolder>> {
        self.inner().slot.clone()
    }

    /// The policy that everything is compared with; `None` while there is none.
    pub fn compared(&self) -> Option<Compared> {
        let running = self.inner().running.clone()?;
        admin::config(running.admin).ok()?.compared
    }

    /// Hash of the policy that is known to be in force.
    pub fn policy_hash(&self) -> Option<String> {
        self.inner().state.policy_hash.clone()
    }

    /// Notes when the sidecar enforces another policy than `before`; `since` is when a person asked for it.
    pub fn expect_policy(&self, before: Option<String>, since: Option<Instant>) {
        let Ok(running) = self.running() else { return };
        let (sidecar, run) = (self.clone(), self.shared.run.load(Ordering::SeqCst));
        let add = u64::from(since.is_some());
        let turn = self.shared.measured.fetch_add(add, Ordering::SeqCst) + add;
        let watch = move || {
            let started = Instant::now();
            let current = || sidecar.is(run) && sidecar.shared.measured.load(Ordering::SeqCst) == turn;
            while started.elapsed() < EFFECT && current() {
                let Ok(config) = admin::config(running.admin) else {
                    return;
                };
                if Some(&config.hash) != before.as_ref() {
                    let mut inner = sidecar.inner();
                    inner.state.captured = Some(captured(running.way, &config));
                    inner.state.policy_hash = Some(config.hash);
                    if let Some(since) = since {
                        inner.state.edit_to_effect_ms = Some(since.elapsed().as_millis() as u64);
                    }
                    drop(inner);
                    return sidecar.told();
                }
                thread::sleep(Duration::from_millis(2));
            }
        };
        // Without a thread the hash is shown a little later, with the next state.
        let _ = thread::Builder::new().name("policy-effect".into()).spawn(watch);
    }

    pub(super) fn running(&self) -> Result<Running> {
        let running = self.inner().running.clone();
        running.ok_or_else(|| {
            Fault::new("sandbox", "No sandbox runs.").hint("Start it first: requests leave from inside it.")
        })
    }

    pub(super) fn read_log(&self, errors: impl Read, tail: &Tail) {
        for line in BufReader::new(errors).lines() {
            let Ok(line) = line else { return };
            match line.starts_with('{').then(|| FlowLine::parse(&line)).flatten() {
                Some(flow) => self.take(flow),
                None => tail.keep(&line),
            }
        }
    }

    pub(super) fn take(&self, line: FlowLine) {
        match line {
            FlowLine::Flow(record) => {
                self.traffic.add(*record);
            }
            FlowLine::Dropped(count) => self.traffic.lost(count),
        }
    }

    pub(super) fn ended(&self, run: u64, fault: Fault) {
        let mut inner = self.inner();
        if !self.is(run) {
            return;
        }
        inner.running = None;
        inner.let_go();
        if !inner.stopping {
            inner.rests();
            (inner.state.state, inner.state.fault) = (Phase::Failed, Some(fault));
        }
        drop(inner);
        self.shared.ended.notify_all();
        self.told();
    }

    fn failed(&self, run: u64, fault: Fault) {
        let mut inner = self.inner();
        if !self.is(run) {
            return;
        }
        inner.let_go();
        if inner.stopping {
            inner.rests();
        } else {
            let state = &mut inner.state;
            (state.state, state.step, state.fault) = (Phase::Failed, None, Some(fault));
        }
        drop(inner);
        self.told();
    }

    pub(super) fn step(&self, run: u64, step: &str) {
        if self.is_wanted(run) {
            self.inner().state.step = Some(step.into());
            self.told();
        }
    }

    pub(super) fn is(&self, run: u64) -> bool {
        self.shared.run.load(Ordering::SeqCst) == run
    }

    /// True while nobody has called this start off.
    pub(super) fn is_wanted(&self, run: u64) -> bool {
        self.is(run) && !self.inner().stopping
    }

    fn wait_for_end(&self, limit: Duration) {
        let wait = self
            .shared
            .ended
            .wait_timeout_while(self.inner(), limit, |inner| inner.running.is_some() || inner.launching);
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn spawn_reader(&self, name: &str, read: impl FnOnce(&Self) + Send + 'static) -> Result<()> {
        let sidecar = self.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || read(&sidecar));
        thread
            .map(drop)
            .map_err(|error| Fault::new("thread", error.to_string()))
    }

    pub(super) fn told(&self) {
        self.events.send(Event::SandboxChanged(Box::new(self.state())));
    }

    // Every change under the lock is one assignment or leaves a state that can be shown.
    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn captured(way: Way, config: &admin::Config) -> String {
    match (way, config.exclude_ranges.as_slice()) {
        (Way::Proxy, _) => "what uses the proxy".into(),
        (Way::Namespace, []) => "every TCP connection".into(),
        (Way::Namespace, ranges) => format!("every TCP connection, except to {}", ranges.join(", ")),
    }
}
