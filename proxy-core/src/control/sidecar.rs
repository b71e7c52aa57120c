//! Starts and stops the sidecar.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{
    PolicyState, Settings, Sockets,
    admin::{self, Admin, Door},
    beside::Comparing,
    hold::Holds,
    keep::Keep,
    opened::Opener,
    policy::Policy,
    settings::host_table,
    token::Token,
    worker::{self, Parts},
};
use crate::{
    flow::{Beside, InForce, Shared},
    model::UnknownWorkload,
    net::{Dialer, Originator, Unresolved},
    policy::{Capture, Snapshot},
    record::{AccessLogTarget, FlowWorkload, Recorder},
    source::{Folder, SourceError, Watch, WatchError},
};

/// Why the sidecar cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The policy folder cannot be read.
    #[error("policy folder: {0}")]
    Policy(#[from] SourceError),
    /// The workload whose policy shall hold is not in it.
    #[error(transparent)]
    Workload(#[from] UnknownWorkload),
    /// It cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The access log cannot be opened.
    #[error("access log {}: {error}", path.display())]
    AccessLog {
        /// The file, or words for standard output.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// A thread or socket cannot be had.
    #[error("{what}: {error}")]
    System {
        /// What failed.
        what: &'static str,
        /// The system's words.
        error: io::Error,
    },
    /// Admin listens on loopback only.
    #[error("the admin address {0} is not loopback; it tells and streams what leaves the workload, so use 127.0.0.1")]
    AdminNotLoopback(SocketAddr),
}

/// A running sidecar. Dropping it without `drain` cuts what is open.
#[derive(Debug)]
pub struct Sidecar {
    policy: Arc<Policy>,
    comparing: Arc<Comparing>,
    admin: Option<SocketAddr>,
    drain_tx: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    drain: Duration,
    recorder: Arc<Recorder>,
    _watch: Watch,
    _watch_beside: Option<Watch>,
}

/// Starts the sidecar on `sockets`; it accepts when this returns.
pub fn start(settings: Settings, sockets: Sockets) -> Result<Sidecar, Fault> {
    let admin_address = sockets.admin.as_ref().and_then(|admin| admin.local_addr().ok());
    if let Some(address) = admin_address.filter(|address| !address.ip().is_loopback()) {
        return Err(Fault::AdminNotLoopback(address));
    }
    let keep = settings.keep.map(Keep::new);
    let folder = match Folder::open(&settings.policy) {
        Ok(folder) => folder,
        // What was kept serves until the folder can be read.
        Err(error) if keep.as_ref().is_some_and(Keep::exists) => {
            tracing::error!(%error, "the policy folder cannot be read");
            Folder::unread(&settings.policy)
        }
        Err(error) => return Err(error.into()),
    };
    let policy = Policy::new(&folder, settings.workload.clone(), keep)?;
    let workload = policy.snapshot.load().workload().clone();
    let shared = Shared::default();
    let recorder = Recorder::open(
        &settings.access_log,
        settings.access_log_format,
        FlowWorkload {
            namespace: workload.namespace.to_string(),
            name: workload.name.to_string(),
            labels: workload.labels,
        },
    )
    .map_err(|error| {
        let path = match &settings.access_log {
            AccessLogTarget::File(path) => path.clone(),
            AccessLogTarget::Stdout | AccessLogTarget::Off => "on standard output".into(),
        };
        Fault::AccessLog { path, error }
    })?;
    let reloading = policy.clone();
    let watch = Watch::start(folder, move |folder, error| reloading.reload(folder, error))?;
    let (comparing, watch_beside) = Comparing::start(
        settings.compare.as_deref(),
        settings.workload.clone(),
        policy.snapshot.clone(),
    )?;
    let (drain_tx, drain_rx) = watch::channel(false);
    let (opener, opened_rx) = Opener::new();
    if sockets.beside_workload {
        policy.open_with(opener);
    }

    let system = |what| move |error| Fault::System { what, error };
    let hosts = Arc::new(host_table(&settings.hosts));
    let dialer = Dialer::new(settings.map).through(settings.forwarder.clone());
    let originator = Originator::default();
    let unresolved = Unresolved::default();
    let clone = |socket: &TcpListener| -> Result<TcpListener, Fault> {
        socket.set_nonblocking(true).map_err(system("listening socket"))?;
        socket.try_clone().map_err(system("listening socket"))
    };
    let mut workers = Vec::new();
    for index in 0..settings.workers {
        let parts = Parts {
            policy: InForce {
                snapshot: policy.snapshot.clone(),
                enforcement: settings.workload.enforcement,
                beside: comparing.beside.clone(),
            },
            dialer: dialer.clone(),
            originator: originator.clone(),
            hosts: hosts.clone(),
            forwarder: settings.forwarder.clone(),
            unresolved: unresolved.clone(),
            recorder: recorder.clone(),
            shared: shared.clone(),
            outbound: sockets.outbound.iter().map(&clone).collect::<Result<_, _>>()?,
            explicit: sockets.explicit.as_ref().map(&clone).transpose()?,
            opened_rx: opened_rx.clone(),
            drain_rx: drain_rx.clone(),
            drain: settings.drain,
            seed: seed(index),
        };
        let handle = thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            if let Err(error) = worker::run(parts) {
                tracing::error!(%error, "a worker ended");
            }
        });
        workers.push(handle.map_err(system("worker thread"))?);
    }
    let doors = [(sockets.admin, Door::Admin), (sockets.health, Door::Health)];
    let doors: Vec<_> = doors
        .into_iter()
        .filter_map(|(listener, door)| Some((listener?, door)))
        .collect();
    if !doors.is_empty() {
        for (listener, _) in &doors {
            listener.set_nonblocking(true).map_err(system("admin socket"))?;
        }
        let admin = Admin {
            policy: policy.clone(),
            comparing: comparing.clone(),
            token: Token {
                folder: settings.policy,
                given: settings.push_token,
            },
            holds: Holds::new(drain_rx.clone()),
            recorder: recorder.clone(),
            hosts: shared.hosts,
            drain_rx,
        };
        thread::Builder::new()
            .name("admin".into())
            .spawn(move || {
                if let Err(error) = admin::run(doors, admin) {
                    tracing::error!(%error, "the admin server ended");
                }
            })
            .map_err(system("admin thread"))?;
    }
    Ok(Sidecar {
        policy,
        comparing,
        admin: admin_address,
        drain_tx,
        workers,
        drain: settings.drain,
        recorder,
        _watch: watch,
        _watch_beside: watch_beside,
    })
}

