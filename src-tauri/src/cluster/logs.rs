//! What the mesh's own sidecars log, line by line as it is written: one stream a pod, up to a bound that is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use proxy_core::record::{FlowWorkload, Formats};
use tokio::{sync::Notify, task::JoinHandle};

use super::{
    connect::told,
    lines::{Lines, Mark},
    pick::{Candidate, Chosen, pick},
};
use crate::{fault::Fault, traffic::Traffic};

/// Pods that are followed at once; each holds a connection to the API server.
pub const MAX_PODS: usize = 50;
pub(super) const SIDECAR: &str = "istio-proxy";
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

/// Follows the pods that have a sidecar, as far as they are chosen, until it is dropped.
pub(super) async fn follow_logs(client: Client, traffic: Arc<Traffic>, logs: Arc<Logs>) {
    let pods: Api<Pod> = Api::all(client.clone());
    let settings = watcher::Config::default().any_semantic().labels(INJECTED);
    let mut events = std::pin::pin!(watcher::watcher(pods, settings).default_backoff());
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    let mut listed = Vec::new();
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = logs.chosen.notified() => {
                balance(&mut known, &traffic, &logs);
                continue;
            }
        };
        match event {
            None => return,
            Some(Ok(Event::Init)) => listed.clear(),
            Some(Ok(Event::InitApply(pod))) => {
                listed.push(key(&pod));
                know(&client, &pod, &mut known);
            }
            Some(Ok(Event::InitDone)) => {
                known.retain(|key, _| listed.contains(key));
                balance(&mut known, &traffic, &logs);
            }
            Some(Ok(Event::Apply(pod))) => {
                know(&client, &pod, &mut known);
                balance(&mut known, &traffic, &logs);
            }
            Some(Ok(Event::Delete(pod))) => {
                known.remove(&key(&pod));
                balance(&mut known, &traffic, &logs);
            }
            Some(Err(watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error))) => {
                logs.failed(told(&error));
            }
            Some(Err(_)) => {}
        }
    }
}

/// Takes note of a pod, or forgets it where its sidecar does not run.
fn know(client: &Client, pod: &Pod, known: &mut BTreeMap<String, Known>) {
    if !sidecar_runs(pod) {
        known.remove(&key(pod));
        return;
    }
    known.entry(key(pod)).or_insert_with(|| Known {
        pods: Api::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default()),
        name: pod.metadata.name.clone().unwrap_or_default(),
        workload: workload(pod),
        mark: Arc::default(),
        stream: None,
    });
}

/// Begins and ends streams, so that those that are wanted run.
fn balance(known: &mut BTreeMap<String, Known>, traffic: &Arc<Traffic>, logs: &Arc<Logs>) {
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
            };
            pod.stream = Some(tokio::spawn(lines.follow(pod.pods.clone(), pod.name.clone())));
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

fn key(pod: &Pod) -> String {
    let metadata = &pod.metadata;
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", part(&metadata.namespace), part(&metadata.name))
}

/// Among the containers, or among the init containers where it is a native sidecar.
fn sidecar_runs(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let all = status
        .container_statuses
        .iter()
        .chain(&status.init_container_statuses)
        .flatten();
    let runs = |container: &ContainerStatus| container.state.as_ref().is_some_and(|state| state.running.is_some());
    all.filter(|container| container.name == SIDECAR).any(runs)
}

/// The Deployment, StatefulSet or DaemonSet that the pod is of.
pub(super) fn workload(pod: &Pod) -> FlowWorkload {
    let metadata = &pod.metadata;
    let labels = metadata.labels.clone().unwrap_or_default();
    let owner = metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true));
    let hash = labels.get("pod-template-hash");
    let name = match owner {
        Some(owner) if owner.kind == "ReplicaSet" => {
            let of_deployment = hash.and_then(|hash| owner.name.strip_suffix(&format!("-{hash}")));
            of_deployment.unwrap_or(&owner.name).to_string()
        }
        Some(owner) => owner.name.clone(),
        None => metadata.name.clone().unwrap_or_default(),
    };
    FlowWorkload {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name,
        labels: labels.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(owner: &str, kind: &str, containers: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "sleep-6d-x", "namespace": "default", "labels": {"app": "sleep", "pod-template-hash": "6d"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "u", "controller": true}]},
            "status": containers,
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_is_known_by_its_workload_and_its_running_sidecar() {
        let container = |name: &str, state: &str| {
            let state = json!({ state: {} });
            json!([{"name": name, "state": state, "image": "i", "imageID": "", "ready": true, "restartCount": 0}])
        };
        let running = pod(
            "sleep-6d",
            "ReplicaSet",
            json!({"containerStatuses": container("istio-proxy", "running")}),
        );
        assert_eq!(workload(&running).name, "sleep");
        assert!(sidecar_runs(&running));
        let native = pod(
            "db",
            "StatefulSet",
            json!({"initContainerStatuses": container("istio-proxy", "running")}),
        );
        assert_eq!(workload(&native).name, "db");
        assert!(sidecar_runs(&native));
        for other in [container("istio-proxy", "waiting"), container("app", "running")] {
            assert!(!sidecar_runs(&pod(
                "sleep-6d",
                "ReplicaSet",
                json!({"containerStatuses": other})
            )));
        }
    }
}
