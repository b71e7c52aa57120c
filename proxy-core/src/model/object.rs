//! What every object has: an identity, metadata and the place where it is written.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    fmt::{self, Write as _},
    hash::Hasher as _,
    ops::Deref,
    sync::Arc,
};

use serde::Serialize;
use time::UtcDateTime;

/// Label or annotation map, ordered by key.
pub type Labels = BTreeMap<String, String>;

/// Labels of what has none mostly: there may be very many.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FewLabels(Option<Box<Labels>>);

impl From<Labels> for FewLabels {
    fn from(labels: Labels) -> Self {
        Self(Some(labels).filter(|labels| !labels.is_empty()).map(Box::new))
    }
}

impl Deref for FewLabels {
    type Target = Labels;

    fn deref(&self) -> &Labels {
        static NONE: Labels = Labels::new();
        self.0.as_deref().unwrap_or(&NONE)
    }
}

/// Where something is written: the file (relative to the folder, `/` separated) and a position counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Path relative to the source folder.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Metadata of an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Meta {
    /// Namespace; `default` where a namespaced manifest names none.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// `metadata.labels`.
    pub labels: FewLabels,
    /// `metadata.annotations`.
    pub annotations: FewLabels,
    /// `metadata.creationTimestamp`, where written.
    pub created: Option<UtcDateTime>,
    /// Order of appearance in its file; stands in for age, after the file's name, where no timestamp is written.
    pub order: u32,
}

/// One object with its metadata and place.
#[derive(Debug, Clone, PartialEq)]
pub struct Object<T> {
    /// Metadata.
    pub meta: Meta,
    /// Where its document starts.
    pub place: Place,
    /// What it says.
    pub spec: T,
    digest: u64,
}

/// Which object, and the file it is written in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ObjectName {
    /// Kind, such as `ServiceEntry`.
    pub kind: &'static str,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// File it is written in.
    pub file: Arc<str>,
}

/// Names an object in traces, findings and the journal. What is compiled refers to each object many times over, and so
/// the references share its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ObjectRef {
    #[serde(flatten)]
    object: Arc<ObjectName>,
    /// The line that matters: of the field that decided where known, else of the object.
    pub line: u32,
}

impl ObjectRef {
    /// The same object at another line.
    pub fn at(&self, line: u32) -> Self {
        Self {
            object: self.object.clone(),
            line,
        }
    }
}

impl Deref for ObjectRef {
    type Target = ObjectName;

    fn deref(&self) -> &ObjectName {
        &self.object
    }
}

impl<T: fmt::Debug> Object<T> {
    /// An object that says `spec`.
    pub fn new(meta: Meta, place: Place, spec: T) -> Self {
        let mut digest = Digest(DefaultHasher::new());
        // A hasher takes everything.
        let _ = write!(digest, "{meta:?}{place:?}{spec:?}");
        Self {
            meta,
            place,
            spec,
            digest: digest.0.finish(),
        }
    }

    /// The same object, with what it says changed.
    pub fn but(&self, change: impl FnOnce(&mut T)) -> Self
    where
        T: Clone,
    {
        let mut spec = self.spec.clone();
        change(&mut spec);
        Self::new(self.meta.clone(), self.place.clone(), spec)
    }
}

/// Hashes what is written to it.
struct Digest(DefaultHasher);

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl<T> Object<T> {
    /// A hash of everything that it says and of where it is written, stable from run to run. Taken once, when the object
    /// is read: a policy of many objects is hashed each time that it is compiled.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// A reference to this object pointing at `line`, or at the object's start when `line` is 0.
    pub fn reference(&self, kind: &'static str, line: u32) -> ObjectRef {
        ObjectRef {
            object: Arc::new(ObjectName {
                kind,
                namespace: self.meta.namespace.clone(),
                name: self.meta.name.clone(),
                file: self.place.file.clone(),
            }),
            line: if line == 0 { self.place.line } else { line },
        }
    }
}
