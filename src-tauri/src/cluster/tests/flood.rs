//! What a line costs on its way from the API server into a log window: a server that is nothing but an API server's
//! `pods/log` gives lines at a fixed rate, and what the windows work with takes them. Run by `make bench-log`, which
//! writes down what this prints.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client, Config};
use proxy_core::record::FlowWorkload;
use tokio::{runtime, sync::watch};

use crate::{
    cluster::{
        lines::{LAST_LINES, Lines, SILENCE},
        logs::Logs,
        pulse::Pulse,
    },
    dto::LogQuery,
    events::{Event, Events},
    traffic::{Traffic, announce},
};

const PODS: u64 = 5;
const SECONDS: u64 = 30;
/// What a window asks for, and how soon again (`ui/src/screens/log/view.svelte.ts`).
const PAGE: usize = 200;
const PACE: Duration = Duration::from_millis(100);
/// How often the server writes: a sidecar hands its lines on in batches too.
const TICK: Duration = Duration::from_millis(10);

/// Names the lines a second to a process of its own that serves them: what that takes is not this process's.
const SERVER: &str = "EGRET_FLOOD_SERVER";

#[test]
#[ignore = "the other half of the bench, started by it"]
fn lines_are_served_at_a_rate() {
    let Some(rate) = std::env::var(SERVER).ok().and_then(|rate| rate.parse::<u64>().ok()) else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    eprintln!("{}", listener.local_addr().unwrap());
    for stream in listener.incoming() {
        thread::spawn(move || serve(stream.unwrap(), rate / PODS));
    }
}

/// Answers one request for a log: `rate` lines a second for the time of the bench, and then nothing more.
fn serve(stream: TcpStream, rate: u64) {
    let mut head = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while head.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    let mut stream = stream;
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(answer.as_bytes()).unwrap();
    let (began, mut written) = (Instant::now(), 0);
    while written < rate * SECONDS {
        let due = (began.elapsed().as_micros() as u64 * rate / 1_000_000).min(rate * SECONDS);
        let now = Timestamp::now();
        let mut lines = String::new();
        for number in written..due {
            lines.push_str(&format!(
                "{now:.9} [{now:.3}] \"GET /lines/{number} HTTP/1.1\" 200 - via_upstream - \"-\" 0 1 2 1 \"-\" \
                 \"curl/8.16.0\" \"4bc8e474-2a91-4a67-872e-ad5ee2258b1c\" \"site-{}.example.com\" \"1.2.3.4:80\" \
                 outbound|80||site.example.com 10.0.0.1:1 1.2.3.4:80 10.0.0.1:2 - default\n",
                number % 20
            ));
        }
        if !lines.is_empty() {
            let chunk = format!("{:x}\r\n{lines}\r\n", lines.len());
            // The other half ends with the bench.
            if stream.write_all(chunk.as_bytes()).is_err() {
                return;
            }
            written = due;
        }
        thread::sleep(TICK);
    }
    let _ = head.read_line(&mut line);
}

/// The server's process.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts it, and says where it listens.
    fn start(rate: u64) -> (Self, String) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--nocapture", "lines_are_served_at_a_rate"])
            .env(SERVER, rate.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut address = String::new();
        said.read_line(&mut address).unwrap();
        // Whatever else it says is read, so that it never waits.
        thread::spawn(move || said.read_to_end(&mut Vec::new()));
        (Self(child), format!("http://{}", address.trim()))
    }
}

/// Processor time that this process has taken.
fn processor_time() -> Duration {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).unwrap();
    let time = |value: nix::sys::time::TimeVal| {
        Duration::from_secs(value.tv_sec() as u64) + Duration::from_micros(value.tv_usec() as u64)
    };
    time(usage.user_time()) + time(usage.system_time())
}

/// What a log window does: it asks for its page whenever it is told of flows, at most once in `PACE`.
fn window(traffic: &Traffic, told: &mpsc::Receiver<()>, farthest: &AtomicU64, ends: &AtomicBool) -> usize {
    let mut bytes = 0;
    while !ends.load(Ordering::Relaxed) {
        if told.recv_timeout(PACE).is_ok() {
            while told.try_recv().is_ok() {}
            let query = LogQuery {
                text: "example.com".into(),
                ..LogQuery::default()
            };
            let page = traffic.page(query, None, PAGE);
            farthest.fetch_max(page.lag_ms, Ordering::Relaxed);
            bytes += serde_json::to_string(&page).unwrap().len();
            thread::sleep(PACE);
        }
    }
    bytes
}

