//! What all windows share: the app's own data, and what is one for the whole process.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use proxy_core::model::IstioVersion;

use super::{claims::Claims, lock::Lock};
use crate::{
    cluster::{Kubeconfigs, Mirrors},
    fault::{Fault, Result},
    session::Origin,
    settings::Settings,
};

/// All of it.
#[derive(Debug)]
pub struct Shared {
    /// The user's data of this app.
    pub data: PathBuf,
    pub settings: Settings,
    pub kubeconfigs: Arc<Kubeconfigs>,
    pub(super) mirrors: Mirrors,
    pub(super) claims: Claims,
    /// Nobody else works with the data.
    _lock: Lock,
}

impl Shared {
    /// Reads what is kept below `data`, unless another process has it.
    pub fn open(data: &Path) -> Result<Arc<Self>> {
        fs::create_dir_all(data).map_err(|error| Fault::file("create", data, &error))?;
        let lock = Lock::take(data)?;
        Ok(Arc::new(Self {
            _lock: lock,
            data: data.to_path_buf(),
            settings: Settings::open(data),
            kubeconfigs: Kubeconfigs::open(data),
            mirrors: Mirrors::new(data),
            claims: Claims::default(),
        }))
    }

    /// The release of Istio that a person chose for a folder; a cluster's is what runs there.
    pub(super) fn version_for(&self, origin: &Origin) -> Option<IstioVersion> {
        match origin {
            Origin::Folder(_) => self.settings.istio_version(&origin.store().name()),
            Origin::Cluster(_) => None,
        }
    }

    /// The journal of all places; each window has a connection of its own, for which SQLite lets the others wait.
    pub(super) fn database(&self) -> PathBuf {
        self.data.join("journal.sqlite")
    }
}
