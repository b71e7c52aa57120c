//! An open cluster: client, watches, mirror.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams, core::ApiResource};
use proxy_core::{model::World, record::Formats};
use tokio::{runtime, time};

use super::{
    Context,
    connect::{self, told},
    follow::follow,
    kinds,
    logs::{LogState, Logs, follow_logs},
    mirror::{Mirror, Watch},
    pick::Chosen,
};
use crate::{
    fault::{Fault, Result},
    traffic::Traffic,
};

/// Longest that one exchange with the API server may take.
const CALL: Duration = Duration::from_secs(15);
/// Longest that the first lists may take.
const FIRST_LISTS: Duration = Duration::from_secs(30);
/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(10);

/// A connection to one context. Dropping it ends the watches and takes the mirror away.
pub struct Cluster {
    /// The context's name.
    pub context: String,
    /// The API server's address.
    pub server: String,
    /// The context's name looks like production.
    pub production: bool,
    /// The server's certificate is not checked.
    pub insecure: bool,
    /// Version of Kubernetes.
    pub version: String,
    pub(super) client: Client,
    pub(super) mirror: Arc<Mirror>,
    pub(super) resources: HashMap<String, ApiResource>,
    /// Nothing is written before a person switches it on.
    editing: AtomicBool,
    logs: Arc<Logs>,
    /// What this person may change: kinds, by the API server's own answer.
    rights: Vec<(String, bool)>,
    runtime: Option<runtime::Runtime>,
}

