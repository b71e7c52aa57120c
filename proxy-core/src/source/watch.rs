//! Watches a folder and reads it again when something in it changes.

use std::{
    path::Path,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use notify::{RecursiveMode, Watcher};

use super::{Folder, SourceError};

/// Editors write in several steps; waiting this long for silence reads most saves once, and is far below what a person
/// notices.
const QUIET: Duration = Duration::from_millis(15);

/// Where the system's notifications fail (network file systems, exhausted watches), the folder is read this often.
const FALLBACK: Duration = Duration::from_secs(2);

/// Watching ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    _watcher: Option<notify::RecommendedWatcher>,
    _stop_tx: mpsc::Sender<()>,
}

/// The watching thread could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the folder cannot be watched: {0}")]
pub struct WatchError(#[from] std::io::Error);

impl Watch {
    /// Calls `changed` from a thread of its own whenever the folder says something new, or stops being readable.
    pub fn start(
        mut folder: Folder,
        mut changed: impl FnMut(&Folder, Option<SourceError>) + Send + 'static,
    ) -> Result<Self, WatchError> {
        let (event_tx, event_rx) = mpsc::channel();
        let (stop_tx, stop_rx) = mpsc::channel::<()>();
        let watcher = watcher(folder.path(), event_tx);
        let wait = if watcher.is_some() {
            Duration::from_secs(30)
        } else {
            FALLBACK
        };
        thread::Builder::new().name("policy-watch".into()).spawn(move || {
            let mut unreadable = false;
            loop {
                match event_rx.recv_timeout(wait) {
                    Ok(()) => while event_rx.recv_timeout(QUIET).is_ok() {},
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => thread::sleep(FALLBACK),
                }
                if stop_rx.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
                    return;
                }
                match folder.refresh() {
                    Ok(new) => {
                        if new || unreadable {
                            changed(&folder, None);
                        }
                        unreadable = false;
                    }
                    Err(error) if !unreadable => {
                        unreadable = true;
                        changed(&folder, Some(error));
                    }
                    Err(_) => {}
                }
            }
        })?;
        Ok(Self {
            _watcher: watcher,
            _stop_tx: stop_tx,
        })
    }
}

/// The system's watcher, `None` where there is none to be had.
fn watcher(path: &Path, event_tx: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // The thread has ended: nobody waits for changes any more.
            let _ = event_tx.send(());
        }
    })
    .ok()?;
    watcher.watch(path, RecursiveMode::Recursive).ok()?;
    Some(watcher)
}
