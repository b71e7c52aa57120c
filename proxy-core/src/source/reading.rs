//! What a folder of YAML and JSON files says. What cannot be read is an error with its place, and takes nothing else
//! down.

use std::{
    borrow::Cow,
    collections::HashSet,
    ffi::OsStr,
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::read::GzDecoder;

use super::parts;
use crate::{
    model::{self, ModelError, Place, World},
    yaml,
};

/// Deepest folder that is read.
pub(super) const MAX_DEPTH: usize = 16;

/// What a folder says.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// All objects.
    pub world: World,
    /// What could not be read, in file order.
    pub errors: Vec<SourceError>,
    /// Files read.
    pub files: usize,
    /// Objects taken or ignored.
    pub objects: u32,
    /// Which one of several policies for the same place this is, where the folder says so: the later has the higher
    /// number.
    pub generation: Option<u64>,
}

/// Why a file, or an object in it, cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The file or folder cannot be opened.
    #[error("{}: {message}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The system's words.
        message: String,
    },
    /// The parts that a file is in are not all there, or are of another version of it.
    #[error("{}: its parts are not all of one version yet", .0.display())]
    Incomplete(PathBuf),
    /// The file is no YAML or JSON.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong.
        message: String,
    },
    /// An object in the file is wrong.
    #[error(transparent)]
    Object(Box<ModelError>),
}

/// Reads all manifests below `folder`. Fails only when the folder itself cannot be read.
pub fn read_folder(folder: &Path) -> Result<Reading, SourceError> {
    super::Folder::open(folder).map(|folder| folder.reading())
}

/// Reads texts as the files of one policy.
pub fn read_texts<'t>(files: impl IntoIterator<Item = (&'t str, &'t [u8])>) -> Reading {
    let mut reading = Reading::default();
    for (name, bytes) in files {
        reading.add(&name.into(), bytes);
    }
    reading
}

/// Reads files and folders as one policy; every file is named by its path as given, and counts once where a path is below
/// another one. Fails when one of `paths` itself cannot be read.
pub fn read_paths(paths: &[PathBuf]) -> Result<Reading, SourceError> {
    let mut reading = Reading::default();
    let mut known = HashSet::new();
    for path in paths {
        let files = if path.is_dir() {
            let mut listing = list(path).map_err(|error| unreadable(path, &error))?;
            listing.paths.sort();
            reading.errors.append(&mut listing.unlisted);
            listing.paths
        } else {
            fs::File::open(path).map_err(|error| unreadable(path, &error))?;
            vec![path.clone()]
        };
        // What has no path of its own, such as a pipe, is no other one.
        let identity = |file: &PathBuf| fs::canonicalize(file).unwrap_or_else(|_| file.clone());
        let files: Vec<PathBuf> = files
            .into_iter()
            .filter(|file| !known.contains(&identity(file)))
            .collect();
        known.extend(files.iter().map(identity));
        for file in files {
            match parts::read(&file) {
                Ok(bytes) => reading.add(&shown(file.as_os_str()).into(), &bytes),
                Err(_) if is_gone(&file) => {}
                Err(error) => reading.errors.push(error),
            }
        }
    }
    Ok(reading)
}

impl Reading {
    /// That a file of it is in parts that are not of one version, and what it says is not known yet.
    pub fn incomplete(&self) -> Option<&SourceError> {
        let mut errors = self.errors.iter();
        errors.find(|error| matches!(error, SourceError::Incomplete(_)))
    }

    fn add(&mut self, name: &Arc<str>, bytes: &[u8]) {
        let (world, objects, errors) = read_file(name, bytes);
        self.files += 1;
        self.world.extend(&world);
        self.objects += objects;
        self.errors.extend(errors);
    }
}

/// A file's text, unpacked where it is gzip: no more of it than is read, and one byte, so that the reader says that it is too
/// much.
pub fn unpacked(bytes: &[u8]) -> io::Result<Cow<'_, [u8]>> {
    const MAGIC: [u8; 2] = [0x1f, 0x8b];
    if !bytes.starts_with(&MAGIC) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut text = Vec::new();
    GzDecoder::new(bytes)
        .take(yaml::MAX_BYTES as u64 + 1)
        .read_to_end(&mut text)?;
    Ok(Cow::Owned(text))
}

