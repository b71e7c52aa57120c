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
use tokio::task::JoinHandle;

use super::*;

/// A client of a server that answers as `answer` says, given the query of each request.
fn client(answer: impl Fn(&str) -> Said + Clone + Send + 'static) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = answer(request.uri().query().unwrap_or_default());
        async move { Ok::<_, Infallible>(Response::new(StreamBody::new(answer))) }
    });
    Client::new(service, "default")
}

fn lines(client: Client) -> Lines {
    Lines {
        pods: Api::namespaced(client, "shop"),
        name: "cart".into(),
        workload: Arc::default(),
        young: false,
        mark: Arc::default(),
        traffic: Arc::default(),
        logs: Arc::default(),
        silence: Duration::from_millis(50),
        last_lines: Duration::from_millis(50),
    }
}

/// The body of an answer.
type Said = BoxStream<'static, Result<Frame<Bytes>, io::Error>>;

fn says(lines: &[&'static str]) -> Said {
    let lines: Vec<_> = lines
        .iter()
        .map(|line| Ok(Frame::data(Bytes::from_static(line.as_bytes()))))
        .collect();
    stream::iter(lines).boxed()
}

fn never_ends(lines: &[&'static str]) -> Said {
    says(lines).chain(stream::pending()).boxed()
}

fn breaks_off(lines: &[&'static str]) -> Said {
    says(lines)
        .chain(stream::iter([Err(io::ErrorKind::ConnectionReset.into())]))
        .boxed()
}

const FIRST: &str = "2026-11-23T13:38:18.700000000Z first\n";
const SECOND: &str = "2026-11-23T13:38:18.800000000Z second\n";
const THIRD: &str = "2026-11-23T13:38:20.000000000Z third\n";

/// What the server was asked.
type Asked = Arc<Mutex<Vec<String>>>;

/// Follows a log whose server answers one request after the other as `answer` says, and feels no pulse.
fn follow(
    ended: &watch::Sender<bool>,
    answer: impl Fn(usize, &str) -> Said + Clone + Send + 'static,
) -> (JoinHandle<()>, Arc<Logs>, Asked) {
    let asked = Asked::default();
    let own = asked.clone();
    let client = client(move |query| {
        let mut asked = own.lock().unwrap();
        asked.push(query.to_string());
        answer(asked.len(), query)
    });
    let (pulse, _never_felt) = Pulse::of({
        let client = client.clone();
        move || client.clone()
    });
    let lines = lines(client);
    let logs = lines.logs.clone();
    (tokio::spawn(lines.follow(ended.subscribe(), pulse)), logs, asked)
}

async fn takes(logs: &Logs, count: u64) {
    while logs.state().passed_over < count {
        time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_taken_up_again_where_it_was() {
    let ended = watch::Sender::new(false);
    let (following, logs, asked) = follow(&ended, |asked, _| match asked {
        1 => never_ends(&[FIRST]),
        _ => never_ends(&[FIRST, SECOND]),
    });
    takes(&logs, 2).await;
    following.abort();
    assert_eq!((logs.state().passed_over, logs.state().gaps), (2, 0), "each line once");
    let asked = asked.lock().unwrap();
    assert!(
        asked[0].contains("tailLines") && !asked[0].contains("sinceTime"),
        "{asked:?}"
    );
    // From the beginning of that second: what is rounded up leaves lines out.
    assert!(asked[1].contains("sinceTime=2026-11-23T13%3A38%3A18Z"), "{asked:?}");
}

#[tokio::test]
async fn what_a_sidecar_writes_last_is_taken_and_nothing_is_opened_after_its_end() {
    let (last_tx, last_rx) = watch::channel(false);
    let ended = watch::Sender::new(false);
    let (following, logs, asked) = follow(&ended, move |_, _| {
        let mut last_rx = last_rx.clone();
        let last = stream::once(async move {
            last_rx.wait_for(|written| *written).await.unwrap();
            Ok(Frame::data(Bytes::from_static(SECOND.as_bytes())))
        });
        says(&[FIRST]).chain(last).boxed()
    });
    takes(&logs, 1).await;
    ended.send_replace(true);
    last_tx.send_replace(true);
    following.await.unwrap();
    assert_eq!((logs.state().passed_over, logs.state().gaps), (2, 0));
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn last_lines_that_do_not_come_are_not_waited_for_for_ever_and_counted() {
    let ended = watch::Sender::new(false);
    let (following, logs, _asked) = follow(&ended, |_, _| never_ends(&[FIRST]));
    takes(&logs, 1).await;
    ended.send_replace(true);
    following.await.unwrap();
    assert_eq!((logs.state().passed_over, logs.state().gaps), (1, 1));
}

#[tokio::test]
async fn a_sidecar_that_was_started_anew_loses_no_line_that_the_kubelet_has() {
    for (before, passed_over, gaps) in [(&[FIRST, SECOND][..], 3, 0), (&[SECOND], 3, 1), (&[], 2, 1)] {
        let ended = watch::Sender::new(false);
        let (following, logs, asked) = follow(&ended, move |asked, query| match asked {
            1 => breaks_off(&[FIRST]),
            _ if query.contains("previous=true") => says(before),
            _ => says(&[THIRD]),
        });
        takes(&logs, passed_over).await;
        ended.send_replace(true);
        following.await.unwrap();
        let state = logs.state();
        assert_eq!((state.passed_over, state.gaps), (passed_over, gaps), "{before:?}");
        let asked = asked.lock().unwrap();
        assert!(
            asked[2].contains("previous=true") && asked[2].contains("sinceTime"),
            "{asked:?}"
        );
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_counted_and_never_held_whole() {
    let source = lines(client(|_| says(&[])));
    let first = FIRST.trim_end().as_bytes();
    let log = [first, &[b'x'; 3 * MAX_LINE], b"\n", SECOND.as_bytes(), b"no end"].concat();
    let (mut stream, mut line, mut longest) = (log.as_slice(), Vec::new(), 0);
    while source.next(&mut stream, &mut line).await.unwrap() {
        longest = longest.max(line.capacity());
        source.take(&line);
    }
    let state = source.logs.state();
    assert_eq!((state.unread, state.passed_over), (1, 2));
    assert_eq!(state.unread_because.as_deref(), Some("A line is longer than 256 KiB."));
    assert!(longest < 2 * MAX_LINE, "{longest}");
}

#[tokio::test]
async fn every_line_is_a_flow_or_is_counted() {
    const ROUNDS: usize = 400;
    let flow = r#"[2026-11-23T13:38:18.348Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 0 1 2 1 "-" "curl" "4bc8" "a.com" "1.2.3.4:80" PassthroughCluster 10.0.0.1:1 1.2.3.4:80 10.0.0.1:2 - allow_any"#;
    let written: [Vec<u8>; 7] = [
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
        let stamp = Timestamp::from_millisecond(i64::try_from(round).unwrap()).unwrap();
        let stamp = stamp.to_string();
        for line in &written {
            log.extend([stamp.as_bytes(), b" ", line, b"\n"].concat());
        }
    }
    let source = Lines {
        traffic: Arc::new(Traffic::bounded(ROUNDS, usize::MAX)),
        ..lines(client(|_| says(&[])))
    };
    assert!(matches!(source.read(log.as_slice()).await, Outcome::Whole));
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
