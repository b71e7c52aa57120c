//! One pod's lines: each is taken once, and each becomes a flow or is counted.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{AsyncBufRead, AsyncBufReadExt as _};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{Api, api::LogParams};
use proxy_core::record::{FlowWorkload, Line};
use tokio::time;

use super::{
    connect::told,
    logs::{Logs, SIDECAR},
    pulse::Pulse,
};
use crate::traffic::Traffic;

/// Lines from before that are read when a pod is first followed.
const TAIL: i64 = 200;
/// How long a stream that broke off rests before it is taken up again.
const REST: Duration = Duration::from_secs(1);

/// Longest that a stream may give nothing before it is taken up again. Whatever stands between, as a load balancer that
/// forgets connections on which nothing is said, may have left it without a word; one that lives loses nothing by it.
pub(super) const SILENCE: Duration = Duration::from_secs(120);

/// How far a pod's log was read; it outlives the stream, so that a pod that is followed again goes on where it was.
#[derive(Debug, Default)]
pub(super) struct Mark {
    /// The time of the last line taken.
    last: Option<Timestamp>,
    /// Lines of that time that were taken.
    taken: usize,
    /// Lines of that time that came again since the stream was taken up.
    again: usize,
    /// What comes may have come before.
    resuming: bool,
}

impl Mark {
    /// The stream begins once more: from where. The API server goes by whole seconds, so that what came already comes again.
    fn resume(&mut self) -> Option<Timestamp> {
        self.resuming = self.last.is_some();
        self.again = 0;
        // kube would round up, and leave out what else was written in that second.
        Timestamp::from_second(self.last?.as_second()).ok()
    }

    /// True for a line that was not taken yet. In a stream that goes on every line is new, whatever the node's clock does.
    fn takes(&mut self, stamp: Timestamp) -> bool {
        if self.resuming {
            match self.last {
                Some(last) if stamp < last => return false,
                Some(last) if stamp == last && self.again < self.taken => {
                    self.again += 1;
                    return false;
                }
                _ => self.resuming = false,
            }
        }
        self.taken = if self.last == Some(stamp) { self.taken + 1 } else { 1 };
        self.last = Some(stamp);
        true
    }
}

/// Where the lines of one pod go.
pub(super) struct Lines {
    pub workload: FlowWorkload,
    pub mark: Arc<Mutex<Mark>>,
    pub traffic: Arc<Traffic>,
    pub logs: Arc<Logs>,
    /// Longest silence.
    pub silence: Duration,
}

impl Lines {
    /// Reads the lines of the pod `name` until it is dropped, and takes them up where they broke off: none twice, none
    /// left out that the kubelet still has.
    pub async fn follow(self, pods: Api<Pod>, name: String, mut pulse: Pulse) {
        loop {
            tokio::select! {
                () = self.once(&pods, &name) => {}
                // What was opened over a network that went away says nothing ever more.
                _ = pulse.missed() => {}
            }
            time::sleep(REST).await;
        }
    }

    /// Reads one stream until it ends, breaks off or falls silent.
    async fn once(&self, pods: &Api<Pod>, name: &str) {
        let last = self.mark().resume();
        let from = LogParams {
            container: Some(SIDECAR.into()),
            follow: true,
            timestamps: true,
            since_time: last,
            tail_lines: last.is_none().then_some(TAIL),
            ..LogParams::default()
        };
        // The answer begins with the first line.
        match time::timeout(self.silence, pods.log_stream(name, &from)).await {
            Ok(Ok(stream)) => {
                self.logs.mended();
                // Why a stream breaks off says nothing that a person could use.
                let _ = self.read(stream).await;
            }
            Ok(Err(error)) => self.logs.failed(told(&error)),
            Err(_) => {}
        }
    }

    /// Takes every line of a stream. Text that is not UTF-8, which a header can hold, is read as far as it is.
    async fn read(&self, mut stream: impl AsyncBufRead + Unpin) -> io::Result<()> {
        let mut line = Vec::new();
        while time::timeout(self.silence, stream.read_until(b'\n', &mut line)).await?? > 0 {
            self.take(String::from_utf8_lossy(&line).trim_end_matches('\n'));
            line.clear();
        }
        Ok(())
    }

