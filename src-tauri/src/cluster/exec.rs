//! A command in a running pod of a workload, beside its sidecar: what it sends takes the way that the workload's own
//! traffic takes.

use std::{net::IpAddr, time::Duration};

use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod},
    apimachinery::pkg::apis::meta::v1::Status,
};
use kube::{
    Api, Client,
    api::{AttachParams, ListParams},
};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Cluster, connect::told, deployed::OWN_SIDECAR, logs::SIDECAR, pods::workload, probe::PROBE};
use crate::fault::{Fault, Result};

/// Longest output that is kept of either stream.
const MAX_OUTPUT: u64 = 512 * 1024;

/// Longest that a command may take: longer than any limit of its own.
const COMMAND: Duration = Duration::from_secs(30);

/// A running pod of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub namespace: String,
    pub pod: String,
    /// The workload's own containers that run; never empty.
    pub containers: Vec<String>,
    /// A container that Egret added and that runs.
    pub added: Option<String>,
    /// True where a sidecar stands beside them.
    pub sidecar: bool,
    pub addresses: Vec<IpAddr>,
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    pub stdout: String,
    pub stderr: String,
    pub end: End,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Exit(i32),
    /// It could not be started, in the words of the container's runtime.
    NotStarted(String),
}

impl Cluster {
    /// A running pod of the workload `namespace/name`.
    pub fn place(&self, workload: &str) -> Result<Place> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-.".contains(letter);
        let (namespace, name) = workload
            .split_once('/')
            .filter(|(namespace, name)| namespace.chars().chain(name.chars()).all(plain))
            .ok_or_else(|| Fault::input(format!("{workload:?} is no NAMESPACE/NAME.")))?;
        let (namespace, name) = (namespace.to_string(), name.to_string());
        self.call(place(self.client.clone(), namespace, name))
    }

    /// Runs `argv` in a container of `place` and waits for its end.
    pub fn exec(&self, place: &Place, container: &str, argv: &[&str]) -> Result<Executed> {
        let argv: Vec<String> = argv.iter().map(ToString::to_string).collect();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &place.namespace);
        self.call_within(COMMAND, exec(pods, place.pod.clone(), container.to_string(), argv))
    }
}

async fn place(client: Client, namespace: String, name: String) -> Result<Place> {
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let all = pods.list(&ListParams::default()).await.map_err(|error| told(&error))?;
    let mut own = all.items.iter().filter(|pod| workload(pod).name == name);
    own.find_map(place_of).ok_or_else(|| {
        Fault::new("no-pod", format!("{namespace}/{name} has no running pod."))
            .hint("Start the sandbox instead: it acts as this workload without any pod.")
    })
}

/// Where to run commands in `pod`; `None` where none of its own containers runs.
fn place_of(pod: &Pod) -> Option<Place> {
    let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
    let runs = |statuses: &Option<Vec<ContainerStatus>>, name: &str| {
        let mut all = statuses.iter().flatten();
        let running = |status: &ContainerStatus| status.state.as_ref().is_some_and(|state| state.running.is_some());
        all.any(|status| status.name == name && running(status))
    };
    let names = spec.containers.iter().map(|container| container.name.clone());
    let own = names.filter(|name| name != SIDECAR && runs(&status.container_statuses, name));
    let containers: Vec<String> = own.collect();
    let added = spec
        .ephemeral_containers
        .iter()
        .flatten()
        .map(|container| &container.name);
    // One that was added while the pod ran; whatever else Egret adds is called otherwise.
    let is_attached = added
        .clone()
        .any(|name| name.starts_with(OWN_SIDECAR) && runs(&status.ephemeral_container_statuses, name));
    let mut added = added.filter(|name| name.starts_with(PROBE) && runs(&status.ephemeral_container_statuses, name));
    // A native sidecar stands among the init containers.
    let beside = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let going = pod.metadata.deletion_timestamp.is_some();
    (!containers.is_empty() && !going).then(|| Place {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        pod: pod.metadata.name.clone().unwrap_or_default(),
        containers,
        added: added.next().cloned(),
        sidecar: beside
            .into_iter()
            .any(|container| [SIDECAR, OWN_SIDECAR].contains(&container.name.as_str()))
            || is_attached,
        addresses: status
            .pod_ips
            .iter()
            .flatten()
            .filter_map(|each| each.ip.parse().ok())
            .collect(),
    })
}