/// Reads one file's text; returns its objects, their number, and what could not be taken.
pub(super) fn read_file(name: &Arc<str>, bytes: &[u8]) -> (World, u32, Vec<SourceError>) {
    let (mut world, mut order, mut errors) = (World::default(), 0, Vec::new());
    // Packed or in parts, it is the same policy, with the same lines.
    let plain = name.strip_suffix(".parts").unwrap_or(name);
    let name = &match plain.strip_suffix(".gz").unwrap_or(plain) {
        plain if plain.len() == name.len() => name.clone(),
        plain => plain.into(),
    };
    let text = match unpacked(bytes) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("gzip: {error}");
            let place = Place {
                file: name.clone(),
                line: 1,
                column: 1,
            };
            return (world, 0, vec![SourceError::Syntax { place, message }]);
        }
    };
    let read = yaml::each(&text, |document| {
        model::add_document(&document, name, &mut order, &mut world, &mut errors);
    });
    if let Err(error) = read {
        let place = Place {
            file: name.clone(),
            line: error.line,
            column: error.column,
        };
        let message = error.message;
        return (World::default(), 0, vec![SourceError::Syntax { place, message }]);
    }
    let of_object = |error| SourceError::Object(Box::new(error));
    (world, order, errors.into_iter().map(of_object).collect())
}

/// True where nothing is at `path`, not even a link that leads nowhere.
pub(super) fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> SourceError {
    SourceError::Unreadable {
        path: path.to_path_buf(),
        message: error.to_string(),
    }
}

/// Path below the folder with `/` on every system.
pub(super) fn relative(folder: &Path, path: &Path) -> String {
    let below = path.strip_prefix(folder).unwrap_or(path);
    below.iter().map(shown).collect::<Vec<_>>().join("/")
}

/// A name as text. Bytes that are no UTF-8 are written as `\xff`: no two files may have one name, since only one of them
/// would count.
fn shown(name: &OsStr) -> String {
    let chunks = name.as_encoded_bytes().utf8_chunks();
    chunks.fold(String::new(), |text, chunk| {
        text + chunk.valid() + &chunk.invalid().escape_ascii().to_string()
    })
}

/// The files below a folder, and whether links are among them or lead to them.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub paths: Vec<PathBuf>,
    pub linked: bool,
    /// Folders and files below it that may not be looked at.
    pub unlisted: Vec<SourceError>,
}

impl Listing {
    /// A link that leads nowhere is left out, as what was deleted meanwhile is; all else is told.
    fn cannot_read(&mut self, path: &Path, error: &io::Error) {
        if error.kind() != io::ErrorKind::NotFound {
            self.unlisted.push(unreadable(path, error));
        }
    }
}

/// Manifests below `folder`. Hidden entries are skipped: editors' and git's files, and the `..data` links of mounted
/// ConfigMaps, which hold every file a second time. A folder to which several paths lead is listed once, below itself
/// rather than below a link to it: by links that lead back up there would be more paths than can be gone through.
pub(super) fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut seen = HashSet::new();
    let (mut folders, mut links) = (vec![(folder.to_path_buf(), 0)], Vec::new());
    while let Some((folder, depth)) = folders.pop().or_else(|| links.pop()) {
        let metadata = fs::metadata(&folder)?;
        if !seen.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(error),
            Err(error) => {
                listing.cannot_read(&folder, &error);
                continue;
            }
        };
        for entry in entries {
            let entry = entry?;
            if is_hidden(&entry.file_name()) {
                continue;
            }
            let path = entry.path();
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            listing.linked |= is_link;
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) => {
                    listing.cannot_read(&path, &error);
                    continue;
                }
            };
            if metadata.is_dir() && depth < MAX_DEPTH {
                let below = if is_link { &mut links } else { &mut folders };
                below.push((path, depth + 1));
            } else if metadata.is_file() && is_manifest(&path) {
                listing.paths.push(path);
            }
        }
    }
    Ok(listing)
}

/// The manifests below a folder as they are read, by their paths relative to it.
pub fn manifests(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let listing = list(folder)?;
    if let Some(error) = listing.unlisted.into_iter().next() {
        return Err(io::Error::other(error));
    }
    let paths = listing.paths.into_iter();
    let below = paths.filter_map(|path| path.strip_prefix(folder).map(Path::to_path_buf).ok());
    Ok(below.collect())
}

/// Whether an entry of this name is passed over.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether a file is called as manifests are, which may be packed and in parts: a ConfigMap has no room for large ones.
pub(super) fn is_manifest(path: &Path) -> bool {
    if parts::is_list(path) {
        return path
            .file_stem()
            .map(Path::new)
            .is_some_and(|whole| !parts::is_list(whole) && is_manifest(whole));
    }
    let known = |extension: &OsStr| ["yaml", "yml", "json"].iter().any(|known| extension == *known);
    match path.extension() {
        Some(packed) if packed == "gz" => path
            .file_stem()
            .map(Path::new)
            .and_then(Path::extension)
            .is_some_and(known),
        extension => extension.is_some_and(known),
    }
}
