//! Where mirrors stand: in memory where the system has a folder for that, and in no case where another user can read.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
};

const PREFIX: &str = "egret-mirror-";

/// Gives each connection a folder of its own.
#[derive(Debug)]
pub struct Mirrors {
    root: PathBuf,
    next: AtomicU64,
}

impl Mirrors {
    /// Below the user's runtime folder, else below the app's data. What killed apps have left is taken away.
    pub fn new(data: &Path) -> Self {
        let runtime = env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|folder| folder.is_dir());
        let root = runtime.unwrap_or_else(|| data.to_path_buf());
        for entry in fs::read_dir(&root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name
                .strip_prefix(PREFIX)
                .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
            if owner.is_some_and(|owner| owner != process::id() && !Path::new("/proc").join(owner.to_string()).exists())
            {
                // It may be another user's in a shared folder; then it is theirs to take away.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Self {
            root,
            next: AtomicU64::new(1),
        }
    }

    /// A folder that no other connection has.
    pub fn next(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.root.join(format!("{PREFIX}{}-{number}", process::id()))
    }
}
