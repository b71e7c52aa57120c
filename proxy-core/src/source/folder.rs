//! A folder that is read again and again: only changed files are parsed, and a file that is broken keeps its last good
//! version in force.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    fs,
    hash::{Hash, Hasher},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::reading::{Reading, SourceError, list, read_file, relative, unreadable};
use crate::model::World;

/// A folder of manifests.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    files: BTreeMap<Arc<str>, File>,
}

/// One file: what it said when it last was good, and what is wrong with it now.
#[derive(Debug, Default)]
struct File {
    /// Of the bytes that were read last, good or not.
    hash: u64,
    /// The file's marks when these bytes were read, where they can be trusted.
    stamp: Option<Stamp>,
    good: World,
    objects: u64,
    errors: Vec<SourceError>,
}

/// What tells a file from its later versions without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    length: u64,
    inode: u64,
    changed: (i64, i64),
}

/// A file that changed this shortly before it was looked at may change once more within the clock's grain.
const GRAIN: Duration = Duration::from_secs(1);

impl Stamp {
    /// The marks of `path`; `None` where they are too young to be trusted.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let age = SystemTime::now().duration_since(metadata.modified().ok()?).ok()?;
        (age > GRAIN).then(|| Self {
            length: metadata.len(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl Folder {
    /// Reads `path`. Fails only when the folder itself cannot be read.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let mut folder = Self {
            path: path.to_path_buf(),
            files: BTreeMap::new(),
        };
        folder.refresh()?;
        Ok(folder)
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what changed; true when anything did. A folder that cannot be read leaves everything as it was.
    pub fn refresh(&mut self) -> Result<bool, SourceError> {
        let mut paths = Vec::new();
        list(&self.path, 0, &mut paths).map_err(|error| unreadable(&self.path, &error))?;
        let mut before = std::mem::take(&mut self.files);
        let count = before.len();
        let mut changed = paths.len() != count;
        for path in paths {
            let name: Arc<str> = relative(&self.path, &path).into();
            let known = before.remove(&name);
            changed |= known.is_none();
            let (file, differs) = refresh_file(&name, &path, known.unwrap_or_default());
            changed |= differs;
            self.files.insert(name, file);
        }
        Ok(changed)
    }

    /// What the folder says now.
    pub fn reading(&self) -> Reading {
        let mut reading = Reading {
            files: self.files.len(),
            ..Reading::default()
        };
        for file in self.files.values() {
            reading.world.extend(&file.good);
            reading.objects += file.objects;
            reading.errors.extend_from_slice(&file.errors);
        }
        reading
    }
}

fn refresh_file(name: &Arc<str>, path: &Path, mut file: File) -> (File, bool) {
    // Before the bytes: a change in between is seen the next time.
    let stamp = Stamp::of(path);
    if stamp.is_some() && stamp == file.stamp {
        return (file, false);
    }
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            // Half-written or forbidden: the last good version stays in force.
            let errors = vec![unreadable(path, &error)];
            let differs = file.errors != errors;
            file.errors = errors;
            file.hash = 0;
            file.stamp = None;
            return (file, differs);
        }
    };
    file.stamp = stamp;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    // 0 stands for a file that was never read.
    let hash = hasher.finish().max(1);
    if hash == file.hash {
        return (file, false);
    }
    file.hash = hash;
    let (world, objects, errors) = read_file(name, &bytes);
    if errors.is_empty() || file.objects == 0 {
        file.good = world;
        file.objects = objects;
    }
    file.errors = errors;
    (file, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str =
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec: {hosts: [a.com]}\n";

    fn hosts(folder: &Folder) -> Vec<String> {
        folder
            .reading()
            .world
            .service_entries
            .iter()
            .map(|entry| entry.spec.hosts[0].to_string())
            .collect()
    }

    #[test]
    fn a_broken_file_keeps_its_last_good_version_and_says_where() {
        let folder_path = std::env::temp_dir().join(format!("egret-folder-{}", std::process::id()));
        fs::create_dir_all(folder_path.join("sub/.git")).unwrap();
        let file = folder_path.join("sub/a.yaml");
        fs::write(&file, ENTRY).unwrap();
        fs::write(folder_path.join("sub/.git/b.yaml"), ENTRY).unwrap();
        fs::write(folder_path.join("notes.txt"), "not read").unwrap();
        let mut folder = Folder::open(&folder_path).unwrap();
        assert_eq!(hosts(&folder), ["a.com"]);
        assert!(!folder.refresh().unwrap(), "nothing changed");

        for broken in [
            "spec: [\n",
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec: {hosts: 1}\n",
        ] {
            fs::write(&file, broken).unwrap();
            assert!(folder.refresh().unwrap());
            assert_eq!(hosts(&folder), ["a.com"]);
            assert!(
                folder.reading().errors[0].to_string().starts_with("sub/a.yaml:"),
                "{}",
                folder.reading().errors[0]
            );
        }
        fs::write(&file, ENTRY.replace("a.com", "b.com")).unwrap();
        assert!(folder.refresh().unwrap());
        assert_eq!(
            (hosts(&folder), folder.reading().errors.len()),
            (vec!["b.com".to_string()], 0)
        );
        fs::remove_file(&file).unwrap();
        assert!(folder.refresh().unwrap());
        assert!(hosts(&folder).is_empty());
        fs::remove_dir_all(&folder_path).unwrap();
        assert!(folder.refresh().is_err());
    }
}
