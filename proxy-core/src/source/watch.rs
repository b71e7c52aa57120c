//! Watches a folder and reads it again when something in it changes.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use notify::{RecursiveMode, Watcher};

use super::{Folder, SourceError};

/// Editors write in several steps; waiting this long for silence reads most saves once, and is far below what a person
/// notices.
const QUIET: Duration = Duration::from_millis(15);

/// A folder that never falls silent is read this often all the same.
const LONGEST_WAIT: Duration = Duration::from_millis(60);

/// Where the system's notifications fail (network file systems, exhausted watches), the folder is read this often.
const FALLBACK: Duration = Duration::from_secs(2);

/// Where they do not fail, the folder is read this often all the same.
const RARELY: Duration = Duration::from_secs(30);

/// Most paths that are read one by one; when more changed at once, the whole folder is read.
const MOST_PATHS: usize = 1_000;

/// What changed since the folder was read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Changed {
    At(BTreeSet<PathBuf>),
    Anywhere,
}

impl Default for Changed {
    fn default() -> Self {
        Self::At(BTreeSet::new())
    }
}

impl Changed {
    fn note(&mut self, event: notify::Result<notify::Event>) {
        match (&mut *self, event) {
            (Self::At(paths), Ok(event)) if !event.need_rescan() && !event.paths.is_empty() => {
                paths.extend(event.paths);
                if paths.len() > MOST_PATHS {
                    *self = Self::Anywhere;
                }
            }
            _ => *self = Self::Anywhere,
        }
    }

    fn refresh(&self, folder: &mut Folder) -> Result<bool, SourceError> {
        match self {
            Self::At(paths) => folder.refresh_at(paths.iter().map(PathBuf::as_path)),
            Self::Anywhere => folder.refresh(),
        }
    }
}

/// Watching ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    over: Arc<AtomicBool>,
    event_tx: mpsc::SyncSender<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Full: the thread will look anyway.
        let _ = self.event_tx.try_send(());
    }
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
        // One waiting event says all there is to say: look at what was noted.
        let (event_tx, event_rx) = mpsc::sync_channel(1);
        let over = Arc::<AtomicBool>::default();
        let noted = Arc::new(Mutex::new(Changed::default()));
        let watch = Self {
            over: over.clone(),
            event_tx: event_tx.clone(),
        };
        let mut watched = identity(folder.path());
        let mut watching = watcher(folder.path(), noted.clone(), event_tx.clone());
        // What has changed since it was read has not been told of.
        *lock(&noted) = Changed::Anywhere;
        let _ = event_tx.try_send(());
        thread::Builder::new().name("policy-watch".into()).spawn(move || {
            let mut unreadable = false;
            loop {
                let wait = match watching {
                    Some(_) if !unreadable => RARELY,
                    _ => FALLBACK,
                };
                let whole = match event_rx.recv_timeout(wait) {
                    Ok(()) => {
                        let deadline = Instant::now() + LONGEST_WAIT;
                        while event_rx.recv_timeout(QUIET).is_ok() && Instant::now() < deadline {}
                        false
                    }
                    Err(_) => true,
                };
                if over.load(Ordering::Relaxed) {
                    return;
                }
                // The watcher stays with the folder that it began with, wherever that is moved to: one that has taken its
                // place is watched anew, before it is read.
                let now = identity(folder.path());
                let replaced = now != watched;
                if replaced {
                    watched = now;
                    watching = watcher(folder.path(), noted.clone(), event_tx.clone());
                }
                let changes = std::mem::take(&mut *lock(&noted));
                let read = if whole || unreadable || replaced {
                    folder.refresh()
                } else {
                    changes.refresh(&mut folder)
                };
                match read {
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
        Ok(watch)
    }
}

/// Which folder is at `path` now; one made anew may have the number of the one before.
fn identity(path: &Path) -> Option<(u64, u64, Option<SystemTime>)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.created().ok()))
}

/// The system's watcher, `None` where there is none to be had.
fn watcher(
    path: &Path,
    noted: Arc<Mutex<Changed>>,
    event_tx: mpsc::SyncSender<()>,
) -> Option<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.as_ref().is_ok_and(|event| event.kind.is_access()) {
            return;
        }
        lock(&noted).note(event);
        // Full: the thread will look anyway. Closed: nobody waits for changes any more.
        let _ = event_tx.try_send(());
    })
    .ok()?;
    watcher.watch(path, RecursiveMode::Recursive).ok()?;
    Some(watcher)
}

// A set of paths is whole after every step of the above.
fn lock(noted: &Mutex<Changed>) -> std::sync::MutexGuard<'_, Changed> {
    noted.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(host: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a}}\nspec: {{hosts: [{host}]}}\n"
        )
    }

    fn watch(path: &Path) -> (Watch, impl Fn(&str)) {
        watch_read(Folder::open(path).unwrap())
    }

    /// Watches a folder that was read, and waits until its first host is the one that is asked for; an empty text where it
    /// has none.
    fn watch_read(folder: Folder) -> (Watch, impl Fn(&str)) {
        let (host_tx, host_rx) = mpsc::channel();
        let watch = Watch::start(folder, move |folder, _| {
            let entries = folder.reading().world.service_entries;
            let _ = host_tx.send(
                entries
                    .first()
                    .map_or(String::new(), |entry| entry.spec.hosts[0].to_string()),
            );
        });
        // Between truncation and writing an editor's file is empty; only where it ends counts.
        let settles = move |wanted: &str| {
            while host_rx
                .recv_timeout(Duration::from_secs(20))
                .expect("the change is seen")
                != wanted
            {}
        };
        (watch.unwrap(), settles)
    }

    #[test]
    fn a_folder_that_another_has_taken_the_place_of_is_watched_like_the_one_before() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("policy");
        fs::create_dir(&path).unwrap();
        let (_watch, settles) = watch(&path);
        for round in 0..2 {
            fs::rename(&path, place.path().join(format!("before-{round}"))).unwrap();
            fs::create_dir(&path).unwrap();
            for host in ["b.com", "c.com"] {
                fs::write(path.join("a.yaml"), entry(host)).unwrap();
                settles(host);
            }
        }
    }

    #[test]
    fn an_edit_a_rename_and_a_deletion_reach_the_callback() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, entry("a.com")).unwrap();
        let (_watch, settles) = watch(folder.path());
        fs::write(&file, entry("b.com")).unwrap();
        settles("b.com");
        fs::write(folder.path().join(".a.yaml.swp"), entry("c.com")).unwrap();
        fs::rename(folder.path().join(".a.yaml.swp"), &file).unwrap();
        settles("c.com");
        fs::remove_file(&file).unwrap();
        settles("");
    }

    #[test]
    fn what_changes_between_reading_and_watching_is_seen_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, entry("a.com")).unwrap();
        let read = Folder::open(folder.path()).unwrap();
        fs::write(&file, entry("b.com")).unwrap();
        let (_watch, settles) = watch_read(read);
        settles("b.com");
    }
}
