//! The admin server of a sidecar in a pod: it listens on the pod's loopback alone.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde::Deserialize;

use crate::{
    cluster::{Cluster, ported::Port},
    fault::{Fault, Result},
};

/// The code of a fault of the connection to a sidecar.
const SIDECAR: &str = "sidecar";
/// Largest answer that is read whole.
const MAX_ANSWER: u64 = 4 << 20;
/// Longest that a policy may take to get to a sidecar and into force: some MiB over a slow line.
const PUSH: Duration = Duration::from_secs(60);

/// The policy that a deployed sidecar has, as it says itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SidecarPolicy {
    /// Hash of what it decides by.
    pub hash: String,
    /// Number of the policy; the newest one holds.
    pub generation: Option<u64>,
    /// `mounted`, `pushed` or `kept`.
    pub source: Option<String>,
    /// When it was loaded, RFC 3339.
    pub loaded: String,
    /// The outbound mode that it gives.
    pub mode: String,
    /// What is wrong with the newest policy, where an older one holds.
    pub errors: Vec<String>,
}

impl Cluster {
    /// Sends a policy to the sidecar in `pod`, with its number and what the sidecar knows its sender by; gives what it decides by then, or why it did not take it.
    pub fn push_policy(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
        policy: &[u8],
        (generation, token): (u64, &str),
    ) -> Result<SidecarPolicy> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let head = format!(
            "PUT /policy HTTP/1.0\r\nHost: 127.0.0.1\r\nEgret-Generation: {generation}\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {}\r\n\r\n",
            policy.len()
        );
        let (pod, policy) = (pod.to_string(), policy.to_vec());
        self.call_within(PUSH, async move {
            let request = [head.as_bytes(), &policy].concat();
            let port_of = sidecar(&pods, &pod, port);
            let answer = port_of.ask(&request).await?;
            let (status, body) = (answer.status, answer.text(MAX_ANSWER).await?);
            match status {
                200 => config(&pods, &pod, port).await,
                _ => Err(Fault::new(
                    "policy-refused",
                    format!("{} does not take the policy ({status}): {}", port_of.who, body.trim()),
                )
                .hint("It goes on with the last one that was good.")),
            }
        })
    }
}

/// Tells the sidecar to end.
pub(super) async fn end(pods: &Api<Pod>, pod: &str, port: u16, token: &str) -> Result<()> {
    let request =
        format!("POST /end HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n");
    match sidecar(pods, pod, port).ask(request.as_bytes()).await?.status {
        202 => Ok(()),
        status => Err(Fault::new(
            "sidecar-goes-on",
            format!("The sidecar in {pod} does not end when it is told to ({status})."),
        )),
    }
}

/// True for a fault of the connection to a sidecar, which may have ended.
pub(super) fn broken_off(fault: &Fault) -> bool {
    fault.code == SIDECAR
}

/// What the sidecar decides by.
async fn config(pods: &Api<Pod>, pod: &str, port: u16) -> Result<SidecarPolicy> {
    let sidecar = sidecar(pods, pod, port);
    let answer = sidecar.get("/config").await?;
    let (status, body) = (answer.status, answer.text(MAX_ANSWER).await?);
    let read = (status == 200).then(|| serde_json::from_str(&body).ok()).flatten();
    read.ok_or_else(|| sidecar.fault("does not say what it decides by."))
}

/// Calls `take` with each line of `/flows` until the sidecar ends, and `connected` with what it decides by once nothing that
/// leaves it goes unheard any more.
pub(super) async fn flows(
    pods: &Api<Pod>,
    pod: &str,
    port: u16,
    connected: impl FnOnce(SidecarPolicy),
    mut take: impl FnMut(&str),
) -> Result<()> {
    let sidecar = sidecar(pods, pod, port);
    let mut answer = sidecar.get("/flows").await?;
    if answer.status != 200 {
        return Err(sidecar.fault(&format!("does not stream its flows ({}).", answer.status)));
    }
    connected(config(pods, pod, port).await?);
    while let Some(line) = answer.line().await? {
        take(line.trim());
    }
    Ok(())
}

fn sidecar<'a>(pods: &'a Api<Pod>, pod: &'a str, port: u16) -> Port<'a> {
    Port {
        pods,
        pod,
        port,
        code: SIDECAR,
        who: format!("The sidecar in {pod}"),
    }
}
