//! What the mesh's own sidecars log, line by line as it is written: one stream a pod, up to a bound that is told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{AsyncBufReadExt as _, StreamExt as _};
use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::LogParams,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use proxy_core::record::{FlowWorkload, read_record};
use tokio::{task::JoinHandle, time};

use super::connect::told;
use crate::{fault::Fault, traffic::Traffic};

/// Pods that are followed at once; each holds a connection to the API server.
pub const MAX_PODS: usize = 50;
/// Lines from before that are read when a pod is first followed.
const TAIL: i64 = 200;
/// How long a stream that broke off rests before it is taken up again.
const REST: Duration = Duration::from_secs(1);
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
    /// Access log lines of a format that is not read.
    pub unread: u64,
    /// Why logs cannot be read, where they cannot.
    pub fault: Option<Fault>,
}

/// Shared by the streams.
#[derive(Debug, Default)]
pub(super) struct Logs {
    state: Mutex<LogState>,
}

impl Logs {
    pub fn state(&self) -> LogState {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows every pod that has a sidecar until it is dropped.
pub(super) async fn follow_logs(client: Client, traffic: Arc<Traffic>, logs: Arc<Logs>) {
    let pods: Api<Pod> = Api::all(client.clone());
    let settings = watcher::Config::default().any_semantic().labels(INJECTED);
    let mut events = std::pin::pin!(watcher::watcher(pods, settings).default_backoff());
    let mut running: HashMap<String, Option<JoinHandle<()>>> = HashMap::new();
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(pod)) => {
                listed.push(key(&pod));
                follow_pod(&client, &pod, &mut running, &traffic, &logs);
            }
            Ok(Event::InitDone) => running.retain(|key, stream| listed.contains(key) || end(stream)),
            Ok(Event::Apply(pod)) => follow_pod(&client, &pod, &mut running, &traffic, &logs),
            Ok(Event::Delete(pod)) => {
                running.remove(&key(&pod)).as_mut().map(end);
            }
            Err(watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) => {
                logs.lock().fault = Some(told(&error));
                continue;
            }
            Err(_) => continue,
        }
        let mut state = logs.lock();
        state.pods = running.len();
        state.followed = running.values().flatten().count();
    }
}

/// Begins to follow a pod whose sidecar runs, unless the bound is reached.
fn follow_pod(
    client: &Client,
    pod: &Pod,
    running: &mut HashMap<String, Option<JoinHandle<()>>>,
    traffic: &Arc<Traffic>,
    logs: &Arc<Logs>,
) {
    if !sidecar_runs(pod) {
        running.remove(&key(pod)).as_mut().map(end);
        return;
    }
    let followed = running.values().flatten().count();
    let stream = running.entry(key(pod)).or_default();
    if stream.is_none() && followed < MAX_PODS {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let name = pod.metadata.name.clone().unwrap_or_default();
        *stream = Some(tokio::spawn(lines(
            api,
            name,
            workload(pod),
            traffic.clone(),
            logs.clone(),
        )));
    }
}

/// Reads one pod's lines, and takes them up where they broke off: none twice, none left out that the kubelet still has.
async fn lines(pods: Api<Pod>, name: String, workload: FlowWorkload, traffic: Arc<Traffic>, logs: Arc<Logs>) {
    let mut last: Option<Timestamp> = None;
    loop {
        let from = LogParams {
            container: Some(SIDECAR.into()),
            follow: true,
            timestamps: true,
            since_time: last,
            tail_lines: last.is_none().then_some(TAIL),
            ..LogParams::default()
        };
        match pods.log_stream(&name, &from).await {
            Ok(stream) => {
                logs.lock().fault = None;
                let mut lines = stream.lines();
                while let Some(Ok(line)) = lines.next().await {
                    let Some((stamp, text)) = line.split_once(' ') else {
                        continue;
                    };
                    let Ok(stamp) = stamp.parse::<Timestamp>() else {
                        continue;
                    };
                    // The API server goes by whole seconds: what came already comes again.
                    if last.is_some_and(|last| stamp <= last) {
                        continue;
                    }
                    last = Some(stamp);
                    match read_record(text, &workload) {
                        Some(record) => {
                            traffic.add(record);
                        }
                        None if is_unread(text) => logs.lock().unread += 1,
                        None => {}
                    }
                }
            }
            Err(error) => logs.lock().fault = Some(told(&error)),
        }
        time::sleep(REST).await;
    }
}

/// A line that looks like one of an access log, and not like one of what comes in.
fn is_unread(text: &str) -> bool {
    let access = text.starts_with('[') || text.starts_with('{') && text.contains("\"response_code\"");
    access && !text.contains("inbound|") && !text.contains("Inbound")
}

fn end(stream: &mut Option<JoinHandle<()>>) -> bool {
    if let Some(stream) = stream {
        stream.abort();
    }
    false
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
