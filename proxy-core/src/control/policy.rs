//! The policy in force: compiled from the folder, swapped whole, last good version kept.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Instant,
};

use arc_swap::ArcSwap;
use serde::Serialize;
use time::OffsetDateTime;

use super::WorkloadChoice;
use crate::{
    model::{Object, UnknownWorkload, WorkloadManifest},
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
    pub fn new(folder: &Folder, choice: WorkloadChoice) -> Result<Arc<Self>, UnknownWorkload> {
        let started = Instant::now();
        let reading = read(folder, &choice);
        let snapshot = policy::compile(&reading.world, &workload(&reading, &choice)?);
        let state = state(&reading, &snapshot, started);
        log_errors(&state);
        Ok(Arc::new(Self {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            choice,
            state: Mutex::new(state),
            capture_listener: OnceLock::new(),
        }))
    }

    /// Takes over what the folder says now. When it cannot be read at all, everything stays and the error is told.
    pub fn reload(&self, folder: &Folder, error: Option<SourceError>) {
        if let Some(error) = error {
            tracing::error!(%error, "the policy folder cannot be read; the last good policy stays in force");
            self.lock().errors = vec![error.to_string()];
            return;
        }
        let started = Instant::now();
        let reading = read(folder, &self.choice);
        let workload = workload(&reading, &self.choice).unwrap_or_else(|gone| {
            tracing::warn!("{gone} any more; its last identity stays");
            self.snapshot.load().workload().clone()
        });
        let snapshot = policy::compile(&reading.world, &workload);
        let state = state(&reading, &snapshot, started);
        log_errors(&state);
        tracing::info!(
            hash = state.hash,
            objects = state.objects,
            mode = state.mode,
            "policy loaded"
        );
        // The rules first: what they no longer capture must not be captured and then passed on unseen.
        if self.snapshot.load().capture() != snapshot.capture()
            && let Some(listener) = self.capture_listener.get()
        {
            listener(snapshot.capture());
        }
        let before = self.snapshot.swap(Arc::new(snapshot));
        // Only now all of it is in force.
        *self.lock() = state;
        // A large policy takes a while to be taken apart: not before the new one holds, and not on a thread with traffic.
        drop(before);
    }

    /// Sets who is told of new capture settings; the first one stays.
    pub fn on_capture(&self, listener: CaptureListener) {
        // A second listener would be a second owner of the same rules.
        let _ = self.capture_listener.set(listener);
    }

    /// What is in force.
    pub fn state(&self) -> PolicyState {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, PolicyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

/// Who calls: the workload of the folder that was named, or else the one with these labels, gives its name and annotations.
fn workload(reading: &Reading, choice: &WorkloadChoice) -> Result<Workload, UnknownWorkload> {
    if let Some(named) = &choice.named {
        return named
            .find(&reading.world, &choice.namespace)
            .map(|found| declared(found));
    }
    let found = reading.world.workloads.iter().find(|workload| {
        *workload.meta.namespace == *choice.namespace
            && !choice.labels.is_empty()
            && choice
                .labels
                .iter()
                .all(|(key, value)| workload.spec.pod_labels.get(key) == Some(value))
    });
    Ok(match found {
        Some(found) => declared(found),
        None => Workload {
            namespace: choice.namespace.as_str().into(),
            name: choice.labels.get("app").map_or("", String::as_str).into(),
            labels: choice.labels.clone(),
            ..Workload::default()
        },
    })
}

fn declared(workload: &Object<WorkloadManifest>) -> Workload {
    Workload {
        namespace: workload.meta.namespace.clone(),
        name: workload.meta.name.clone(),
        labels: workload.spec.pod_labels.clone(),
        annotations: workload.spec.pod_annotations.clone(),
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
