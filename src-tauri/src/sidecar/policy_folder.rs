//! A policy that is not the source's own: a private folder that says what the source says, with the staged files in the place
//! of its own where they are wanted. What is not staged is linked where that is possible, so that the copy of a large source
//! costs little; every file is replaced as a whole. What is pinned is copied: nobody writes into it any more.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use proxy_core::source::manifests;

use super::Sidecar;
use crate::{change::FileEdit, dto::PolicyChoice, fault::Result};

/// The folder. Dropping it takes it away.
#[derive(Debug)]
pub struct PolicyFolder {
    own: PathBuf,
    turn: Mutex<()>,
    /// When the files that are linked had been written last.
    linked: Mutex<HashMap<PathBuf, SystemTime>>,
}

impl PolicyFolder {
    /// An empty one at `own`, which only its owner can read.
    pub fn new(own: PathBuf) -> io::Result<Self> {
        match fs::remove_dir_all(&own) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&own)?;
        Ok(Self {
            own,
            turn: Mutex::default(),
            linked: Mutex::default(),
        })
    }

    /// One at `own` that goes on saying what `source` says now with `staged` in it.
    pub fn pin(own: PathBuf, source: &Path, staged: &[FileEdit]) -> io::Result<Self> {
        let pinned = Self::new(own)?;
        pinned.keep(source, staged)?;
        // A program that writes into a file instead of replacing it would write into the link too.
        for file in manifests(&pinned.own)? {
            let text = fs::read(pinned.own.join(&file))?;
            pinned.put(&file, &text)?;
        }
        Ok(pinned)
    }

    /// Makes it say nothing.
    pub fn clear(&self) -> io::Result<()> {
        let all = manifests(&self.own)?;
        all.into_iter()
            .try_for_each(|file| fs::remove_file(self.own.join(file)))
    }

    /// Files that it holds.
    pub fn files(&self) -> io::Result<usize> {
        Ok(manifests(&self.own)?.len())
    }

    pub fn path(&self) -> &Path {
        &self.own
    }

    /// Held by who brings it up: what was staged later is not overtaken.
    pub fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes it say what `source` says with `staged` in it.
    pub fn keep(&self, source: &Path, staged: &[FileEdit]) -> io::Result<()> {
        let staged: BTreeMap<PathBuf, Option<&[u8]>> = staged
            .iter()
            .map(|edit| (PathBuf::from(&edit.file), edit.after.as_deref()))
            .collect();
        let mut wanted = manifests(source)?;
        wanted.retain(|file| !staged.contains_key(file));
        for file in &wanted {
            self.take(&source.join(file), file)?;
        }
        for (file, text) in &staged {
            if let Some(text) = text {
                self.write(file, text)?;
                wanted.push(file.clone());
            }
        }
        wanted.sort();
        for file in manifests(&self.own)? {
            if wanted.binary_search(&file).is_err() {
                fs::remove_file(self.own.join(file))?;
            }
        }
        Ok(())
    }

    /// Links the file `from`, unless it is here already, or else copies it.
    fn take(&self, from: &Path, file: &Path) -> io::Result<()> {
        let gone = |error: io::Error| match error.kind() {
            // A file that goes while the folder is read is gone, and no error.
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        };
        let theirs = match fs::metadata(from) {
            Ok(theirs) => theirs,
            Err(error) => return gone(error),
        };
        let same = |own: &fs::Metadata| (own.dev(), own.ino()) == (theirs.dev(), theirs.ino());
        let own = fs::metadata(self.own.join(file)).ok();
        let written = theirs.modified()?;
        let known = self.linked().insert(file.to_path_buf(), written);
        if own.as_ref().is_some_and(same) {
            if known == Some(written) {
                return Ok(());
            }
            // Written into where it is: whoever watches this folder is told by a link that is made anew.
            fs::remove_file(self.own.join(file))?;
        }
        let temporary = self.beside(file)?;
        let linked = fs::hard_link(from, &temporary);
        // A link to a link would lead elsewhere from here.
        if linked.is_ok() && fs::symlink_metadata(&temporary)?.is_file() {
            return fs::rename(temporary, self.own.join(file));
        }
        let _ = fs::remove_file(&temporary);
        match fs::read(from) {
            Ok(text) => self.write(file, &text),
            Err(error) => gone(error),
        }
    }

    fn write(&self, file: &Path, text: &[u8]) -> io::Result<()> {
        let own = self.own.join(file);
        if fs::read(&own).is_ok_and(|known| known == text) {
            return Ok(());
        }
        self.put(file, text)
    }

    fn put(&self, file: &Path, text: &[u8]) -> io::Result<()> {
        let own = self.own.join(file);
        let temporary = self.beside(file)?;
        fs::write(&temporary, text)?;
        fs::rename(temporary, own)
    }

    fn linked(&self) -> MutexGuard<'_, HashMap<PathBuf, SystemTime>> {
        self.linked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A hidden name beside the file, so that no reader sees half of it.
    fn beside(&self, file: &Path) -> io::Result<PathBuf> {
        let own = self.own.join(file);
        let folder = own.parent().unwrap_or(&self.own);
        fs::create_dir_all(folder)?;
        let name = own.file_name().unwrap_or_default().to_string_lossy();
        let temporary = folder.join(format!(".{name}"));
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(temporary),
        }
    }
}

