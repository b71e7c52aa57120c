//! One pod's lines: each is taken once, and each becomes a flow or is counted.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{AsyncBufRead, AsyncBufReadExt as _};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{Api, api::LogParams};
use proxy_core::record::{FlowWorkload, Line};
use tokio::{sync::watch, time};

use super::{
    connect::{FORBIDDEN, told},
    logs::{Logs, SIDECAR},
    mark::Mark,
    pulse::Pulse,
};
use crate::traffic::Traffic;

/// Lines from before that are read when a pod is first followed that was there before the connection.
const TAIL: i64 = 200;
/// How long a stream that broke off rests before it is taken up again.
const REST: Duration = Duration::from_secs(1);
/// Longest that a stream may give nothing before it is taken up again. Whatever stands between, as a load balancer that
/// forgets connections on which nothing is said, may have left it without a word; one that lives loses nothing by it.
pub(super) const SILENCE: Duration = Duration::from_secs(120);
/// Longest line that is read, in bytes. Envoy takes 60 KiB of headers by default, and a format can name each twice.
const MAX_LINE: usize = 256 * 1024;
static TOO_LONG: LazyLock<Arc<str>> =
    LazyLock::new(|| format!("A line is longer than {} KiB.", MAX_LINE / 1024).into());
/// Longest that the last lines of a sidecar that has ended are waited for.
pub(super) const LAST_LINES: Duration = Duration::from_secs(15);

/// The log of one pod's sidecar, and where its lines go.
pub(super) struct Lines {
    pub pods: Api<Pod>,
    pub name: String,
    pub workload: Arc<FlowWorkload>,
    /// The pod came up after the connection: all its lines are wanted.
    pub young: bool,
    pub mark: Arc<Mutex<Mark>>,
    pub traffic: Arc<Traffic>,
    pub logs: Arc<Logs>,
    /// Longest silence.
    pub silence: Duration,
    /// Longest wait for the last lines.
    pub last_lines: Duration,
}

/// How one stream came to its end.
enum Outcome {
    /// All that was written is read.
    Whole,
    /// It broke off, or fell silent.
    Broken,
    /// There is no such log any more, or not yet.
    Missing,
    /// It may not be read.
    Forbidden,
}

impl Lines {
    /// Reads the lines until the sidecar has `ended`, and then what it wrote last; takes them up where they broke off:
    /// none twice, none left out uncounted.
    pub async fn follow(self, mut ended: watch::Receiver<bool>, mut pulse: Pulse) {
        let (mut unread, has_ended) = (true, ended.clone());
        let overdue = async {
            if ended.wait_for(|ended| *ended).await.is_err() {
                std::future::pending::<()>().await;
            }
            time::sleep(self.last_lines).await;
        };
        tokio::select! {
            () = self.to_the_end(&mut unread, &has_ended, &mut pulse) => {}
            () = overdue => {}
        }
        self.logs.mended(&self.pod());
        if unread {
            self.logs.gap();
        }
    }

    fn pod(&self) -> String {
        format!("{}/{}", self.workload.namespace, self.name)
    }

    /// `unread` is true while the sidecar may have written what is not read.
    async fn to_the_end(&self, unread: &mut bool, ended: &watch::Receiver<bool>, pulse: &mut Pulse) {
        loop {
            let stream = tokio::select! {
                stream = self.once() => stream,
                // What was opened over a network that went away says nothing ever more.
                _ = pulse.missed() => Outcome::Broken,
            };
            let is_over = match stream {
                Outcome::Broken => {
                    *unread = true;
                    false
                }
                // Whoever may not read the log is told so: that is no gap in it.
                Outcome::Whole | Outcome::Forbidden => {
                    *unread = false;
                    true
                }
                Outcome::Missing => true,
            };
            // Another pod may have the name by now: nothing is opened again.
            if is_over && *ended.borrow() {
                return;
            }
            time::sleep(REST).await;
        }
    }