    /// Takes one line as the API server gives it: the time when it was written, a blank, the text.
    fn take(&self, line: &str) {
        let stamped = line.split_once(' ').unwrap_or((line, ""));
        let (received, text) = match stamped.0.parse::<Timestamp>() {
            Ok(stamp) if !self.mark().takes(stamp) => return,
            Ok(_) => stamped,
            Err(_) => ("", line),
        };
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::{
        StreamExt as _,
        stream::{self, BoxStream},
    };
    use http::{Request, Response};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use kube::{Client, client::Body};

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn a_stream_that_is_taken_up_again_gives_no_line_twice_and_leaves_none_out() {
        let mut mark = Mark::default();
        assert_eq!(mark.resume(), None);
        let took = |mark: &mut Mark, stamps: &[i64]| stamps.iter().filter(|stamp| mark.takes(at(**stamp))).count();
        assert_eq!(
            took(&mut mark, &[10, 11, 11, 12, 12]),
            5,
            "lines of one moment are lines of their own"
        );
        assert_eq!(took(&mut mark, &[5, 6]), 2, "a clock that is set back loses nothing");
        assert_eq!(took(&mut mark, &[7, 7]), 2);
        assert_eq!(mark.resume(), Some(at(0)), "from the beginning of that second");
        assert_eq!(took(&mut mark, &[6, 7, 7]), 0, "what came already");
        assert_eq!(took(&mut mark, &[7, 8, 8]), 3, "and what did not");
    }

    /// A client of a server that answers as `answer` says, given the query of each request.
    fn client(answer: impl Fn(&str) -> Said + Clone + Send + 'static) -> Client {
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = answer(request.uri().query().unwrap_or_default());
            async move { Ok::<_, Infallible>(Response::new(StreamBody::new(answer))) }
        });
        Client::new(service, "default")
    }

    fn source() -> Lines {
        Lines {
            workload: FlowWorkload::default(),
            mark: Arc::default(),
            traffic: Arc::default(),
            logs: Arc::default(),
            silence: Duration::from_millis(50),
        }
    }

    /// The body of an answer.
    type Said = BoxStream<'static, Result<Frame<Bytes>, io::Error>>;

    fn says(text: &'static str) -> Said {
        stream::iter([Ok(Frame::data(Bytes::from_static(text.as_bytes())))]).boxed()
    }

    fn never_ends(text: &'static str) -> Said {
        says(text).chain(stream::pending()).boxed()
    }

    const FIRST: &str = "2026-11-23T13:38:18.700000000Z first\n";
    const BOTH: &str = "2026-11-23T13:38:18.700000000Z first\n2026-11-23T13:38:18.800000000Z second\n";

    #[tokio::test]
    async fn a_stream_that_falls_silent_is_taken_up_again_where_it_was() {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let own = asked.clone();
        let client = client(move |query| {
            let mut asked = own.lock().unwrap();
            asked.push(query.to_string());
            match asked.len() {
                1 => never_ends(FIRST),
                _ => never_ends(BOTH),
            }
        });
        let lines = source();
        let logs = lines.logs.clone();
        let (pulse, _never_felt) = Pulse::of(client.clone());
        let following = tokio::spawn(lines.follow(Api::namespaced(client, "shop"), "cart".into(), pulse));
        while logs.state().passed_over < 2 {
            time::sleep(REST).await;
        }
        following.abort();
        assert_eq!(logs.state().passed_over, 2, "each line once");
        let asked = asked.lock().unwrap();
        assert!(
            asked[0].contains("tailLines") && !asked[0].contains("sinceTime"),
            "{asked:?}"
        );
        // From the beginning of that second: what is rounded up leaves lines out.
        assert!(asked[1].contains("sinceTime=2026-11-23T13%3A38%3A18Z"), "{asked:?}");
    }

    #[tokio::test]
    async fn every_line_is_a_flow_or_is_counted() {
        const ROUNDS: usize = 400;
        let flow = r#"[2026-11-23T13:38:18.348Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 0 1 2 1 "-" "curl" "4bc8" "a.com" "1.2.3.4:80" PassthroughCluster 10.0.0.1:1 1.2.3.4:80 10.0.0.1:2 - allow_any"#;
        let lines: [Vec<u8>; 7] = [
            flow.into(),
            flow.replace("curl", "c \"u\" rl").into(),
            flow.replace("curl", "\u{0}x").replace('x', "y").into_bytes(),
            // Not UTF-8, which any caller can make of a header.
            [
                flow.split("curl").next().unwrap().as_bytes(),
                b"\xff\xfe",
                flow.split("curl").nth(1).unwrap().as_bytes(),
            ]
            .concat(),
            flow.replace("PassthroughCluster", "inbound|80||").into(),
            b"2026-11-23T13:38:18Z\tinfo\tEnvoy proxy is ready".into(),
            b"[2026-11-23T13:38:18.348Z] a format that nobody knows".into(),
        ];
        let mut log = Vec::new();
        for round in 0..ROUNDS {
            // Lines of one moment, as a flush writes them.
            let stamp = at(i64::try_from(round).unwrap()).to_string();
            for line in &lines {
                log.extend([stamp.as_bytes(), b" ", line, b"\n"].concat());
            }
        }
        let source = Lines {
            traffic: Arc::new(Traffic::bounded(ROUNDS, usize::MAX)),
            ..source()
        };
        source.read(log.as_slice()).await.unwrap();
        let state = source.logs.state();
        let rounds = ROUNDS as u64;
        assert_eq!(
            (state.flows, state.passed_over, state.unread),
            (4 * rounds, 2 * rounds, rounds)
        );
        assert!(state.unread_because.is_some());
        let (kept, dropped) = (
            source.traffic.last_id() - source.traffic.dropped(),
            source.traffic.dropped(),
        );
        assert_eq!(
            (kept, dropped),
            (rounds, 3 * rounds),
            "what the store cannot hold is counted too"
        );
    }
}