impl Sidecar {
    /// Lets `keep` bring the policy with the staged changes up; true where it is enforced. What kept it from being brought up
    /// is shown, and the policy stays as it was.
    pub fn keep_staged(&self, keep: impl FnOnce(&PolicyFolder) -> Result<()>) -> bool {
        let staged = {
            let inner = self.inner();
            inner.own.clone().filter(|_| inner.state.policy == PolicyChoice::Staged)
        };
        let Some(staged) = staged else {
            return false;
        };
        let turn = staged.turn();
        let fault = keep(&staged).err();
        drop(turn);
        let mut inner = self.inner();
        if inner.state.staged_fault != fault {
            inner.state.staged_fault = fault;
            drop(inner);
            self.told();
        }
        true
    }
}

impl Drop for PolicyFolder {
    fn drop(&mut self) {
        // It is made anew for each sandbox; what is left is taken away at the next start.
        let _ = fs::remove_dir_all(&self.own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(file: &str, after: Option<&str>) -> FileEdit {
        FileEdit {
            file: file.into(),
            before: None,
            after: after.map(|text| text.as_bytes().to_vec()),
        }
    }

    #[test]
    fn the_staged_files_stand_in_the_place_of_the_sources_own_and_the_source_stays_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("source");
        fs::create_dir_all(source.join("deep")).unwrap();
        for (file, text) in [
            ("a.yaml", "a"),
            ("deep/b.yaml", "b"),
            ("gone.yaml", "g"),
            ("note.txt", "n"),
        ] {
            fs::write(source.join(file), text).unwrap();
        }
        let staged = PolicyFolder::new(root.path().join("staged")).unwrap();
        let own = |file: &str| fs::read_to_string(staged.path().join(file)).ok();
        let edits = [
            edit("a.yaml", Some("new")),
            edit("gone.yaml", None),
            edit("x/y.yaml", Some("y")),
        ];
        staged.keep(&source, &edits).unwrap();
        assert_eq!(own("a.yaml").as_deref(), Some("new"));
        assert_eq!(
            (own("deep/b.yaml").as_deref(), own("x/y.yaml").as_deref()),
            (Some("b"), Some("y"))
        );
        assert_eq!((own("gone.yaml"), own("note.txt")), (None, None));
        assert_eq!(fs::read_to_string(source.join("a.yaml")).unwrap(), "a");

        // The source changes, and what is staged is taken back.
        fs::write(source.join("c.yaml"), "c").unwrap();
        fs::remove_file(source.join("deep/b.yaml")).unwrap();
        staged.keep(&source, &[]).unwrap();
        assert_eq!(
            (own("a.yaml").as_deref(), own("c.yaml").as_deref()),
            (Some("a"), Some("c"))
        );
        assert_eq!(
            (own("gone.yaml").as_deref(), own("x/y.yaml"), own("deep/b.yaml")),
            (Some("g"), None, None)
        );
        // Staged again over what is linked: the link goes, not what it leads to.
        staged.keep(&source, &edits).unwrap();
        assert_eq!(fs::read_to_string(source.join("a.yaml")).unwrap(), "a");
        let path = staged.path().to_path_buf();
        drop(staged);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_written_into_is_linked_anew_and_what_is_pinned_stays() {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("source");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("a.yaml"), "a").unwrap();
        let folder = PolicyFolder::new(root.path().join("own")).unwrap();
        folder.keep(&source, &[]).unwrap();
        let pinned = PolicyFolder::pin(root.path().join("pinned"), &source, &[edit("b.yaml", Some("b"))]).unwrap();

        let (told_tx, told_rx) = std::sync::mpsc::channel();
        let watched = proxy_core::source::Folder::open(folder.path()).unwrap();
        let _watch = proxy_core::source::Watch::start(watched, move |_, _| told_tx.send(()).unwrap()).unwrap();
        // In place, as some editors write.
        fs::write(source.join("a.yaml"), "kind: List").unwrap();
        folder.keep(&source, &[]).unwrap();
        told_rx.recv_timeout(std::time::Duration::from_secs(15)).unwrap();
        let of = |folder: &PolicyFolder, file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!(of(&folder, "a.yaml"), "kind: List");
        assert_eq!((&*of(&pinned, "a.yaml"), &*of(&pinned, "b.yaml")), ("a", "b"));

        pinned.clear().unwrap();
        assert_eq!((pinned.files().unwrap(), pinned.path().exists()), (0, true));
    }
}