    /// Reads one stream until it ends, breaks off or falls silent.
    async fn once(&self) -> Outcome {
        let since = self.mark().resume();
        let from = LogParams {
            follow: true,
            tail_lines: (since.is_none() && !self.young).then_some(TAIL),
            ..from(since)
        };
        // The answer begins with the first line.
        match time::timeout(self.silence, self.pods.log_stream(&self.name, &from)).await {
            Ok(Ok(stream)) => {
                self.logs.mended(&self.pod());
                self.read(stream).await
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Outcome::Missing,
            Ok(Err(error)) => {
                let fault = told(&error);
                let is_forbidden = fault.code == FORBIDDEN;
                self.logs.failed(&self.pod(), fault);
                if is_forbidden {
                    Outcome::Forbidden
                } else {
                    Outcome::Broken
                }
            }
            Err(_) => Outcome::Broken,
        }
    }

    /// Takes every line of a stream.
    async fn read(&self, mut stream: impl AsyncBufRead + Unpin) -> Outcome {
        let mut line = Vec::new();
        loop {
            match self.next(&mut stream, &mut line).await {
                Ok(true) => {}
                Ok(false) => return Outcome::Whole,
                // Why a stream breaks off says nothing that a person could use.
                Err(_) => return Outcome::Broken,
            }
            if self.misses(&line) {
                self.look_back().await;
            }
            self.take(&line);
        }
    }

    /// The log does not reach back to the line that was taken last: the sidecar was started anew, or the kubelet has put
    /// the log away and begun another one. The sidecar before this one may have the rest.
    async fn look_back(&self) {
        let from = LogParams {
            previous: true,
            ..from(self.mark().since())
        };
        let mut is_gap = false;
        let before = time::timeout(self.silence, self.pods.log_stream(&self.name, &from)).await;
        if let Ok(Ok(mut before)) = before {
            let mut line = Vec::new();
            loop {
                match self.next(&mut before, &mut line).await {
                    Ok(true) => {
                        is_gap |= self.misses(&line);
                        self.take(&line);
                    }
                    Ok(false) => break,
                    Err(_) => {
                        is_gap = true;
                        break;
                    }
                }
            }
        }
        if is_gap || self.mark().is_lost() {
            self.logs.gap();
        }
        self.mark().go_on();
    }

    /// Reads the next line, of a long one no more than shows that it is too long; false at the end.
    async fn next(&self, stream: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        loop {
            let read = time::timeout(self.silence, stream.fill_buf()).await??;
            if read.is_empty() {
                return Ok(!line.is_empty());
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(read.len(), |end| end + 1);
            let room = MAX_LINE + 1 - line.len();
            line.extend_from_slice(&read[..count.min(room)]);
            stream.consume_unpin(count);
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    fn misses(&self, line: &[u8]) -> bool {
        let stamp = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let stamp = str::from_utf8(stamp).ok().and_then(|stamp| stamp.parse().ok());
        stamp.is_some_and(|stamp| self.mark().misses(stamp))
    }

    /// Takes one line as the API server gives it: the time when it was written, a blank, the text. Text that is not UTF-8,
    /// which a header can hold, is read as far as it is.
    fn take(&self, line: &[u8]) {
        let is_whole = line.len() <= MAX_LINE;
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\n');
        let stamped = line.split_once(' ').unwrap_or((line, ""));
        let (received, text) = match stamped.0.parse::<Timestamp>() {
            Ok(stamp) if !self.mark().takes(stamp) => return,
            Ok(_) => stamped,
            Err(_) => ("", line),
        };
        if !is_whole {
            return self.logs.unread(&TOO_LONG);
        }
        match self.logs.formats().read(text, &self.workload, received) {
            Line::Flow(record) => {
                self.traffic.add(*record);
                self.logs.count(|state| state.flows += 1);
            }
            Line::Unread(why) => self.logs.unread(&why),
            Line::Inbound | Line::Other => self.logs.count(|state| state.passed_over += 1),
        }
    }

    // A panic elsewhere leaves the mark usable.
    fn mark(&self) -> std::sync::MutexGuard<'_, Mark> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is asked of every log.
fn from(since_time: Option<Timestamp>) -> LogParams {
    LogParams {
        container: Some(SIDECAR.into()),
        timestamps: true,
        since_time,
        ..LogParams::default()
    }
}

#[cfg(test)]
mod tests;
