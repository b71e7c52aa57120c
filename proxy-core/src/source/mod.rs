//! Where resources come from: folders of manifests, read and watched.

pub mod edit;
mod folder;
mod parts;
mod reading;
#[cfg(feature = "sidecar")]
mod watch;

pub use folder::Folder;
pub use parts::list_of_parts;
pub use reading::{Reading, SourceError, manifests, read_folder, read_paths, read_texts, unpacked};
#[cfg(feature = "sidecar")]
pub use watch::{Watch, WatchError};
