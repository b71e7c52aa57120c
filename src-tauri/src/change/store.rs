//! Where a change set is written. Files are named relative to the store, `/` separated; whatever holds them must give
//! back byte for byte what was written.

use std::{collections::BTreeSet, fmt::Debug, path::PathBuf};

use super::write::{self, FileEdit};
use crate::{cluster::Missing, dto::OwnersWay, fault::Result};

/// A change set as it is, or will be, stored.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stored {
    pub files: Vec<FileEdit>,
    /// What a person must know of it.
    pub warnings: Vec<String>,
}

impl From<Vec<FileEdit>> for Stored {
    fn from(files: Vec<FileEdit>) -> Self {
        Self {
            files,
            warnings: Vec::new(),
        }
    }
}

/// A folder of manifests, or a cluster that looks like one: a file for each object.
pub trait Store: Debug + Send + Sync {
    /// What the journal calls it; another one for each place.
    fn name(&self) -> String;

    /// The file as it is now, `None` where there is none.
    fn read(&self, file: &str) -> Result<Option<Vec<u8>>>;

    /// The same from the source itself, where `read` answers from a copy that may be behind.
    fn read_now(&self, file: &str) -> Result<Option<Vec<u8>>> {
        self.read(file)
    }

    /// Writes all of `edits`, none where one of them is not what `before` says. Gives them as they are stored: an API
    /// server may make something else of a text. A fault of code [`CUT_SHORT`](super::CUT_SHORT) says that something
    /// may have been written, any other one that nothing was.
    fn write_all(&self, edits: &[FileEdit]) -> Result<Stored>;

    /// The same, for what a person has agreed to beforehand: also while nothing else is written.
    fn write_back(&self, edits: &[FileEdit]) -> Result<Stored> {
        self.write_all(edits)
    }

    /// The command that does the same by hand.
    fn command(&self, edit: &FileEdit) -> String {
        match edit.after {
            Some(_) => format!("kubectl apply --server-side -f {}", edit.file),
            None => format!("kubectl delete -f {}", edit.file),
        }
    }

    /// Why nothing can be written now; a person can change that.
    fn locked(&self) -> Option<String> {
        None
    }

    /// Permissions that writing `edits` lacks.
    fn missing(&self, _edits: &[FileEdit]) -> Result<Option<Missing>> {
        Ok(None)
    }

    /// `edits` as they will be stored, or why they cannot be. Nothing is written. Files in `restored` become what they
    /// were; other new ones are Egret's.
    fn prepare(&self, edits: Vec<FileEdit>, _restored: &BTreeSet<String>) -> Result<Stored> {
        Ok(edits.into())
    }

    /// Who changed the file last, and when, where that is known.
    fn changed_by(&self, _file: &str) -> Option<String> {
        None
    }

    /// Tools that manage the objects of `edits`, each with its own way to make the change.
    fn owners(&self, _edits: &[FileEdit]) -> Vec<OwnersWay> {
        Vec::new()
    }

    /// True where objects of `kind` can be written.
    fn serves(&self, _kind: &str) -> bool {
        true
    }

    /// The file that a new object must stand in; `None` where any will do.
    fn file_of(&self, _kind: &str, _namespace: &str, _name: &str) -> Option<String> {
        None
    }
}

/// The path of a folder.
impl Store for PathBuf {
    fn name(&self) -> String {
        self.to_string_lossy().into_owned()
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>> {
        write::read(self, file)
    }

    fn write_all(&self, edits: &[FileEdit]) -> Result<Stored> {
        write::write_all(self, edits)?;
        Ok(edits.to_vec().into())
    }
}
