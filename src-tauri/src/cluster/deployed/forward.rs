//! The admin server of a sidecar in a pod, reached by a port-forward: it listens on the pod's loopback alone. Plain
//! HTTP/1.0, whose answers end with the connection, so that a stream of lines is simply the rest of it.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde::Deserialize;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    time::{Duration, timeout},
};

use crate::{
    cluster::{Cluster, connect::told},
    fault::{Fault, Result},
};

/// The code of a fault of the connection to a sidecar.
const SIDECAR: &str = "sidecar";
/// Longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer that is read whole.
const MAX_ANSWER: u64 = 4 << 20;
/// Longest line of a stream or of a head.
const MAX_LINE: u64 = 256 << 10;

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
        self.call(async move {
            let request = [head.as_bytes(), &policy].concat();
            let (status, mut answer) = ask(&pods, &pod, port, &request).await?;
            let body = text(&mut answer, &pod).await?;
            match status {
                200 => config(&pods, &pod, port).await,
                _ => Err(Fault::new(
                    "policy-refused",
                    format!(
                        "The sidecar in {pod} does not take the policy ({status}): {}",
                        body.trim()
                    ),
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
    match ask(pods, pod, port, request.as_bytes()).await? {
        (202, _) => Ok(()),
        (status, _) => Err(Fault::new(
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
pub(super) async fn config(pods: &Api<Pod>, pod: &str, port: u16) -> Result<SidecarPolicy> {
    let (status, mut answer) = ask(pods, pod, port, b"GET /config HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").await?;
    let body = text(&mut answer, pod).await?;
    let read = (status == 200).then(|| serde_json::from_str(&body).ok()).flatten();
    read.ok_or_else(|| {
        Fault::new(
            SIDECAR,
            format!("The sidecar in {pod} does not say what it decides by."),
        )
    })
}

/// Calls `take` with each line of `/flows` until the sidecar ends.
pub(super) async fn flows(pods: &Api<Pod>, pod: &str, port: u16, mut take: impl FnMut(&str)) -> Result<()> {
    let (status, mut answer) = ask(pods, pod, port, b"GET /flows HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").await?;
    if status != 200 {
        return Err(Fault::new(
            SIDECAR,
            format!("The sidecar in {pod} does not stream its flows ({status})."),
        ));
    }
    while let Some(line) = line(&mut answer).await.map_err(|error| broken(pod, &error))? {
        take(line.trim());
    }
    Ok(())
}

type Answer = BufReader<Box<dyn AsyncRead + Send + Unpin>>;

/// Sends a request, and gives the status and what comes behind the head.
async fn ask(pods: &Api<Pod>, pod: &str, port: u16, request: &[u8]) -> Result<(u16, Answer)> {
    let asked = async {
        let mut forward = pods.portforward(pod, &[port]).await.map_err(|error| told(&error))?;
        let stream = forward.take_stream(port);
        let stream = stream.ok_or_else(|| Fault::new(SIDECAR, format!("The sidecar in {pod} cannot be reached.")))?;
        let (read, mut write) = tokio::io::split(stream);
        send(&mut write, request).await.map_err(|error| broken(pod, &error))?;
        // Half of a stream that is dropped would close all of it.
        let read: Box<dyn AsyncRead + Send + Unpin> = Box::new(Whole {
            read,
            _write: write,
            _forward: forward,
        });
        let mut answer = BufReader::new(read);
        let status = head(&mut answer).await.map_err(|error| broken(pod, &error))?;
        Ok((status, answer))
    };
    let slow = || Fault::new(SIDECAR, format!("The sidecar in {pod} does not answer."));
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(slow()))
}

async fn send(write: &mut (impl AsyncWrite + Unpin), request: &[u8]) -> std::io::Result<()> {
    write.write_all(request).await?;
    write.flush().await
}

async fn head(answer: &mut Answer) -> std::io::Result<u16> {
    let first = line(answer).await?.unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("the connection was closed"))?;
    while line(answer).await?.is_some_and(|line| !line.trim().is_empty()) {}
    Ok(status)
}

async fn line(answer: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let read = answer.take(MAX_LINE).read_until(b'\n', &mut bytes).await?;
    Ok((read > 0).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

async fn text(answer: &mut Answer, pod: &str) -> Result<String> {
    let mut bytes = Vec::new();
    let mut bounded = answer.take(MAX_ANSWER);
    let read = timeout(PATIENCE, bounded.read_to_end(&mut bytes)).await;
    match read {
        Ok(read) => read.map_err(|error| broken(pod, &error))?,
        Err(_) => {
            return Err(Fault::new(
                SIDECAR,
                format!("The sidecar in {pod} does not end its answer."),
            ));
        }
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn broken(pod: &str, error: &std::io::Error) -> Fault {
    Fault::new(
        SIDECAR,
        format!("The connection to the sidecar in {pod} broke off: {error}."),
    )
}

/// A reading half that keeps the connection open.
struct Whole<R, W, F> {
    read: R,
    _write: W,
    _forward: F,
}

impl<R: AsyncRead + Unpin, W: Unpin, F: Unpin> AsyncRead for Whole<R, W, F> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.read).poll_read(context, buffer)
    }
}
