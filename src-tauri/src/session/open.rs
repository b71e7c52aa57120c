//! Opens a folder, watches it, and holds the newest view of it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use proxy_core::source::{Folder, Reading, Watch};

use super::{View, playground};
use crate::{
    dto::SourceState,
    events::{Event, Events},
    fault::{Fault, Result},
};

/// The open folder.
#[derive(Debug)]
pub struct Session {
    events: Events,
    current: Arc<Mutex<Arc<View>>>,
    /// Watching ends when this is replaced or dropped.
    watch: Mutex<Option<Watch>>,
}

impl Session {
    /// Opens `folder`, or else the user's own copy of the playground below `data`.
    pub fn start(folder: Option<PathBuf>, bundle: Option<PathBuf>, data: &Path, events: Events) -> Result<Self> {
        let folder = match (folder, bundle) {
            (Some(folder), _) => folder,
            (None, Some(bundle)) => playground::own_copy(&bundle, data)?,
            (None, None) => {
                return Err(Fault::new("no-folder", "The bundled playground is missing.")
                    .hint("Name a folder: egret FOLDER, or EGRET_FOLDER=FOLDER egret."));
            }
        };
        let session = Self {
            events,
            current: Arc::new(Mutex::new(Arc::new(View::new(&folder, Reading::default(), 0)))),
            watch: Mutex::new(None),
        };
        session.open(&folder)?;
        Ok(session)
    }

    /// What the folder says now.
    pub fn view(&self) -> Arc<View> {
        lock(&self.current).clone()
    }

    /// Turns to another folder. The old one stays open when the new one cannot be read.
    pub fn open(&self, folder: &Path) -> Result<SourceState> {
        let path = folder
            .canonicalize()
            .map_err(|error| Fault::file("open", folder, &error))?;
        let folder = Folder::open(&path).map_err(|error| Fault::from(&error))?;
        let view = Arc::new(View::new(&path, folder.reading(), self.view().epoch + 1));
        let state = view.state();
        *lock(&self.current) = view;
        let (current, events) = (self.current.clone(), self.events.clone());
        let watch = Watch::start(folder, move |folder, error| {
            let mut reading = folder.reading();
            reading.errors.extend(error);
            let mut view = lock(&current);
            // The watch of a folder that was left may still fire once.
            if view.folder == folder.path() {
                *view = Arc::new(View::new(folder.path(), reading, view.epoch + 1));
                let state = view.state();
                drop(view);
                events.send(Event::SourceChanged(state));
            }
        })
        .map_err(|error| Fault::new("watch", error.to_string()))?;
        *lock(&self.watch) = Some(watch);
        self.events.send(Event::SourceChanged(state.clone()));
        Ok(state)
    }
}

// The guarded values are replaced whole: a panic elsewhere cannot leave them half written.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
