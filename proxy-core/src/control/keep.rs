//! The last good policy on disk: what a sidecar starts with where its folder tells it nothing, or tells less than what it
//! was sent before it was started again.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};

/// The file in the folder that `--keep` names.
const FILE: &str = "policy.json.gz";

/// A policy as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Its generation, where it has one.
    pub generation: Option<u64>,
    /// Since when it held, RFC 3339.
    pub since: String,
    /// Its files: text by name.
    pub files: BTreeMap<String, String>,
}

/// Where the last good policy is kept.
#[derive(Debug, Clone)]
pub(super) struct Keep {
    folder: PathBuf,
}

impl Keep {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// True where something is kept.
    pub fn exists(&self) -> bool {
        self.path().exists()
    }

    /// What is kept; `None` where nothing is, or nothing that can be read, which is told: it must not keep a sidecar from
    /// starting.
    pub fn read(&self) -> Option<Kept> {
        let path = self.path();
        let file = match File::open(&path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the kept policy cannot be read");
                return None;
            }
        };
        match serde_json::from_reader(GzDecoder::new(file)) {
            Ok(kept) => Some(kept),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the kept policy is damaged");
                None
            }
        }
    }

    /// Keeps a policy in the place of the one before. Where that fails the policy holds all the same, until the next
    /// start.
    pub fn write(&self, kept: &Kept) {
        if let Err(error) = self.try_write(kept) {
            let path = self.path();
            tracing::error!(path = %path.display(), %error, "the policy cannot be kept for the next start");
        }
    }

    fn try_write(&self, kept: &Kept) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let aside = tempfile::NamedTempFile::new_in(&self.folder)?;
        let mut packed = GzEncoder::new(aside, Compression::default());
        packed.write_all(&serde_json::to_vec(kept)?)?;
        let aside = packed.finish()?;
        // A node that loses power has the one before or this one, and nothing in between.
        aside.as_file().sync_all()?;
        aside.persist(self.path()).map_err(|error| error.error)?;
        Ok(())
    }

    fn path(&self) -> PathBuf {
        Path::join(&self.folder, FILE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_damage_is_nothing_kept() {
        let place = tempfile::tempdir().unwrap();
        let keep = Keep::new(place.path().join("made"));
        assert_eq!(keep.read(), None);
        let mut kept = Kept {
            generation: Some(7),
            since: "2026-11-23T14:00:00.000Z".into(),
            files: BTreeMap::from([("policy.yaml".into(), "a: 1\n".into())]),
        };
        for generation in [Some(7), None] {
            kept.generation = generation;
            keep.write(&kept);
            assert_eq!(keep.read().as_ref(), Some(&kept));
        }
        let bytes = fs::read(keep.path()).unwrap();
        fs::write(keep.path(), &bytes[..bytes.len() / 2]).unwrap();
        assert_eq!(keep.read(), None);
        assert_eq!(fs::read_dir(&keep.folder).unwrap().count(), 1, "nothing lies about");
    }
}
