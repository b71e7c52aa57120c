//! A folder that is read again and again: only changed files are parsed, and a file that is broken keeps its last good
//! version in force.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    fs,
    hash::{Hash, Hasher},
    io,
    num::NonZero,
    ops::Bound,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use super::parts;
use super::reading::{
    MAX_DEPTH, Reading, SourceError, is_gone, is_hidden, is_manifest, list, read_file, relative, unpacked, unreadable,
};
use crate::model::{PackedWorld, Place};

/// A folder of manifests.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    files: BTreeMap<Arc<str>, File>,
    /// Links are among what was read: a change elsewhere may change what they lead to.
    linked: bool,
    /// Folders and files in it that may not be looked at.
    unlisted: Vec<SourceError>,
    /// What the file of this name says, if there is one.
    generation: Result<Option<u64>, SourceError>,
}

/// The file that says which of several policies for the same place a folder holds.
const GENERATION: &str = "generation";

/// One file: what it said when it last was good, and what is wrong with it now.
#[derive(Debug, Default)]
struct File {
    /// Of the bytes that were read last, good or not.
    hash: u64,
    /// The file's marks when these bytes were read, where they can be trusted.
    stamp: Option<Stamp>,
    good: PackedWorld,
    objects: u32,
    errors: Vec<SourceError>,
}

impl File {
    /// True where `path` went between the look at the folder and the reading: that file is no more, which is no error.
    fn went(&self, path: &Path) -> bool {
        self.hash == UNREAD && is_gone(path)
    }
}

/// The hash of a file that was not read.
const UNREAD: u64 = 0;

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
        let mut folder = Self::unread(path);
        folder.refresh()?;
        Ok(folder)
    }

    /// A folder of which nothing is known yet.
    pub fn unread(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            files: BTreeMap::new(),
            linked: false,
            unlisted: Vec::new(),
            generation: Ok(None),
        }
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what changed; true when anything did. A folder that cannot be read leaves everything as it was.
    pub fn refresh(&mut self) -> Result<bool, SourceError> {
        let listing = list(&self.path).map_err(|error| unreadable(&self.path, &error))?;
        self.linked = listing.linked;
        let mut before = std::mem::take(&mut self.files);
        let mut changed = listing.unlisted != self.unlisted;
        self.unlisted = listing.unlisted;
        let mut files: Vec<(Arc<str>, PathBuf, File)> = Vec::with_capacity(listing.paths.len());
        for path in listing.paths {
            let name: Arc<str> = relative(&self.path, &path).into();
            let known = before.remove(&name);
            changed |= known.is_none();
            files.push((name, path, known.unwrap_or_default()));
        }
        // What may not be looked at any more stays in force; what is left beyond that is no more.
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            before.into_iter().partition(|(name, _)| self.is_unlisted(name));
        changed |= !gone.is_empty();
        let differs = AtomicBool::new(changed);
        on_all_processors(&mut files, |(name, path, file)| {
            if refresh_file(name, path, file) {
                differs.store(true, Ordering::Relaxed);
            }
        });
        let there = files.into_iter().filter(|(_, path, file)| !file.went(path));
        self.files = there.map(|(name, _, file)| (name, file)).chain(kept).collect();
        let generation = generation(&self.path);
        let renumbered = generation != self.generation;
        self.generation = generation;
        Ok(differs.into_inner() || renumbered)
    }

    /// Reads what is at `paths` now; true when anything there changed. Where a path may stand for more than one file, the
    /// whole folder is read.
    pub fn refresh_at<'p>(&mut self, paths: impl IntoIterator<Item = &'p Path>) -> Result<bool, SourceError> {
        // What is below a folder that is gone did not change one by one.
        if !self.path.is_dir() {
            return self.refresh();
        }
        let mut changed = false;
        for path in paths {
            changed |= match self.stands_for(path) {
                Touched::Nothing => false,
                Touched::File(name) => {
                    let file = self.files.entry(name.clone()).or_default();
                    let differs = refresh_file(&name, path, file);
                    if file.went(path) {
                        self.files.remove(&name);
                    }
                    differs
                }
                Touched::Gone(name) => self.files.remove(&name).is_some(),
                Touched::More => return Ok(self.refresh()? || changed),
            };
        }
        Ok(changed)
    }

    /// Whether the file of this name is, or is in, what may not be looked at.
    fn is_unlisted(&self, name: &str) -> bool {
        self.unlisted.iter().any(|error| match error {
            SourceError::Unreadable { path, .. } => {
                let rest = name.strip_prefix(&relative(&self.path, path));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            _ => false,
        })
    }

    /// What a change at `path` is a change of.
    fn stands_for(&self, path: &Path) -> Touched {
        let Ok(below) = path.strip_prefix(&self.path) else {
            return Touched::More;
        };
        if self.linked || below.as_os_str().is_empty() {
            return Touched::More;
        }
        if below.iter().any(is_hidden) || below.iter().count() > MAX_DEPTH + 1 {
            return Touched::Nothing;
        }
        if below == Path::new(GENERATION) {
            return Touched::More;
        }
        let name: Arc<str> = relative(&self.path, path).into();
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() && is_manifest(path) => Touched::File(name),
            // Perhaps a part of one.
            Ok(metadata) if metadata.is_file() && self.has_parts() => Touched::More,
            Ok(metadata) if metadata.is_file() => Touched::Nothing,
            Err(_) if self.files.contains_key(&name) => Touched::Gone(name),
            // As what an editor writes before it takes the place of the file.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.has_below(&name) => Touched::Nothing,
            // A folder, a link, or what may have been a folder.
            _ => Touched::More,
        }
    }

    /// Whether a file is in parts.
    fn has_parts(&self) -> bool {
        self.files.keys().any(|name| parts::is_list(Path::new(&**name)))
    }

    /// Whether anything was read in a folder of this name.
    fn has_below(&self, name: &str) -> bool {
        let below = format!("{name}/");
        let mut from = self.files.range::<str, _>((Bound::Included(&*below), Bound::Unbounded));
        from.next().is_some_and(|(first, _)| first.starts_with(&below))
    }

    /// The manifests as they were read last, unpacked, by their names in the folder. Fails where one is another by now.
    pub fn texts(&self) -> io::Result<BTreeMap<String, String>> {
        let text = |name: &str, file: &File| {
            let bytes = parts::read(&self.path.join(name)).map_err(io::Error::other)?;
            if hash(&bytes) != file.hash {
                return Err(io::Error::other(format!("{name} has changed since it was read")));
            }
            let text = String::from_utf8(unpacked(&bytes)?.into_owned());
            text.map_err(io::Error::other)
        };
        self.files
            .iter()
            .map(|(name, file)| Ok((name.to_string(), text(name, file)?)))
            .collect()
    }

    /// What the folder says now.
    pub fn reading(&self) -> Reading {
        let mut reading = Reading {
            files: self.files.len(),
            generation: self.generation.as_ref().ok().copied().flatten(),
            errors: self
                .unlisted
                .iter()
                .chain(self.generation.as_ref().err())
                .cloned()
                .collect(),
            ..Reading::default()
        };
        for file in self.files.values() {
            reading.world.extend_packed(&file.good);
            reading.objects += file.objects;
            reading.errors.extend_from_slice(&file.errors);
        }
        reading
    }
}