fn take(rate: u64) {
    let (_server, address) = Server::start(rate);
    let traffic = Arc::new(Traffic::default());
    let logs = Arc::new(Logs::default());
    let (told_tx, told_rx) = mpsc::channel();
    let events = Events::new(move |event| {
        if matches!(event, Event::FlowsAdded(_)) {
            let _ = told_tx.send(());
        }
    });
    announce(traffic.clone(), events).unwrap();
    let (farthest, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let shown = thread::spawn({
        let (traffic, farthest, ends) = (traffic.clone(), farthest.clone(), ends.clone());
        move || window(&traffic, &told_rx, &farthest, &ends)
    });

    // As a connection has it.
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let client = {
        let _inside = runtime.enter();
        Client::try_from(Config::new(address.parse().unwrap())).unwrap()
    };
    let (before, began) = (processor_time(), Instant::now());
    let (pulse, _never_felt) = Pulse::of({
        let client = client.clone();
        move || client.clone()
    });
    let (_running_tx, running_rx) = watch::channel(false);
    for pod in 0..PODS {
        let lines = Lines {
            pods: Api::namespaced(client.clone(), "shop"),
            name: format!("cart-{pod}"),
            workload: FlowWorkload {
                namespace: "shop".into(),
                name: "cart".into(),
                labels: labels(),
            }
            .into(),
            young: true,
            mark: Arc::default(),
            traffic: traffic.clone(),
            logs: logs.clone(),
            silence: SILENCE,
            last_lines: LAST_LINES,
        };
        runtime.spawn(lines.follow(running_rx.clone(), pulse.clone()));
    }
    let sent = rate / PODS * SECONDS * PODS;
    let (mut last, mut stood) = (0, Instant::now());
    while last < sent {
        thread::sleep(Duration::from_millis(20));
        let now = logs.state().flows;
        if now > last {
            (last, stood) = (now, Instant::now());
        }
        assert!(stood.elapsed() < Duration::from_secs(10), "{last} of {sent} lines came");
    }
    let (took, cost) = (began.elapsed(), processor_time() - before);
    // The window's last look.
    thread::sleep(3 * PACE);
    ends.store(true, Ordering::Relaxed);
    let bytes = shown.join().unwrap();
    traffic.close();

    let page = traffic.page(LogQuery::default(), None, 1);
    let state = logs.state();
    assert_eq!((state.unread, state.gaps, state.passed_over), (0, 0, 0));
    assert_eq!(
        (page.total, page.kept + page.dropped),
        (sent, sent),
        "every line is kept or counted"
    );
    println!(
        "| {} | {sent} | {:.1} s | {} | {} | {:.1} | {:.0} % | {} ms | {:.1} MB/s |",
        rate,
        took.as_secs_f64(),
        page.kept,
        page.dropped,
        cost.as_secs_f64() * 1e6 / sent as f64,
        100.0 * cost.as_secs_f64() / took.as_secs_f64(),
        farthest.load(Ordering::Relaxed),
        bytes as f64 / 1e6 / took.as_secs_f64(),
    );
}

/// As many as a pod of a Deployment has under Istio.
fn labels() -> BTreeMap<String, String> {
    [
        ("app", "cart"),
        ("pod-template-hash", "5d4c8b9f7c"),
        ("security.istio.io/tlsMode", "istio"),
        ("service.istio.io/canonical-name", "cart"),
        ("service.istio.io/canonical-revision", "v1"),
        ("version", "v1"),
    ]
    .into_iter()
    .map(|(key, value)| (key.into(), value.into()))
    .collect()
}

#[test]
#[ignore = "takes minutes and measures; make bench-log runs it"]
fn a_flood_of_lines_is_taken_at_its_rate() {
    println!(
        "| lines a second | lines | taken in | kept | counted as dropped | processor time a line, µs | of one processor \
         | farthest behind | to the window |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for rate in [5_000, 20_000, 50_000] {
        take(rate);
    }
}
