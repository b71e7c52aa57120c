//! A command in a running pod of a workload, beside its sidecar: what it sends takes the way that the workload's own
//! traffic takes.

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status};
use kube::{
    Api, Client,
    api::{AttachParams, ListParams},
};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{
    Cluster,
    connect::told,
    logs::{SIDECAR, workload},
};
use crate::fault::{Fault, Result};

/// Longest output that is kept of either stream.
const MAX_OUTPUT: u64 = 512 * 1024;

/// What a command printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    pub stdout: String,
    pub stderr: String,
    /// `None` where it could not be started.
    pub exit: Option<i32>,
    /// Pod and container it ran in.
    pub place: (String, String),
}

impl Cluster {
    /// Runs `argv` in a running pod of the workload `namespace/name` and waits for its end.
    pub fn exec(&self, workload: &str, argv: &[&str]) -> Result<Executed> {
        let (namespace, name) = workload
            .split_once('/')
            .ok_or_else(|| Fault::input(format!("{workload:?} is no NAMESPACE/NAME.")))?;
        let (namespace, name) = (namespace.to_string(), name.to_string());
        let argv: Vec<String> = argv.iter().map(ToString::to_string).collect();
        self.call(exec(self.client.clone(), namespace, name, argv))
    }
}

async fn exec(client: Client, namespace: String, name: String, argv: Vec<String>) -> Result<Executed> {
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let all = pods.list(&ListParams::default()).await.map_err(|error| told(&error))?;
    let own = all.items.into_iter().filter(|pod| workload(pod).name == name);
    let place = own
        .into_iter()
        .find_map(|pod| Some((pod.metadata.name.clone()?, running_container(&pod)?)));
    let place = place.ok_or_else(|| {
        Fault::new("no-pod", format!("{namespace}/{name} has no running pod."))
            .hint("Start the sandbox instead: it acts as this workload without any pod.")
    })?;
    let parameters = AttachParams::default().container(&place.1).stdout(true).stderr(true);
    let mut process = pods
        .exec(&place.0, argv, &parameters)
        .await
        .map_err(|error| told(&error))?;
    let (stdout, stderr) = (process.stdout(), process.stderr());
    let status = process.take_status();
    let (stdout, stderr) = tokio::join!(read(stdout), read(stderr));
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    Ok(Executed {
        stdout,
        stderr,
        exit: status.as_ref().and_then(exit_code),
        place,
    })
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What came before a stream broke off is still worth showing.
        let _ = stream.take(MAX_OUTPUT).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The first of the workload's own containers that runs.
fn running_container(pod: &Pod) -> Option<String> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let runs = |name: &str| {
        let status = statuses.iter().find(|status| status.name == name);
        status.is_some_and(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()))
    };
    let containers = pod.spec.as_ref()?.containers.iter();
    let mut own = containers.filter(|container| container.name != SIDECAR && runs(&container.name));
    own.next().map(|container| container.name.clone())
}

fn exit_code(status: &Status) -> Option<i32> {
    let causes = status.details.as_ref().and_then(|details| details.causes.as_ref());
    let code = causes
        .into_iter()
        .flatten()
        .find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    match code {
        Some(cause) => cause.message.as_deref()?.parse().ok(),
        None => (status.status.as_deref() == Some("Success")).then_some(0),
    }
}
