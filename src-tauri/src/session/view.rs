//! What the folder says at one moment.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use proxy_core::{
    model::World,
    policy::{self, Snapshot},
    source::Reading,
};

use super::{Origin, planes::Planes, release::release};
use crate::{
    change::Store,
    cluster::Cluster,
    dto::{ClusterState, IgnoredKind, LostWatch, Right, SourceState, Workload},
    fault::Fault,
};

/// One reading of the folder, with the policy of each workload compiled when first asked for.
#[derive(Debug)]
pub struct View {
    pub folder: PathBuf,
    /// Where it comes from.
    pub origin: Origin,
    /// Where changes are written.
    pub store: Arc<dyn Store>,
    pub reading: Reading,
    /// Counts readings that differ.
    pub epoch: u64,
    /// When it was read, RFC 3339.
    pub read_at: String,
    snapshots: Mutex<HashMap<String, Arc<Snapshot>>>,
}

/// `namespace/name`.
pub fn workload_name(workload: &policy::Workload) -> String {
    format!("{}/{}", workload.namespace, workload.name)
}

impl View {
    /// A view of a person's own folder.
    #[cfg(test)]
    pub fn new(folder: &Path, reading: Reading, epoch: u64) -> Self {
        Self::of(Origin::Folder(folder.to_path_buf()), reading, epoch)
    }

    pub fn of(origin: Origin, reading: Reading, epoch: u64) -> Self {
        Self {
            folder: origin.folder().to_path_buf(),
            store: origin.store(),
            origin,
            reading,
            epoch,
            read_at: now(),
            snapshots: Mutex::default(),
        }
    }

    /// Tells the cluster what it says now.
    pub fn learned(&self) {
        if let Some(cluster) = self.origin.cluster() {
            cluster.learn(self.world());
        }
    }

    /// The objects.
    pub fn world(&self) -> &World {
        &self.reading.world
    }

    /// Who calls, in the order of the files.
    pub fn workloads(&self) -> Vec<policy::Workload> {
        self.workloads_on_hosts().map(|(workload, _)| workload).collect()
    }

    /// The same, each with whether its pods are in the network of their host.
    pub fn workloads_on_hosts(&self) -> impl Iterator<Item = (policy::Workload, bool)> {
        self.world().workloads.iter().map(|object| {
            let workload = policy::Workload {
                namespace: object.meta.namespace.clone(),
                name: object.meta.name.clone(),
                labels: object.spec.pod_labels.clone(),
                annotations: object.spec.pod_annotations.clone(),
                dns_capture: None,
            };
            (workload, object.spec.host_network)
        })
    }

    /// The workload called `namespace/name`.
    pub fn workload(&self, name: &str) -> Option<policy::Workload> {
        self.workloads()
            .into_iter()
            .find(|workload| workload_name(workload) == name)
    }

    /// The compiled policy of the workload called `namespace/name`. A workload that the folder does not declare is
    /// subject to what its namespace says.
    pub fn snapshot(&self, name: &str) -> Arc<Snapshot> {
        let mut snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = snapshots.get(name) {
            return snapshot.clone();
        }
        let workload = self.workload(name).unwrap_or_else(|| {
            let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
            policy::Workload {
                namespace: namespace.into(),
                name: name.into(),
                ..policy::Workload::default()
            }
        });
        let snapshot = Arc::new(policy::compile(self.world(), &workload));
        snapshots.insert(name.to_string(), snapshot.clone());
        snapshot
    }

    /// The text of a file of the folder.
    pub fn text(&self, file: &str) -> std::io::Result<String> {
        std::fs::read_to_string(self.folder.join(file))
    }

    /// Whether a change set can be applied now.
    pub fn is_editable(&self) -> bool {
        let cluster = self.origin.cluster();
        cluster.map_or_else(|| editable(&self.folder), |cluster| cluster.is_editing())
    }

    /// As the windows show it.
    pub fn state(&self) -> SourceState {
        let cluster = self.origin.cluster();
        let own_name = self.folder.file_name();
        let (name, path, editable) = match cluster {
            Some(cluster) => (cluster.context.clone(), cluster.server.clone(), self.is_editable()),
            None => (
                own_name.map_or("/".into(), |name| name.to_string_lossy().into_owned()),
                self.folder.display().to_string(),
                self.is_editable(),
            ),
        };
        let ignored = self.world().ignored.iter();
        SourceState {
            name,
            path,
            cluster: cluster.map(|cluster| cluster_state(cluster)),
            files: self.reading.files,
            objects: self.reading.objects,
            ignored: ignored
                .map(|(kind, count)| IgnoredKind {
                    kind: kind.clone(),
                    count: *count,
                })
                .collect(),
            epoch: self.epoch,
            read_at: self.read_at.clone(),
            editable,
            errors: self.reading.errors.iter().map(Fault::from).collect(),
            istio: release(self),
        }
    }

    /// Workloads for the pickers.
    pub fn workload_rows(&self) -> Vec<Workload> {
        let planes = Planes::of(self);
        let manifests = self.world().workloads.iter().map(|object| &object.spec);
        let rows = self
            .workloads_on_hosts()
            .zip(manifests)
            .map(|((workload, host_network), manifest)| {
                let carried = planes.workload(&workload, host_network);
                Workload {
                    name: workload_name(&workload),
                    kind: manifest.kind.to_string(),
                    service_account: manifest.service_account.clone(),
                    labels: workload.labels.into_iter().collect(),
                    plane: carried.plane,
                    revision: carried.revision,
                }
            });
        rows.collect()
    }
}

/// Now, RFC 3339 in UTC.
pub fn now() -> String {
    time_text(time::OffsetDateTime::now_utc())
}

/// A time as RFC 3339.
pub fn time_text(time: time::OffsetDateTime) -> String {
    time.format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_default()
}

fn cluster_state(cluster: &Cluster) -> ClusterState {
    ClusterState {
        file: cluster.opened_from().0.to_string(),
        version: cluster.version.clone(),
        production: cluster.production,
        insecure: cluster.insecure,
        editing: cluster.is_editing(),
        rights: cluster.rights().all().map(Right::from).collect(),
        locked_because: cluster.require_any_change().err().map(|fault| fault.message),
        lost: cluster.lost().map(|(kinds, fault, since)| LostWatch {
            kinds,
            fault,
            seconds: since.as_secs(),
        }),
        unseen: cluster.unseen(),
    }
}

/// Asks the system whether this user may create files in `folder`.
fn editable(folder: &Path) -> bool {
    nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK).is_ok()
}
