//! Writes a set of files: each of them is the old or the new one at every moment, and either all are written or the
//! caller is told what became of which.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{CUT_SHORT, Store};
use crate::fault::{Fault, Result};

/// Code of the fault of a file that does not hold what was written to it.
pub const VERIFY: &str = "verify";

/// What happens to one file. `None` is a file that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEdit {
    /// Relative to the folder, `/` separated.
    pub file: String,
    /// What it must hold now.
    pub before: Option<Vec<u8>>,
    /// What it will hold.
    pub after: Option<Vec<u8>>,
}

impl FileEdit {
    /// The edit that takes this one back.
    pub fn reversed(&self) -> Self {
        Self {
            file: self.file.clone(),
            before: self.after.clone(),
            after: self.before.clone(),
        }
    }
}

/// The file as it is now, `None` where there is none.
pub fn read(folder: &Path, file: &str) -> Result<Option<Vec<u8>>> {
    let path = inside(folder, file)?;
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::file("read", &path, &error)),
    }
}

/// Writes all of `edits`. Files that are not what `before` says stop everything before the first is touched; a file that
/// cannot be written takes those already written back.
pub fn write_all(folder: &Path, edits: &[FileEdit]) -> Result<()> {
    for edit in edits {
        if read(folder, &edit.file)? != edit.before {
            return Err(changed(&edit.file));
        }
    }
    write_each(folder, edits, write_one)
}

/// Writes them by `write`, which takes those already written back where one fails.
pub(super) fn write_each(
    folder: &Path,
    edits: &[FileEdit],
    write: impl Fn(&Path, &FileEdit) -> Result<()>,
) -> Result<()> {
    for (index, edit) in edits.iter().enumerate() {
        if let Err(fault) = write(folder, edit) {
            // It may have been changed all the same: the folder is flushed last.
            let changed = index + usize::from(holds_new(folder, edit));
            return Err(take_back(folder, &edits[..changed], &write, fault));
        }
    }
    Ok(())
}

/// Reads all files again and compares them with what they should hold.
pub fn verify(store: &dyn Store, edits: &[FileEdit]) -> Result<()> {
    for edit in edits {
        if store.read_now(&edit.file)? != edit.after {
            return Err(Fault::new(
                VERIFY,
                format!("{} was written, and holds something else since.", edit.file),
            )
            .hint("Something else writes it. Changes shows what was written; review before you apply again."));
        }
    }
    Ok(())
}

/// A file changed on disk since it was read.
pub fn changed(file: &str) -> Fault {
    Fault::new("conflict", format!("{file} has changed since the edit was staged."))
        .hint("Review shows both versions; choose which to keep.")
}

fn holds_new(folder: &Path, edit: &FileEdit) -> bool {
    read(folder, &edit.file).is_ok_and(|now| now == edit.after && now != edit.before)
}

fn take_back(
    folder: &Path,
    written: &[FileEdit],
    write: impl Fn(&Path, &FileEdit) -> Result<()>,
    mut fault: Fault,
) -> Fault {
    let left: Vec<&str> = written
        .iter()
        .rev()
        .filter(|edit| {
            let back = edit.reversed();
            write(folder, &back).is_err() && !holds_new(folder, &back)
        })
        .map(|edit| edit.file.as_str())
        .collect();
    fault.hint = Some(if left.is_empty() {
        "No file was changed.".to_string()
    } else {
        fault.code = CUT_SHORT.into();
        format!(
            "These files hold the new version and could not be taken back: {}.",
            left.join(", ")
        )
    });
    fault
}

pub(super) fn write_one(folder: &Path, edit: &FileEdit) -> Result<()> {
    let path = inside(folder, &edit.file)?;
    if read(folder, &edit.file)? != edit.before {
        return Err(changed(&edit.file));
    }
    match &edit.after {
        Some(bytes) => replace(&path, bytes).map_err(|error| Fault::file("write", &path, &error)),
        None => remove(folder, &path).map_err(|error| Fault::file("delete", &path, &error)),
    }
}

/// A temporary file beside the old one, flushed to disk, then moved over it. A link is followed, so that it stays one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // Hidden, so that no reader of the folder takes it for a manifest.
    let mut temporary = tempfile::Builder::new().prefix(".egret-").tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    let permissions = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions(),
        Err(_) => std::os::unix::fs::PermissionsExt::from_mode(0o644),
    };
    temporary.as_file().set_permissions(permissions)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Deletes the file, and folders that are empty without it.
fn remove(root: &Path, path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    let folders = path.ancestors().skip(1).take_while(|folder| *folder != root);
    for folder in folders {
        if fs::remove_dir(folder).is_err() {
            File::open(folder)?.sync_all()?;
            return Ok(());
        }
    }
    File::open(root)?.sync_all()
}

/// Files are named relative to the folder and never lead out of it.
pub fn inside(folder: &Path, file: &str) -> Result<PathBuf> {
    let relative = Path::new(file);
    let plain = relative
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    if file.is_empty() || !plain {
        return Err(Fault::input(format!("{file:?} is no file of this folder.")));
    }
    Ok(folder.join(relative))
}
