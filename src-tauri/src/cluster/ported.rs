//! A server in a pod, asked through a port-forward, which ends on the pod's loopback. Plain HTTP/1.0, whose answers end
//! with the connection, so that a stream of lines is simply the rest of it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::{
    io::{
        AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
        ReadBuf,
    },
    time::{Duration, timeout},
};

use super::connect::told;
use crate::fault::{Fault, Result};

/// Longest that an answer may take to begin, and to end where it is read whole.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest line of a stream or of a head.
const MAX_LINE: u64 = 256 << 10;

/// A port of a pod.
pub(super) struct Port<'a> {
    pub pods: &'a Api<Pod>,
    pub pod: &'a str,
    pub port: u16,
    /// What its faults are known by.
    pub code: &'static str,
    /// What listens there, as the beginning of a sentence.
    pub who: String,
}

/// What comes back: the status, and what stands behind the head.
pub(super) struct Answer<'a> {
    pub status: u16,
    rest: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    of: &'a Port<'a>,
}

impl Port<'_> {
    pub async fn get(&self, path: &str) -> Result<Answer<'_>> {
        let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
        self.ask(request.as_bytes()).await
    }

    /// Sends a whole request, and waits for the head of the answer.
    pub async fn ask(&self, request: &[u8]) -> Result<Answer<'_>> {
        let asked = async {
            let forwarded = self.pods.portforward(self.pod, &[self.port]).await;
            let mut forward = forwarded.map_err(|error| told(&error))?;
            let stream = forward.take_stream(self.port);
            let stream = stream.ok_or_else(|| self.fault("cannot be reached."))?;
            let (read, mut write) = tokio::io::split(stream);
            send(&mut write, request).await.map_err(|error| self.broken(&error))?;
            // Half of a stream that is dropped would close all of it.
            let whole: Box<dyn AsyncRead + Send + Unpin> = Box::new(Whole {
                read,
                _write: write,
                _forward: forward,
            });
            let mut rest = BufReader::new(whole);
            let status = head(&mut rest).await.map_err(|error| self.broken(&error))?;
            Ok(Answer { status, rest, of: self })
        };
        let asked = timeout(PATIENCE, asked).await;
        asked.unwrap_or_else(|_| Err(self.fault("does not answer.")))
    }

    /// What is wrong with whoever listens there.
    pub fn fault(&self, words: &str) -> Fault {
        Fault::new(self.code, format!("{} {words}", self.who))
    }

    fn broken(&self, error: &io::Error) -> Fault {
        self.fault(&format!("broke the connection off: {error}."))
    }
}

impl Answer<'_> {
    /// All of it, up to `most` bytes.
    pub async fn text(mut self, most: u64) -> Result<String> {
        let mut bytes = Vec::new();
        let mut bounded = (&mut self.rest).take(most);
        match timeout(PATIENCE, bounded.read_to_end(&mut bytes)).await {
            Ok(Ok(_)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Ok(Err(error)) => Err(self.of.broken(&error)),
            Err(_) => Err(self.of.fault("does not end its answer.")),
        }
    }

    /// The next line, however long it takes; `None` at the end.
    pub async fn line(&mut self) -> Result<Option<String>> {
        line(&mut self.rest).await.map_err(|error| self.of.broken(&error))
    }
}

async fn send(write: &mut (impl AsyncWrite + Unpin), request: &[u8]) -> io::Result<()> {
    write.write_all(request).await?;
    write.flush().await
}

/// Reads the head of an answer, and gives its status.
async fn head(answer: &mut (impl AsyncBufRead + Unpin)) -> io::Result<u16> {
    let first = line(answer).await?.unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("the connection was closed"))?;
    while line(answer).await?.is_some_and(|line| !line.trim().is_empty()) {}
    Ok(status)
}

async fn line(answer: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let read = answer.take(MAX_LINE).read_until(b'\n', &mut bytes).await?;
    Ok((read > 0).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

/// A reading half that keeps the connection open.
struct Whole<R, W, F> {
    read: R,
    _write: W,
    _forward: F,
}

impl<R: AsyncRead + Unpin, W: Unpin, F: Unpin> AsyncRead for Whole<R, W, F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_has_a_status_and_what_stands_behind_its_head() {
        let mut answer = &b"HTTP/1.0 403 Forbidden\r\nContent-Type: text/plain\r\n\r\nno\nmore"[..];
        assert_eq!(head(&mut answer).await.unwrap(), 403);
        assert_eq!(line(&mut answer).await.unwrap().as_deref(), Some("no\n"));
        assert_eq!(line(&mut answer).await.unwrap().as_deref(), Some("more"));
        assert_eq!(line(&mut answer).await.unwrap(), None);
        for nothing in [&b""[..], b"HTTP/1.0", b"<p>\r\n\r\n"] {
            assert!(head(&mut &*nothing).await.is_err());
        }
    }
}