async fn exec(pods: Api<Pod>, pod: String, container: String, argv: Vec<String>) -> Result<Executed> {
    let parameters = AttachParams::default().container(container).stdout(true).stderr(true);
    let mut process = pods.exec(&pod, argv, &parameters).await.map_err(|error| told(&error))?;
    let (stdout, stderr) = (process.stdout(), process.stderr());
    let status = process.take_status();
    let (stdout, stderr) = tokio::join!(read(stdout), read(stderr));
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    let end = status.as_ref().and_then(end).ok_or_else(|| {
        Fault::new(
            "cluster",
            format!("The connection to {pod} broke off before the command ended."),
        )
        .hint("Send it again.")
    })?;
    Ok(Executed { stdout, stderr, end })
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What came before a stream broke off is still worth showing.
        let _ = stream.take(MAX_OUTPUT).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How a command ended, by the status that the API server gives of it.
fn end(status: &Status) -> Option<End> {
    let causes = status.details.as_ref().and_then(|details| details.causes.as_ref());
    let code = causes
        .into_iter()
        .flatten()
        .find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    match (code, status.status.as_deref()) {
        (Some(cause), _) => cause.message.as_deref()?.parse().ok().map(End::Exit),
        (None, Some("Success")) => Some(End::Exit(0)),
        (None, _) => Some(End::NotStarted(status.message.clone().unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(name: &str, state: &str) -> Value {
        let state = json!({ state: {} });
        json!({"name": name, "state": state, "image": "i", "imageID": "", "ready": true, "restartCount": 0})
    }

    fn pod(spec: Value, statuses: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec, "status": statuses}))
            .unwrap()
    }

    #[test]
    fn commands_run_in_the_workloads_own_running_containers_and_in_what_egret_added() {
        let spec = json!({"containers": [{"name": "istio-proxy"}, {"name": "down"}, {"name": "app"}],
            "ephemeralContainers": [{"name": "debugger"}, {"name": "egret-probe-1"}, {"name": "egret-probe-2"}]});
        let statuses = json!({"podIPs": [{"ip": "10.88.0.9"}, {"ip": "fd00::9"}],
            "containerStatuses": [status("istio-proxy", "running"), status("down", "waiting"), status("app", "running")],
            "ephemeralContainerStatuses": [status("debugger", "running"), status("egret-probe-1", "terminated"),
                status("egret-probe-2", "running")]});
        let place = place_of(&pod(spec, statuses)).unwrap();
        assert_eq!((place.containers, place.sidecar), (vec!["app".to_string()], true));
        assert_eq!(place.added.as_deref(), Some("egret-probe-2"));
        assert_eq!(place.addresses.len(), 2);
    }

    #[test]
    fn a_sidecar_is_also_found_among_the_init_containers_and_none_where_there_is_none() {
        let statuses = json!({"containerStatuses": [status("app", "running")]});
        for (init, sidecar) in [("istio-proxy", true), ("egret-proxy", true), ("istio-init", false)] {
            let spec = json!({"containers": [{"name": "app"}], "initContainers": [{"name": init}]});
            assert_eq!(
                place_of(&pod(spec, statuses.clone())).unwrap().sidecar,
                sidecar,
                "{init}"
            );
        }
        let down = json!({"containerStatuses": [status("app", "waiting")]});
        assert_eq!(place_of(&pod(json!({"containers": [{"name": "app"}]}), down)), None);
    }

    #[test]
    fn a_command_that_ran_is_told_from_one_that_could_not_be_started() {
        let read = |value: Value| end(&serde_json::from_value(value).unwrap());
        let exited = json!({"status": "Failure", "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": "35"}]}});
        assert_eq!(read(exited), Some(End::Exit(35)));
        assert_eq!(read(json!({"status": "Success"})), Some(End::Exit(0)));
        let missing = json!({"status": "Failure", "reason": "InternalError", "message": "exec: \"curl\": not found"});
        assert_eq!(read(missing), Some(End::NotStarted("exec: \"curl\": not found".into())));
    }
}
