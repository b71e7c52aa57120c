//! One process works with a data folder. A second one would take the countdowns of the first for ones that a killed app
//! left, revert them, and finish what the first is writing.

use std::{
    fs::{File, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::Path,
    process,
};

use crate::fault::{Fault, Result};

/// Its content, the number of the process that has the lock, is for people; the lock itself is the system's, and goes with
/// the process however it ends.
const FILE: &str = "lock";

/// The data folder is this process's, until this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the folder `data`, unless a process has it.
    pub fn take(data: &Path) -> Result<Self> {
        let path = data.join(FILE);
        let failed = |error: &io::Error| Fault::file("lock", &path, error);
        let open = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = open.map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // It says what is of use to a person, or nothing.
                let _ = file.read_to_string(&mut text);
                let which = match text.trim().parse::<u32>() {
                    Ok(number) => format!(" (process {number})"),
                    Err(_) => String::new(),
                };
                let message = format!("Egret runs already{which} with the data in {}.", data.display());
                return Err(Fault::new("running", message).hint(
                    "Go on in its window: Ctrl+Shift+N opens another source there. A second Egret needs a data folder \
                     of its own: start it with EGRET_DATA=FOLDER.",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", process::id()));
        written.map_err(|error| failed(&error))?;
        Ok(Self { _file: file })
    }
}

/// A copy of the files in `data`, as an app that is killed now leaves them: its lock goes with its process, and no process
/// ends in a test.
#[cfg(test)]
pub fn left_by_a_killed_app(data: &Path) -> std::path::PathBuf {
    let left = data.with_file_name("left");
    std::fs::create_dir(&left).unwrap();
    for entry in std::fs::read_dir(data).unwrap().flatten() {
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), left.join(entry.file_name())).unwrap();
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_is_of_one_process_until_it_ends() {
        let data = tempfile::tempdir().unwrap();
        let first = Lock::take(data.path()).unwrap();
        let fault = Lock::take(data.path()).unwrap_err();
        assert_eq!(fault.code, "running");
        assert!(
            fault.message.contains(&format!("process {}", process::id())),
            "{fault:?}"
        );
        assert!(fault.hint.as_deref().is_some_and(|hint| hint.contains("EGRET_DATA")));
        let other = tempfile::tempdir().unwrap();
        assert!(Lock::take(other.path()).is_ok());
        drop(first);
        assert!(Lock::take(data.path()).is_ok());
    }
}