impl Cluster {
    /// Connects to `context` of the kubeconfig `file` and mirrors it into `folder`. Blocks until everything was listed
    /// once. `changed` is called when a watch is lost or comes back.
    pub fn open(
        context: &Context,
        file: Option<PathBuf>,
        folder: &Path,
        changed: impl Fn() + Clone + Send + Sync + 'static,
    ) -> Result<Arc<Self>> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cluster")
            .enable_all()
            .build()
            .map_err(|error| Fault::new("thread", error.to_string()))?;
        let mirror = Mirror::new(folder).map_err(|error| Fault::file("create", folder, &error))?;
        let name = context.name.clone();
        let (client, server, version, served, rights) = wait(&runtime, async move {
            let (client, server) = connect::connect(file.as_deref(), &name).await?;
            let version = client.apiserver_version().await.map_err(|error| told(&error))?;
            let served = kinds::served(&client).await?;
            let rights = rights(&client).await?;
            Ok((client, server, version.git_version, served, rights))
        })?;
        let resources = served
            .iter()
            .map(|kind| (kind.resource.kind.clone(), kind.resource.clone()))
            .collect();
        for kind in served {
            runtime.spawn(follow(mirror.clone(), client.clone(), kind, changed.clone()));
        }
        let cluster = Arc::new(Self {
            context: context.name.clone(),
            server,
            production: context.production,
            insecure: context.insecure,
            version,
            client,
            mirror,
            resources,
            editing: AtomicBool::new(false),
            logs: Arc::default(),
            rights,
            runtime: Some(runtime),
        });
        cluster.listed()?;
        Ok(cluster)
    }

    /// Waits until every kind was listed, or cannot be.
    fn listed(&self) -> Result<()> {
        let until = Instant::now() + FIRST_LISTS;
        loop {
            let watches = self.watches();
            let settled = |watch: &Watch| watch.synced || watch.lost.is_some();
            if watches.len() == self.resources.len() && watches.values().all(settled) {
                break;
            }
            if Instant::now() > until {
                return Err(Fault::new(
                    "slow",
                    format!("The API server lists its objects for more than {FIRST_LISTS:?}."),
                )
                .hint("Try again when it has less to do."));
            }
            std::thread::sleep(LOOK);
        }
        // Somebody who may read nothing at all sees an empty mesh, which would be a lie.
        match self.watches().into_values().find(|watch| !watch.synced) {
            Some(Watch {
                lost: Some((fault, _)), ..
            }) if self.watches().values().all(|watch| !watch.synced) => Err(fault),
            _ => Ok(()),
        }
    }

    /// The folder that says what the cluster says.
    pub fn folder(&self) -> &Path {
        self.mirror.folder()
    }

    /// How each kind's watch stands.
    pub(super) fn watches(&self) -> std::collections::BTreeMap<String, Watch> {
        self.mirror.watches()
    }

    /// Kinds that cannot be read now, with the reason, and for how long the oldest of them.
    pub fn lost(&self) -> Option<(Vec<String>, Fault, Duration)> {
        let watches = self.watches();
        let lost: Vec<_> = watches
            .iter()
            .filter_map(|(kind, watch)| Some((kind, watch.lost.as_ref()?)))
            // Who may not read it sees the policy whole, and is told where it matters: at the access logs.
            .filter(|(kind, (fault, _))| *kind != kinds::TELEMETRY || fault.code != "forbidden")
            .collect();
        let (_, (fault, since)) = lost.iter().min_by_key(|(_, (_, since))| *since)?;
        let kinds = lost.iter().map(|(kind, _)| (*kind).clone()).collect();
        Some((kinds, fault.clone(), since.elapsed()))
    }

    /// Adds what the mesh's sidecars log to `traffic`, from now on. `changed` is called when other pods are followed, or a
    /// line cannot be read for a new reason.
    pub fn follow_logs(&self, traffic: Arc<Traffic>, changed: impl Fn() + Send + Sync + 'static) {
        self.logs.tell(changed);
        if let Some(runtime) = &self.runtime {
            runtime.spawn(follow_logs(self.client.clone(), traffic, self.logs.clone()));
        }
    }

    /// How following the logs stands.
    pub fn logs(&self) -> LogState {
        self.logs.state()
    }

    /// Follows only the logs of these workloads (`namespace/name`) and namespaces; of all where there is none.
    pub fn choose_logs(&self, chosen: Chosen) {
        self.logs.choose(chosen);
    }

    /// Takes note of what the cluster says now: its sidecars may log in other formats.
    pub fn learn(&self, world: &World) {
        self.logs.set_formats(Formats::of(world));
    }

    /// What the sidecars write their access logs in.
    pub fn formats(&self) -> Arc<Formats> {
        self.logs.formats()
    }

    /// Why Telemetry cannot be read, where it cannot.
    pub fn unread_telemetry(&self) -> Option<Fault> {
        let lost = self.watches().remove(kinds::TELEMETRY)?.lost;
        lost.map(|(fault, _)| fault)
    }

    /// Switches editing on or off; off when a cluster is opened.
    pub fn set_editing(&self, on: bool) {
        self.editing.store(on, Ordering::Relaxed);
    }

    /// True while a person has editing switched on.
    pub fn is_editing(&self) -> bool {
        self.editing.load(Ordering::Relaxed)
    }

    /// Kinds that this person may not change.
    pub fn forbidden(&self) -> Vec<&str> {
        let forbidden = self.rights.iter().filter(|(_, allowed)| !allowed);
        forbidden.map(|(kind, _)| kind.as_str()).collect()
    }

    /// Runs one exchange with the API server on the cluster's own thread and waits for it, but not for ever.
    pub(super) fn call<T: Send + 'static>(
        &self,
        exchange: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match &self.runtime {
            Some(runtime) => wait(runtime, exchange),
            None => Err(Fault::new("cluster", "The connection to the cluster is closed.")),
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The last owner may be a task of another runtime, where blocking is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn wait<T: Send + 'static>(
    runtime: &runtime::Runtime,
    exchange: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let (done_tx, done_rx) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        let late = |_| Fault::new("slow", format!("The API server gave no answer within {CALL:?}."));
        let outcome = time::timeout(CALL, exchange)
            .await
            .map_err(late)
            .and_then(|outcome| outcome);
        // Who asked waits for nothing else.
        let _ = done_tx.send(outcome);
    });
    done_rx
        .recv()
        .unwrap_or_else(|_| Err(Fault::new("cluster", "The exchange with the API server broke off.")))
}

/// What this person may change, as the API server answers it.
async fn rights(client: &Client) -> Result<Vec<(String, bool)>> {
    let asked = [
        ("ServiceEntry", "networking.istio.io", "serviceentries", None),
        ("VirtualService", "networking.istio.io", "virtualservices", None),
        ("Sidecar", "networking.istio.io", "sidecars", None),
        ("ConfigMap", "", "configmaps", Some(kinds::ROOT_NAMESPACE)),
    ];
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let mut rights = Vec::new();
    for (kind, group, resource, namespace) in asked {
        let attributes = ResourceAttributes {
            verb: Some("patch".into()),
            group: Some(group.into()),
            resource: Some(resource.into()),
            namespace: namespace.map(str::to_string),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let answer = reviews
            .create(&PostParams::default(), &review)
            .await
            .map_err(|error| told(&error))?;
        rights.push((kind.to_string(), answer.status.is_some_and(|status| status.allowed)));
    }
    Ok(rights)
}