/// Different in every process and thread; load balancing needs no more.
fn seed(index: usize) -> u64 {
    let nanos = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos() as u64);
    nanos ^ (u64::from(std::process::id()) << 32) ^ (index as u64) << 56
}

impl Sidecar {
    /// Where admin listens.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The policy in force.
    pub fn policy(&self) -> PolicyState {
        self.policy.state()
    }

    /// The policy in force, and another that is compared with.
    pub fn in_force(&self) -> (Arc<ArcSwap<Snapshot>>, Beside) {
        (self.policy.snapshot.clone(), self.comparing.beside.clone())
    }

    /// Calls `begin` with the capture settings in force, and `changed` whenever a new policy brings others: the interception
    /// rules follow them, and the policy counts as in force when it returns.
    pub fn on_capture<R>(
        &self,
        begin: impl FnOnce(&Capture) -> R,
        changed: impl Fn(&Capture) + Send + Sync + 'static,
    ) -> R {
        self.policy.on_capture(begin, Box::new(changed))
    }

    /// Name of the workload whose policy holds; empty when the folder declares none with its labels.
    pub fn workload_name(&self) -> String {
        self.policy.snapshot.load().workload().name.to_string()
    }

    /// Hash of the policy in force.
    pub fn policy_hash(&self) -> String {
        self.policy.state().hash
    }

    /// Stops accepting, lets open connections end, cuts what is left after the drain time.
    pub fn drain(self) {
        tracing::info!(seconds = self.drain.as_secs_f32(), "draining");
        // Without receivers all workers have ended already.
        let _ = self.drain_tx.send(true);
        for worker in self.workers {
            // A worker that panicked has nothing left to drain.
            let _ = worker.join();
        }
        self.recorder.flush();
    }
}
