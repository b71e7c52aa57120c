//! The policy in force: from the folder, from what was pushed, or from what was kept; compiled, swapped whole, the last good
//! one kept.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use arc_swap::ArcSwap;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    WorkloadChoice,
    keep::{Keep, Kept},
    opened::Opener,
    sidecar::Fault,
    state::{Origin, PolicyState, Standing, state},
    workload::workload,
};
use crate::{
    lint::Finding,
    model::World,
    policy::{self, Capture, Snapshot},
    record::Timestamp,
    source::{self, Folder, Reading, SourceError},
};

/// Told of new capture settings; returns when they are in force.
type CaptureListener = Box<dyn Fn(&Capture) + Send + Sync>;

/// What a pushed policy is called where something of it is named.
const PUSHED: &str = "policy.yaml";

/// Why a pushed policy is not taken. The one before stays in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It cannot be read.
    #[error("the policy cannot be read")]
    Unreadable(Vec<Finding>),
    /// It says nothing; without an object everything would be let through.
    #[error("the policy holds no object")]
    Empty,
    /// A later one is in force.
    #[error("generation {pushed} is older than {in_force}, which is in force")]
    Older {
        /// Of what was pushed.
        pushed: u64,
        /// Of what holds.
        in_force: u64,
    },
}

/// Holds the snapshot that all workers decide by.
pub(super) struct Policy {
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// What the snapshot was compiled from.
    world: Mutex<World>,
    choice: WorkloadChoice,
    keep: Option<Keep>,
    /// Whoever changes the policy holds this from the first look to the last word.
    standing: Mutex<Standing>,
    state: Mutex<PolicyState>,
    capture_listener: OnceLock<CaptureListener>,
    opener: OnceLock<Opener>,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("choice", &self.choice)
            .finish_non_exhaustive()
    }
}

impl Policy {
    /// Compiles what `folder` says, or what was kept, where that is newer or the folder cannot be read. A policy of which
    /// a part is missing is none: with nothing kept there is nothing to begin with.
    pub fn new(folder: &Folder, choice: WorkloadChoice, keep: Option<Keep>) -> Result<Arc<Self>, Fault> {
        let started = Instant::now();
        let mounted = folder.reading();
        let standing = Standing::from_now(Origin::Mounted, mounted.generation);
        let (mut reading, standing) = match keep.as_ref().and_then(Keep::read) {
            Some(kept) if mounted.files == 0 || !mounted.errors.is_empty() || is_older(&mounted, &kept) => {
                restore(kept, mounted.errors)
            }
            _ => match mounted.incomplete() {
                Some(error) => return Err(error.clone().into()),
                None => (mounted, standing),
            },
        };
        reading.world.version = choice.istio_version;
        let snapshot = policy::compile(&reading.world, &workload(&reading, &choice)?);
        let state = state(&reading, &snapshot, &choice, &standing, started);
        log_errors(&state);
        let policy = Arc::new(Self {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            world: Mutex::new(reading.world),
            choice,
            keep,
            standing: Mutex::new(standing),
            state: Mutex::new(state),
            capture_listener: OnceLock::new(),
            opener: OnceLock::new(),
        });
        if standing.origin == Origin::Mounted && reading.errors.is_empty() && reading.files > 0 {
            policy.keep_folder(folder, &standing);
        }
        Ok(policy)
    }

    /// Takes over what the folder says now, where it is not older than what is in force. When it cannot be read at all,
    /// everything stays and the error is told.
    pub fn reload(&self, folder: &Folder, error: Option<SourceError>) {
        if let Some(error) = error {
            tracing::error!(%error, "the policy folder cannot be read; the last good policy stays in force");
            self.state_mut().errors = vec![error.to_string()];
            return;
        }
        let reading = folder.reading();
        let mut standing = self.standing();
        if let Some(errors) = self.passes_over(&reading, &standing) {
            tracing::warn!(
                generation = reading.generation,
                errors = errors.join("; "),
                "what the policy folder says is not taken over; the policy in force stays"
            );
            self.state_mut().errors = errors;
            return;
        }
        *standing = Standing::from_now(Origin::Mounted, reading.generation);
        let whole = reading.errors.is_empty();
        self.install(reading, &standing);
        if whole {
            self.keep_folder(folder, &standing);
        }
    }

    /// What to tell of the folder where the policy in force stays all the same; `None` where the folder's is taken over.
    fn passes_over(&self, reading: &Reading, standing: &Standing) -> Option<Vec<String>> {
        if reading.files == 0 && self.keep.is_some() {
            return Some(vec!["the policy folder is empty".into()]);
        }
        // Of a mounted policy the last good version of each file holds, but for one whose newer parts are on their way;
        // another one holds as a whole.
        let broken =
            !reading.errors.is_empty() && (standing.origin != Origin::Mounted || reading.incomplete().is_some());
        (broken || standing.is_newer_than(reading.generation))
            .then(|| reading.errors.iter().map(ToString::to_string).collect())
    }

