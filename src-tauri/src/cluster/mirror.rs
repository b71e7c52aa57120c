//! The private folder that says what the cluster says.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::core::{ApiResource, DynamicObject};

use super::{follow::Sink, kinds, standing::KindWatch};

/// The folder and how far each kind is.
#[derive(Debug)]
pub(super) struct Mirror {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By kind.
    watches: BTreeMap<String, KindWatch>,
    /// The newest version that was written of each file.
    versions: HashMap<String, u64>,
    /// Somebody reads it.
    open: bool,
}

impl Mirror {
    /// An empty mirror at `folder`, which only its owner can read.
    pub fn new(folder: &Path) -> io::Result<Arc<Self>> {
        use std::os::unix::fs::DirBuilderExt as _;
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Arc::new(Self {
            folder: folder.to_path_buf(),
            inner: Mutex::default(),
        }))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How the watches of each kind stand.
    pub fn watches(&self) -> BTreeMap<String, KindWatch> {
        self.lock().watches.clone()
    }

    /// How the watches of `kind` stand.
    pub fn watch(&self, kind: &str) -> KindWatch {
        self.lock().watches.get(kind).cloned().unwrap_or_default()
    }

    /// The text of a file; `None` where there is none.
    pub fn read(&self, file: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(self.folder.join(file)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Names of the objects of a kind that has no namespaces.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder.join(kind)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".yaml")?.to_string()))
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    /// From now on it may be read at any time.
    pub fn open(&self) {
        self.lock().open = true;
    }

    /// For what nobody reads yet.
    fn create(&self, file: &str, text: &str) -> io::Result<()> {
        let path = self.folder.join(file);
        match fs::write(&path, text) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
                fs::write(path, text)
            }
            written => written,
        }
    }

    /// A hidden file first, so that no reader sees half an object.
    fn replace(&self, file: &str, text: &str) -> io::Result<()> {
        let path = self.folder.join(file);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)?;
        let temporary = folder.join(format!(".{}", path.file_name().unwrap_or_default().to_string_lossy()));
        fs::write(&temporary, text)?;
        fs::rename(temporary, path)
    }

    /// Notes how the watches of a kind stand.
    pub fn note(&self, kind: &str, noted: impl FnOnce(&mut KindWatch)) {
        noted(self.lock().watches.entry(kind.to_string()).or_default());
    }

    // What is guarded is replaced whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Mirror {
    /// Takes a version of an object, unless a newer one is there.
    fn put(&self, object: &DynamicObject, resource: &ApiResource) -> io::Result<()> {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        if !kinds::wanted(&resource.kind, name) {
            return Ok(());
        }
        let file = file_of(object, resource);
        let version = version(object);
        let mut inner = self.lock();
        if inner
            .versions
            .get(&file)
            .zip(version.as_ref())
            .is_some_and(|(known, new)| known >= new)
        {
            return Ok(());
        }
        let text = kinds::render(object, resource);
        if !inner.open {
            self.create(&file, &text)?;
        } else if self.read(&file)?.as_deref() != Some(&text) {
            self.replace(&file, &text)?;
        }
        if let Some(version) = version {
            inner.versions.insert(file, version);
        }
        Ok(())
    }

    /// Forgets an object.
    fn remove(&self, file: &str) -> io::Result<()> {
        self.lock().versions.remove(file);
        match fs::remove_file(self.folder.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Forgets the objects of `kind` whose files are not wanted.
    fn keep(&self, kind: &str, wanted: &dyn Fn(&str) -> bool) -> io::Result<()> {
        let Ok(entries) = fs::read_dir(self.folder.join(kind)) else {
            return Ok(());
        };
        for entry in entries {
            let file = format!("{kind}/{}", entry?.file_name().to_string_lossy());
            if !wanted(&file) {
                self.remove(&file)?;
            }
        }
        Ok(())
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        // It is made anew for each connection; what is left is nobody's.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The file of an object.
pub(super) fn file_of(object: &DynamicObject, resource: &ApiResource) -> String {
    let metadata = &object.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    kinds::file(&resource.kind, namespace, metadata.name.as_deref().unwrap_or_default())
}

/// Kubernetes 1.35 and newer promise that versions of one object grow; before, etcd's did too.
fn version(object: &DynamicObject) -> Option<u64> {
    object.metadata.resource_version.as_deref()?.parse().ok()
}
