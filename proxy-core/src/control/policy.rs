//! The policy in force: compiled from the folder, swapped whole, last good version kept.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use arc_swap::ArcSwap;
use serde::Serialize;
use time::OffsetDateTime;

use super::WorkloadChoice;
use crate::{
    model::World,
    policy::{self, Capture, Snapshot, Workload},
    record::Timestamp,
    source::{Folder, Reading, SourceError},
};

/// What `/config` says.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PolicyState {
    /// Hash of the policy in force.
    pub hash: String,
    /// Objects read.
    pub objects: u64,
    /// Files read.
    pub files: usize,
    /// When the policy in force was loaded.
    pub loaded: String,
    /// How long reading and compiling took.
    pub load_ms: u64,
    /// Outbound mode in force.
    pub mode: String,
    /// The release of Istio that it is decided as.
    pub istio_version: String,
    /// What is wrong in the folder now; the last good version of each file is in force.
    pub errors: Vec<String>,
    /// Excluded ranges in force: what never reaches the sidecar.
    pub exclude_ranges: Vec<String>,
    /// Excluded ports in force.
    pub exclude_ports: Vec<u16>,
    /// Included ranges in force; `None` is everything.
    pub include_ranges: Option<Vec<String>>,
}

/// Told of new capture settings; returns when they are in force.
type CaptureListener = Box<dyn Fn(&Capture) + Send + Sync>;

/// Holds the snapshot that all workers decide by.
pub(super) struct Policy {
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// What the snapshot was compiled from.
    world: Mutex<World>,
    choice: WorkloadChoice,
    state: Mutex<PolicyState>,
    capture_listener: OnceLock<CaptureListener>,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("choice", &self.choice)
            .finish_non_exhaustive()
    }
}

impl Policy {
    /// Compiles what `folder` says.
    pub fn new(folder: &Folder, choice: WorkloadChoice) -> Arc<Self> {
        let started = Instant::now();
        let reading = read(folder, &choice);
        let snapshot = policy::compile(&reading.world, &workload(&reading, &choice));
        let state = state(&reading, &snapshot, started);
        log_errors(&state);
        Arc::new(Self {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            world: Mutex::new(reading.world),
            choice,
            state: Mutex::new(state),
            capture_listener: OnceLock::new(),
        })
    }

    /// Takes over what the folder says now. When it cannot be read at all, everything stays and the error is told.
    pub fn reload(&self, folder: &Folder, error: Option<SourceError>) {
        if let Some(error) = error {
            tracing::error!(%error, "the policy folder cannot be read; the last good policy stays in force");
            lock(&self.state).errors = vec![error.to_string()];
            return;
        }
        let started = Instant::now();
        let reading = read(folder, &self.choice);
        let mut world = lock(&self.world);
        let before = self.snapshot.load_full();
        let snapshot = policy::recompile(&before, &world, &reading.world, &workload(&reading, &self.choice));
        let state = state(&reading, &snapshot, started);
        log_errors(&state);
        tracing::info!(
            hash = state.hash,
            objects = state.objects,
            mode = state.mode,
            "policy loaded"
        );
        // The rules first: what they no longer capture must not be captured and then passed on unseen.
        if before.capture() != snapshot.capture()
            && let Some(listener) = self.capture_listener.get()
        {
            listener(snapshot.capture());
        }
        self.snapshot.store(Arc::new(snapshot));
        // Only now all of it is in force.
        *lock(&self.state) = state;
        // A large policy takes a while to be taken apart: not before the new one holds, and not on a thread with traffic.
        *world = reading.world;
        drop(before);
    }

    /// Sets who is told of new capture settings; the first one stays.
    pub fn on_capture(&self, listener: CaptureListener) {
        // A second listener would be a second owner of the same rules.
        let _ = self.capture_listener.set(listener);
    }

    /// What is in force.
    pub fn state(&self) -> PolicyState {
        lock(&self.state).clone()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `folder` says, for the release of Istio that was chosen.
fn read(folder: &Folder, choice: &WorkloadChoice) -> Reading {
    let mut reading = folder.reading();
    reading.world.version = choice.istio_version;
    reading
}

fn log_errors(state: &PolicyState) {
    for error in &state.errors {
        tracing::error!("{error}; the last good version of this file stays in force");
    }
}

/// Who calls: the folder's workload with these labels gives its name and annotations.
pub(super) fn workload(reading: &Reading, choice: &WorkloadChoice) -> Workload {
    let declared = reading.world.workloads.iter().find(|workload| {
        *workload.meta.namespace == *choice.namespace
            && !choice.labels.is_empty()
            && choice
                .labels
                .iter()
                .all(|(key, value)| workload.spec.pod_labels.get(key) == Some(value))
    });
    match declared {
        Some(declared) => Workload {
            namespace: declared.meta.namespace.clone(),
            name: declared.meta.name.clone(),
            labels: declared.spec.pod_labels.clone(),
            annotations: declared.spec.pod_annotations.clone(),
        },
        None => Workload {
            namespace: choice.namespace.as_str().into(),
            name: choice.labels.get("app").map_or("", String::as_str).into(),
            labels: choice.labels.clone(),
            ..Workload::default()
        },
    }
}

fn state(reading: &Reading, snapshot: &Snapshot, started: Instant) -> PolicyState {
    let capture = snapshot.capture();
    let texts = |ranges: &[ipnet::IpNet]| ranges.iter().map(ToString::to_string).collect::<Vec<_>>();
    PolicyState {
        hash: snapshot.hash().to_string(),
        objects: reading.objects,
        files: reading.files,
        loaded: Timestamp(OffsetDateTime::now_utc()).to_string(),
        load_ms: started.elapsed().as_millis() as u64,
        mode: snapshot.mode().mode.to_string(),
        istio_version: snapshot.version().to_string(),
        errors: reading.errors.iter().map(ToString::to_string).collect(),
        exclude_ranges: texts(&capture.exclude_ranges),
        exclude_ports: capture.exclude_ports.clone(),
        include_ranges: capture.include_ranges.as_deref().map(texts),
    }
}