    /// Takes over a policy that was sent: one file's text, or that packed. Without a generation it counts as the next.
    pub fn push(&self, bytes: &[u8], generation: Option<u64>) -> Result<PolicyState, Refusal> {
        let reading = source::read_texts([(PUSHED, bytes)]);
        if !reading.errors.is_empty() {
            return Err(Refusal::Unreadable(reading.errors.iter().map(Finding::from).collect()));
        }
        if reading.objects == 0 {
            return Err(Refusal::Empty);
        }
        let mut standing = self.standing();
        if let (Some(pushed), Some(in_force), true) =
            (generation, standing.generation, standing.is_newer_than(generation))
        {
            return Err(Refusal::Older { pushed, in_force });
        }
        let next = || standing.generation.unwrap_or_default() + 1;
        *standing = Standing::from_now(Origin::Pushed, Some(generation.unwrap_or_else(next)));
        self.install(reading, &standing);
        if let (Some(keep), Ok(text)) = (&self.keep, source::unpacked(bytes)) {
            let text = String::from_utf8_lossy(&text).into_owned();
            keep.write(&kept(&standing, BTreeMap::from([(PUSHED.to_string(), text)])));
        }
        drop(standing);
        Ok(self.state())
    }

    fn install(&self, mut reading: Reading, standing: &Standing) {
        let started = Instant::now();
        reading.world.version = self.choice.istio_version;
        let workload = workload(&reading, &self.choice).unwrap_or_else(|gone| {
            tracing::warn!("{gone} any more; its last identity stays");
            self.snapshot.load().workload().clone()
        });
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot.load_full();
        let snapshot = policy::recompile(&before, &world, &reading.world, &workload);
        let state = state(&reading, &snapshot, &self.choice, standing, started);
        log_errors(&state);
        tracing::info!(
            hash = state.hash,
            source = %state.source,
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
        self.open_sockets();
        // Only now all of it is in force.
        *self.state_mut() = state;
        // A large policy takes a while to be taken apart: not before the new one holds, and not on a thread with traffic.
        *world = reading.world;
        drop(before);
    }

    fn keep_folder(&self, folder: &Folder, standing: &Standing) {
        let Some(keep) = &self.keep else { return };
        match folder.texts() {
            Ok(files) => keep.write(&kept(standing, files)),
            // It is changing again, and will be read again.
            Err(error) => tracing::warn!(%error, "the policy cannot be read once more to keep it"),
        }
    }

    /// Has `begin` begin with the capture settings in force, and `listener` told of those that come after, of which none is
    /// missed in between; the first listener stays.
    pub fn on_capture<R>(&self, begin: impl FnOnce(&Capture) -> R, listener: CaptureListener) -> R {
        let _standing = self.standing();
        let begun = begin(self.snapshot.load().capture());
        // A second listener would be a second owner of the same rules.
        let _ = self.capture_listener.set(listener);
        begun
    }

    /// Has `opener` open what the policy in force asks for, now and after each change; the first one stays.
    pub fn open_with(&self, opener: Opener) {
        let _standing = self.standing();
        // A second one would be a second owner of the same addresses.
        let _ = self.opener.set(opener);
        self.open_sockets();
    }

    fn open_sockets(&self) {
        if let Some(opener) = self.opener.get() {
            opener.follow(&self.snapshot.load());
        }
    }

    /// What is in force. It waits for nobody who takes over another policy: readiness is asked for on one thread.
    pub fn state(&self) -> PolicyState {
        let state = self.state_mut().clone();
        let unopened = self.opener.get().map(Opener::failed).unwrap_or_default();
        state.by_now(unopened)
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> MutexGuard<'_, PolicyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kept(standing: &Standing, files: BTreeMap<String, String>) -> Kept {
    Kept {
        generation: standing.generation,
        since: Timestamp(standing.since).to_string(),
        files,
    }
}

/// True where what was kept is a later policy than what is mounted.
fn is_older(mounted: &Reading, kept: &Kept) -> bool {
    matches!((mounted.generation, kept.generation), (Some(mounted), Some(kept)) if mounted < kept)
}

/// A kept policy in force again; what is wrong with the folder stays to be told.
fn restore(kept: Kept, errors: Vec<SourceError>) -> (Reading, Standing) {
    let files = kept.files.iter().map(|(name, text)| (name.as_str(), text.as_bytes()));
    let mut reading = source::read_texts(files);
    reading.errors.extend(errors);
    let standing = Standing {
        origin: Origin::Kept,
        generation: kept.generation,
        since: OffsetDateTime::parse(&kept.since, &Rfc3339).unwrap_or_else(|_| OffsetDateTime::now_utc()),
    };
    (reading, standing)
}

fn log_errors(state: &PolicyState) {
    for error in &state.errors {
        tracing::error!("{error}; the last good version of this file stays in force");
    }
}

#[cfg(test)]
mod tests;
