//! What the mesh's own sidecars log, line by line as it is written: one stream a pod, up to a bound that is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use proxy_core::record::{FlowWorkload, Formats};
use tokio::{sync::Notify, task::JoinHandle, time};

use super::{
    lines::{Lines, Mark, SILENCE},
    pick::{Candidate, Chosen, pick},
    pods::Pods,
    pulse::Pulse,
};
use crate::{fault::Fault, traffic::Traffic};

/// Pods that are followed at once; each holds a connection to the API server.
pub const MAX_PODS: usize = 50;
pub(super) const SIDECAR: &str = "istio-proxy";
/// How often it is looked which pods there are, at most.
const PACE: Duration = Duration::from_millis(100);
/// What injection writes on every pod that it gives a sidecar.
pub(super) const INJECTED: &str = "security.istio.io/tlsMode";

/// How following stands.
#[derive(Debug, Clone, Default)]
pub struct LogState {
    /// Pods with a running sidecar.
    pub pods: usize,
    /// Of these, the ones that are followed.
    pub followed: usize,
    /// Workloads with the number of their pods, and how many of these are followed.
    pub workloads: BTreeMap<String, (usize, usize)>,
    /// The workloads and namespaces that a person chose; empty for all.
    pub chosen: Chosen,
    /// Lines that became flows.
    pub flows: u64,
    /// Lines about what came in, and of the sidecars themselves.
    pub passed_over: u64,
    /// Access log lines that cannot be read.
    pub unread: u64,
    /// Why the last of these cannot be.
    pub unread_because: Option<Arc<str>>,
    /// Why logs cannot be read, where they cannot.
    pub fault: Option<Fault>,
}

/// Shared by the streams.
#[derive(Default)]
pub(super) struct Logs {
    state: Mutex<LogState>,
    formats: Mutex<Arc<Formats>>,
    chosen: Notify,
    changed: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Logs {
    /// Has `changed` called when what a person sees of the state is another, counters aside.
    pub fn tell(&self, changed: impl Fn() + Send + Sync + 'static) {
        // Logs are followed once for each connection: the first to ask is the only one.
        let _ = self.changed.set(Box::new(changed));
    }

    fn changed(&self) {
        if let Some(changed) = self.changed.get() {
            changed();
        }
    }

    pub fn state(&self) -> LogState {
        self.lock().clone()
    }

    /// What the sidecars write in.
    pub fn formats(&self) -> Arc<Formats> {
        self.formats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The mesh config may say other formats now.
    pub fn set_formats(&self, formats: Formats) {
        *self.formats.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(formats);
    }

    /// From now on only these are followed; all where there is none.
    pub fn choose(&self, chosen: Chosen) {
        self.lock().chosen = chosen;
        self.chosen.notify_one();
    }

    pub fn count(&self, count: impl FnOnce(&mut LogState)) {
        count(&mut self.lock());
    }

    /// Counts a line that cannot be read.
    pub fn unread(&self, why: &Arc<str>) {
        let mut state = self.lock();
        state.unread += 1;
        if state.unread_because.as_ref() != Some(why) {
            state.unread_because = Some(why.clone());
            drop(state);
            self.changed();
        }
    }

    /// A stream began.
    pub fn mended(&self) {
        self.lock().fault = None;
    }

    /// A stream could not begin.
    pub fn failed(&self, fault: Fault) {
        self.lock().fault = Some(fault);
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pod with a running sidecar.
struct Known {
    pods: Api<Pod>,
    name: String,
    workload: FlowWorkload,
    mark: Arc<Mutex<Mark>>,
    stream: Option<JoinHandle<()>>,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.end();
    }
}

impl Known {
    fn end(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.abort();
        }
    }

    fn candidate(&self) -> Candidate {
        Candidate {
            workload: format!("{}/{}", self.workload.namespace, self.workload.name),
            followed: self.stream.is_some(),
        }
    }
}

/// Follows the pods whose sidecar runs, as far as they are chosen, until it is dropped.
pub(super) async fn follow_logs(client: Client, pods: Arc<Pods>, pulse: Pulse, traffic: Arc<Traffic>, logs: Arc<Logs>) {
    let mut changed = pods.changed.subscribe();
    changed.mark_changed();
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    loop {
        tokio::select! {
            seen = changed.changed() => {
                if seen.is_err() {
                    return;
                }
                know(&client, pods.with_running_sidecar(), &mut known);
            }
            () = logs.chosen.notified() => {}
        }
        balance(&mut known, &pulse, &traffic, &logs);
        // Many pods change at once: they are looked at together.
        time::sleep(PACE).await;
    }
}

/// Takes note of new pods, and forgets those whose sidecar does not run any more.
fn know(client: &Client, running: BTreeMap<String, (String, FlowWorkload)>, known: &mut BTreeMap<String, Known>) {
    known.retain(|key, _| running.contains_key(key));
    for (key, (name, workload)) in running {
        known.entry(key).or_insert_with(|| Known {
            pods: Api::namespaced(client.clone(), &workload.namespace),
            name,
            workload,
            mark: Arc::default(),
            stream: None,
        });
    }
}

/// Begins and ends streams, so that those that are wanted run.
fn balance(known: &mut BTreeMap<String, Known>, pulse: &Pulse, traffic: &Arc<Traffic>, logs: &Arc<Logs>) {
    let chosen = logs.state().chosen;
    let candidates = known.iter().map(|(key, pod)| (key.clone(), pod.candidate()));
    let picked = pick(&candidates.collect(), &chosen, MAX_PODS);
    let mut workloads: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (key, pod) in known.iter_mut() {
        if !picked.contains(key) {
            pod.end();
        } else if pod.stream.is_none() {
            let lines = Lines {
                workload: pod.workload.clone(),
                mark: pod.mark.clone(),
                traffic: traffic.clone(),
                logs: logs.clone(),
                silence: SILENCE,
            };
            pod.stream = Some(tokio::spawn(lines.follow(
                pod.pods.clone(),
                pod.name.clone(),
                pulse.clone(),
            )));
        }
        let Candidate { workload, followed } = pod.candidate();
        let (pods, of_these) = workloads.entry(workload).or_default();
        *pods += 1;
        *of_these += usize::from(followed);
    }
    let mut state = logs.lock();
    if state.workloads != workloads {
        (state.pods, state.followed) = (known.len(), picked.len());
        state.workloads = workloads;
        drop(state);
        logs.changed();
    }
}
