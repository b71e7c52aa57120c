//! An open cluster: client, watches, mirror.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kube::{Client, core::ApiResource};
use proxy_core::{model::World, record::Formats};
use tokio::{runtime, time};

use super::{
    allowed::Rights,
    attempt::{Attempt, Step},
    connect::{EXPIRED, FORBIDDEN, told},
    follow::{Follower, Sink},
    gates,
    istiod::{self, Homes},
    kinds,
    kubeconfigs::Target,
    listed::all_listed,
    logs::{LogState, Logs, follow_logs},
    mirror::Mirror,
    pick::Chosen,
    pods::{Pod, Pods},
    pulse::Pulse,
    renew::{self, Credentials},
    restart::Restarts,
    rights::Feature,
    services::Services,
    spaces::Spaces,
    standing::KindWatch,
};
use crate::{
    fault::{Fault, Result},
    traffic::Traffic,
};

/// Longest that one exchange with the API server may take.
const CALL: Duration = Duration::from_secs(15);
/// Longest that credentials may take: a program may open a browser for a person to log in.
const CREDENTIALS: Duration = Duration::from_secs(180);
/// Longest that a connection's tasks may take to end.
const END: Duration = Duration::from_secs(2);
/// How often a window is told of pods at most.
const PACE: Duration = Duration::from_millis(300);

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
    pub(super) pods: Arc<Pods>,
    pub(super) services: Arc<Services>,
    pub(super) restarts: Arc<Restarts>,
    pub(super) resources: HashMap<String, ApiResource>,
    /// Nothing is written before a person switches it on.
    editing: AtomicBool,
    logs: Arc<Logs>,
    pub(super) pulse: Pulse,
    pub(super) credentials: Arc<Credentials>,
    /// The namespaces that this person knows of.
    pub(super) spaces: Arc<Spaces>,
    /// Where the control planes are.
    pub(super) homes: Homes,
    /// What this person may do.
    pub(super) rights: Arc<Mutex<Rights>>,
    /// Who this person is to the API server, where it says so.
    pub(super) who: Option<String>,
    runtime: Option<runtime::Runtime>,
}

