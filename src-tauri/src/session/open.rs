//! Opens a folder, watches it, and holds the newest view of it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use proxy_core::{
    model::IstioVersion,
    source::{Folder, Reading, Watch},
};

use super::{Origin, View, playground};
use crate::{
    dto::SourceState,
    events::{Event, Events},
    fault::{Fault, Result},
};

/// The open source.
#[derive(Debug)]
pub struct Session {
    events: Events,
    current: Arc<Mutex<Arc<View>>>,
    /// Watching ends when this is replaced or dropped.
    watch: Mutex<Option<Watch>>,
    /// The release of Istio to decide for, where a person chose one.
    version: Arc<Mutex<Option<IstioVersion>>>,
}

impl Session {
    /// Opens the first source of a window.
    pub fn start(origin: Origin, version: Option<IstioVersion>, events: Events) -> Result<Self> {
        let session = Self {
            events,
            current: Arc::new(Mutex::new(Arc::new(View::of(origin.clone(), Reading::default(), 0)))),
            watch: Mutex::new(None),
            version: Arc::default(),
        };
        session.open(origin, version)?;
        Ok(session)
    }

    /// What the source says now.
    pub fn view(&self) -> Arc<View> {
        lock(&self.current).clone()
    }

    /// Turns to another source, decided for `version` where one is chosen. The old one stays open when the new one cannot
    /// be read.
    pub fn open(&self, origin: Origin, version: Option<IstioVersion>) -> Result<SourceState> {
        let folder = Folder::open(origin.folder()).map_err(|error| Fault::from(&error))?;
        let reading = decided_for(folder.reading(), version);
        let view = Arc::new(View::of(origin.clone(), reading, self.view().epoch + 1));
        view.learned();
        let state = view.state();
        *lock(&self.version) = version;
        *lock(&self.current) = view;
        let (current, events) = (self.current.clone(), self.events.clone());
        let chosen = self.version.clone();
        let watch = Watch::start(folder, move |folder, error| {
            let mut reading = folder.reading();
            reading.errors.extend(error);
            let mut view = lock(&current);
            // The watch of a folder that was left may still fire once.
            if view.folder == folder.path() {
                let reading = decided_for(reading, *lock(&chosen));
                *view = Arc::new(View::of(view.origin.clone(), reading, view.epoch + 1));
                view.learned();
                let state = view.state();
                drop(view);
                events.send(Event::SourceChanged(Box::new(state)));
            }
        })
        .map_err(|error| Fault::new("watch", error.to_string()))?;
        *lock(&self.watch) = Some(watch);
        self.events.send(Event::SourceChanged(Box::new(state.clone())));
        Ok(state)
    }

    /// Decides for `version` from now on; for what the source itself says where there is none.
    pub fn decide_for(&self, version: Option<IstioVersion>) -> SourceState {
        let mut view = lock(&self.current);
        *lock(&self.version) = version;
        let reading = decided_for(view.reading.clone(), version);
        *view = Arc::new(View::of(view.origin.clone(), reading, view.epoch + 1));
        let state = view.state();
        drop(view);
        self.events.send(Event::SourceChanged(Box::new(state.clone())));
        state
    }

    /// Tells the windows how the source stands, to be called when that changed but nothing that it says.
    pub fn announcer(&self) -> impl Fn() + Clone + Send + Sync + 'static {
        // A cluster has it called: it must not keep what keeps the cluster.
        let (current, events) = (Arc::downgrade(&self.current), self.events.clone());
        move || {
            let Some(current) = current.upgrade() else { return };
            let state = lock(&current).state();
            events.send(Event::SourceChanged(Box::new(state)));
        }
    }
}

/// The folder to begin with: `named`, or else the user's own copy of the playground below `data`.
pub fn first_folder(named: Option<PathBuf>, bundle: Option<PathBuf>, data: &Path) -> Result<PathBuf> {
    match (named, bundle) {
        (Some(folder), _) => Ok(folder),
        (None, Some(bundle)) => playground::own_copy(&bundle, data),
        (None, None) => Err(Fault::new("no-folder", "The bundled playground is missing.")
            .hint("Name a folder: egret FOLDER, or EGRET_FOLDER=FOLDER egret.")),
    }
}

fn decided_for(mut reading: Reading, version: Option<IstioVersion>) -> Reading {
    reading.world.version = version;
    reading
}

/// A folder as it is really called.
pub fn folder(path: &Path) -> Result<Origin> {
    let path = path.canonicalize().map_err(|error| Fault::file("open", path, &error))?;
    Ok(Origin::Folder(path))
}

// The guarded values are replaced whole: a panic elsewhere cannot leave them half written.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