/// The number in the file that says which policy `folder` holds.
fn generation(folder: &Path) -> Result<Option<u64>, SourceError> {
    let path = folder.join(GENERATION);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&path, &error)),
    };
    text.trim().parse().map(Some).map_err(|_| {
        let place = Place {
            file: GENERATION.into(),
            line: 1,
            column: 1,
        };
        let message = "expected a whole number, such as 7".into();
        SourceError::Syntax { place, message }
    })
}

/// What a path stands for.
enum Touched {
    /// What is not read.
    Nothing,
    /// One file, by its name.
    File(Arc<str>),
    /// One file that is no more.
    Gone(Arc<str>),
    /// Perhaps many.
    More,
}

/// Files that a thread takes at a time: few enough that a folder of some large files is shared out.
const PORTION: usize = 8;

/// Does `work` on all `items`, on as many threads as the machine has processors.
fn on_all_processors<T: Send>(items: &mut [T], work: impl Fn(&mut T) + Sync) {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = processors.min(items.len().div_ceil(PORTION));
    let portions = Mutex::new(items.chunks_mut(PORTION));
    let take = || {
        // The lock ends with the statement, before the work begins.
        let next = || portions.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(portion) = next() {
            portion.iter_mut().for_each(&work);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(take);
        }
        take();
    });
}

/// The hash of a file that says this.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish().max(UNREAD + 1)
}

/// Reads what is at `path` into `file` where it is not what was read before; true where anything changed.
fn refresh_file(name: &Arc<str>, path: &Path, file: &mut File) -> bool {
    // Before the bytes: a change in between is seen the next time.
    let stamp = Stamp::of(path);
    if stamp.is_some() && stamp == file.stamp {
        return false;
    }
    let bytes = match parts::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            // Half-written or forbidden: the last good version stays in force.
            let errors = vec![error];
            let differs = file.errors != errors;
            file.errors = errors;
            file.hash = UNREAD;
            file.stamp = None;
            return differs;
        }
    };
    file.stamp = stamp;
    let hash = hash(&bytes);
    if hash == file.hash {
        return false;
    }
    file.hash = hash;
    let (world, objects, errors) = read_file(name, &bytes);
    if errors.is_empty() || file.objects == 0 {
        file.good = world.into();
        file.objects = objects;
    }
    file.errors = errors;
    true
}

#[cfg(test)]
mod tests;