impl Cluster {
    /// Connects to `target` and mirrors its cluster into `folder`. Blocks until everything was listed once, or until
    /// `attempt` is called off. `changed` is called when a watch is lost or comes back.
    pub fn open(
        target: &Target,
        folder: &Path,
        changed: impl Fn() + Clone + Send + Sync + 'static,
        attempt: &Attempt,
    ) -> Result<Arc<Self>> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("cluster")
            .enable_all()
            .build()
            .map_err(|error| Fault::new("thread", error.to_string()))?;
        match Self::listed(&runtime, target, folder, changed, attempt) {
            Ok(mut cluster) => {
                cluster.runtime = Some(runtime);
                Ok(Arc::new(cluster))
            }
            Err(fault) => {
                // A program that gives credentials may still run: nobody waits for it.
                runtime.shutdown_background();
                Err(fault)
            }
        }
    }

    /// Everything but the thread that it lives on.
    fn listed(
        runtime: &runtime::Runtime,
        target: &Target,
        folder: &Path,
        changed: impl Fn() + Clone + Send + Sync + 'static,
        attempt: &Attempt,
    ) -> Result<Self> {
        let mirror = Mirror::new(folder).map_err(|error| Fault::file("create", folder, &error))?;
        attempt.step(Step::Credentials);
        let own = target.clone();
        let (client, credentials) = attempt.wait(runtime, CREDENTIALS, async move { renew::open(&own).await })?;
        attempt.step(Step::Version);
        let own = client.clone();
        let version = async move { own.apiserver_version().await.map_err(|error| told(&error)) };
        let version = attempt
            .wait(runtime, CALL, version)
            .map_err(|fault| target.explained(fault))?;
        attempt.step(Step::Kinds);
        let (own, named) = (client.clone(), target.namespaces());
        let found = async move {
            let homes = istiod::find(&own, &named).await;
            Ok((kinds::served(&own, &homes).await?, homes))
        };
        let (served, homes) = attempt.wait(runtime, CALL, found)?;
        let resources: HashMap<_, _> = served
            .iter()
            .map(|kind| (kind.resource.kind.clone(), kind.resource.clone()))
            .collect();
        let pods = Arc::new(Pods::default());
        let services = Services::new(mirror.clone());
        let own = credentials.clone();
        let (pulse, felt) = Pulse::of(move || own.client());
        runtime.spawn(felt);
        let spaces = Spaces::new(client.clone(), mirror.clone(), served.clone(), &target.namespaces());
        let kinds = served.len();
        for kind in served {
            let sink: Arc<dyn Sink> = match kind.resource.kind.as_str() {
                "Pod" => pods.clone(),
                "Service" => services.clone(),
                _ => mirror.clone(),
            };
            let follower = Follower {
                kind,
                sink,
                mirror: mirror.clone(),
                client: client.clone(),
                pulse: pulse.clone(),
                spaces: spaces.clone(),
                changed: changed.clone(),
            };
            runtime.spawn(follower.follow());
        }
        runtime.spawn(spaces.clone().scout());
        all_listed(&mirror, kinds, attempt)?;
        mirror.open();
        attempt.step(Step::Rights);
        let (own, namespaces, place) = (client.clone(), spaces.known(), homes.clone());
        let asked = async move { gates::ask(&own, &namespaces, &place).await };
        let (rights, who) = attempt.wait(runtime, CALL, asked)?;
        let rights = Arc::new(Mutex::new(rights));
        runtime.spawn(gates::keep_up(
            client.clone(),
            spaces.clone(),
            homes.clone(),
            rights.clone(),
            changed,
        ));
        Ok(Self {
            context: target.context.name.clone(),
            server: credentials.server().to_string(),
            production: target.context.production,
            insecure: target.context.insecure,
            version: version.git_version,
            client,
            mirror,
            pods,
            services,
            restarts: Arc::default(),
            resources,
            editing: AtomicBool::new(false),
            logs: Arc::default(),
            pulse,
            credentials,
            spaces,
            homes,
            rights,
            who,
            runtime: None,
        })
    }

    /// Closes the connection and waits until nothing works on the mirror any more: it is gone then.
    pub fn end(self: Arc<Self>) {
        let own = Arc::into_inner(self).and_then(|mut own| own.runtime.take());
        if let Some(runtime) = own {
            runtime.shutdown_timeout(END);
        }
    }

    /// The folder that says what the cluster says.
    pub fn folder(&self) -> &Path {
        self.mirror.folder()
    }

    /// How the watches of each kind stand.
    pub(super) fn watches(&self) -> BTreeMap<String, KindWatch> {
        self.mirror.watches()
    }

    /// Kinds that cannot be read now and were read before, with the reason, and for how long the oldest of them.
    pub fn lost(&self) -> Option<(Vec<String>, Fault, Duration)> {
        let watches = self.watches();
        let lost: Vec<_> = watches
            .iter()
            .filter(|(kind, watch)| {
                watch.is_seen() && !kinds::OPTIONAL.contains(&kind.as_str()) || !watch.whole.is_refused()
            })
            .filter_map(|(kind, watch)| Some((kind, watch.lost()?)))
            .collect();
        let (_, (fault, since)) = lost.iter().min_by_key(|(_, (_, since))| *since)?;
        let kinds = lost.iter().map(|(kind, _)| (*kind).clone()).collect();
        // Refused credentials were read anew: where that failed, this is what a person can mend.
        let why = (fault.code == EXPIRED).then(|| self.credentials.why()).flatten();
        let fault = self
            .credentials
            .target()
            .explained(why.unwrap_or_else(|| fault.clone()));
        Some((kinds, fault, since.elapsed()))
    }

    /// Adds what the mesh's sidecars log to `traffic`, from now on. `changed` is called when other pods are followed, or a
    /// line cannot be read for a new reason.
    pub fn follow_logs(&self, traffic: Arc<Traffic>, changed: impl Fn() + Send + Sync + 'static) {
        self.logs.tell(changed);
        let (client, pods) = (self.client.clone(), self.pods.clone());
        let pulse = self.pulse.clone();
        self.spawn(follow_logs(client, pods, pulse, traffic, self.logs.clone()));
    }

    /// The pods that have not ended.
    pub fn pods(&self) -> Vec<Pod> {
        self.pods.all()
    }

    /// Calls `changed` after the pods, or the restart under way, have changed; not more often than a window can show it.
    pub fn announce_pods(&self, changed: impl Fn() + Send + 'static) {
        let (mut pods, restarts) = (self.pods.changed.subscribe(), self.restarts.clone());
        self.spawn(async move {
            loop {
                tokio::select! {
                    seen = pods.changed() => if seen.is_err() { return },
                    () = restarts.changed.notified() => {}
                }
                changed();
                time::sleep(PACE).await;
            }
        });
    }

    /// Runs `task` on the cluster's own thread for as long as the cluster is open.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }

    /// How following the logs stands.
    pub fn logs(&self) -> LogState {
        let mut state = self.logs.state();
        let pods = self.mirror.watch("Pod");
        state.fault = state.fault.or(pods.lost().map(|(fault, _)| fault.clone()));
        if state.fault.as_ref().is_some_and(|fault| fault.code == FORBIDDEN) {
            // Which permissions are missing says more than which one was refused first.
            state.fault = self.forbidden(Feature::FollowLogs).or(state.fault);
        }
        state
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

    /// Why it cannot be told who writes access logs, where a kind that says so cannot be read.
    pub fn unread_access_logs(&self) -> Option<Fault> {
        self.unread(kinds::TELEMETRY)
            .or_else(|| self.unread(kinds::ENVOY_FILTER))
    }

    /// The namespaces of the control planes, that of the default one first.
    pub fn homes(&self) -> &[String] {
        self.homes.all()
    }

    /// Why the tags of revisions cannot be read, where they cannot.
    pub fn unread_tags(&self) -> Option<Fault> {
        self.unread(kinds::WEBHOOK)
    }

    fn unread(&self, kind: &str) -> Option<Fault> {
        let watch = self.mirror.watch(kind);
        // What holds for the whole mesh is written there.
        let lost = match watch.seen_in().any(|namespace| namespace == self.homes.main()) {
            true => watch.lost(),
            false => watch.whole.lost.as_ref(),
        };
        lost.map(|(fault, _)| fault.clone())
    }

    /// Switches editing on or off; off when a cluster is opened.
    pub fn set_editing(&self, on: bool) {
        self.editing.store(on, Ordering::Relaxed);
    }

    /// True while a person has editing switched on.
    pub fn is_editing(&self) -> bool {
        self.editing.load(Ordering::Relaxed)
    }

    /// The context it was opened from: its file's handle and its name.
    pub fn opened_from(&self) -> (&str, &str) {
        (&self.credentials.target().id, &self.context)
    }

    /// Whether the kubeconfig says something else of its context now.
    pub fn is_outdated(&self) -> bool {
        self.credentials.is_outdated()
    }

    /// Runs one exchange with the API server on the cluster's own thread and waits for it, but not for ever.
    pub(super) fn call<T: Send + 'static>(
        &self,
        exchange: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.call_within(CALL, exchange)
    }

    /// The same for an exchange that may take longer than others.
    pub(super) fn call_within<T: Send + 'static>(
        &self,
        limit: Duration,
        exchange: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match &self.runtime {
            Some(runtime) => Attempt::default().wait(runtime, limit, exchange),
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
