//! Where a view comes from: a folder of files, or a cluster's mirror.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{change::Store, cluster::Cluster};

/// The open source.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A person's own folder.
    Folder(PathBuf),
    /// A cluster; its mirror is the folder.
    Cluster(Arc<Cluster>),
}

impl Origin {
    /// The folder that is read.
    pub fn folder(&self) -> &Path {
        match self {
            Self::Folder(path) => path,
            Self::Cluster(cluster) => cluster.folder(),
        }
    }

    /// Where changes are written.
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Folder(path) => Arc::new(path.clone()),
            Self::Cluster(cluster) => cluster.clone(),
        }
    }

    /// The cluster, where it is one.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        match self {
            Self::Folder(_) => None,
            Self::Cluster(cluster) => Some(cluster),
        }
    }
}
