//! Where resources come from: folders of manifests.

mod folder;

pub use folder::{Reading, SourceError, read_folder};
