//! The policy beside the one in force: read from a folder of its own, and again whenever that changes. An empty folder is no
//! policy, and nothing is compared with it.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use serde::Serialize;

use super::{WorkloadChoice, sidecar::Fault, workload::workload};
use crate::{
    flow::Beside,
    policy::{self, Snapshot},
    source::{Folder, SourceError, Watch},
};

/// What `/config` says of it.
#[derive(Debug, Clone, Serialize)]
pub struct BesideState {
    /// Its hash.
    pub hash: String,
    /// Files read.
    pub files: usize,
    /// Objects read.
    pub objects: u32,
    /// What is wrong in its folder now; the last good version of each file holds.
    pub errors: Vec<String>,
}

/// The policy beside, kept up with its folder.
#[derive(Debug)]
pub(super) struct Comparing {
    pub beside: Beside,
    in_force: Arc<ArcSwap<Snapshot>>,
    choice: WorkloadChoice,
    state: Mutex<Option<BesideState>>,
}

impl Comparing {
    /// Compares with what `folder` says, if one is named, for as long as the watch lives.
    pub fn start(
        folder: Option<&Path>,
        choice: WorkloadChoice,
        in_force: Arc<ArcSwap<Snapshot>>,
    ) -> Result<(Arc<Self>, Option<Watch>), Fault> {
        let comparing = Arc::new(Self {
            beside: Beside::default(),
            in_force,
            choice,
            state: Mutex::default(),
        });
        let Some(path) = folder else {
            return Ok((comparing, None));
        };
        let folder = Folder::open(path)?;
        comparing.reload(&folder, None);
        let reloading = comparing.clone();
        let watch = Watch::start(folder, move |folder, error| reloading.reload(folder, error))?;
        Ok((comparing, Some(watch)))
    }

    /// `None` where nothing is compared with.
    pub fn state(&self) -> Option<BesideState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reload(&self, folder: &Folder, error: Option<SourceError>) {
        if let Some(error) = error {
            tracing::error!(%error, "the policy to compare with cannot be read; the last good one stays");
            if let Some(state) = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner) {
                state.errors = vec![error.to_string()];
            }
            return;
        }
        let mut reading = folder.reading();
        let snapshot = (reading.files > 0).then(|| {
            reading.world.version = self.choice.istio_version;
            // A policy that does not know the workload decides for it all the same.
            let workload = workload(&reading, &self.choice).unwrap_or_else(|_| self.in_force.load().workload().clone());
            policy::compile(&reading.world, &workload)
        });
        let state = snapshot.as_ref().map(|snapshot| BesideState {
            hash: snapshot.hash().to_string(),
            files: reading.files,
            objects: reading.objects,
            errors: reading.errors.iter().map(ToString::to_string).collect(),
        });
        self.beside.put(snapshot);
        // Only now it is compared with.
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}
