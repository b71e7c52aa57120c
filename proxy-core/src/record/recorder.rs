//! Takes finished flows from the workers: access log lines to one writer thread, records to whoever streams `/flows`,
//! counts to the metrics.
//!
//! Nothing here blocks a worker: queues are bounded, what does not fit is dropped and counted.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, SyncSender, TrySendError},
    },
    time::{Duration, Instant},
};

use tokio::sync::broadcast;

use super::{Flow, FlowWorkload};

/// Lines that wait for the writer; at 320 bytes each about 5 MB.
const LOG_QUEUE: usize = 16_384;

/// Bytes that go to the log in one write.
const BATCH: usize = 64 * 1024;

/// Records that wait for a slow reader of `/flows`.
const STREAM_QUEUE: usize = 8_192;

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AccessLogTarget {
    /// Standard output.
    #[default]
    Stdout,
    /// A file, appended to.
    File(PathBuf),
    /// Nowhere.
    Off,
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "sidecar", derive(clap::ValueEnum))]
pub enum AccessLogFormat {
    /// Istio's default text format.
    #[default]
    Text,
    /// Istio's JSON format.
    Json,
}

/// What the writer is told.
#[derive(Debug)]
enum Entry {
    Line(String),
    /// Everything before this must be written; then the sender is told.
    Flush(mpsc::Sender<()>),
}

/// How long the last lines may take to be written when the sidecar ends.
const FLUSH: Duration = Duration::from_secs(2);

/// A reader's end of `/flows`.
pub type FlowStream = broadcast::Receiver<Arc<str>>;

/// Shared by all workers.
#[derive(Debug)]
pub struct Recorder {
    format: AccessLogFormat,
    log_tx: Option<SyncSender<Entry>>,
    stream_tx: broadcast::Sender<Arc<str>>,
    workload: FlowWorkload,
    dropped: AtomicU64,
    workers: Mutex<Vec<Arc<Mutex<Counts>>>>,
}

/// One worker's own counters, summed when they are read. The lock is only ever contended by a scrape.
#[derive(Debug)]
pub struct WorkerRecorder {
    shared: Arc<Recorder>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// By service host; the empty one stands for destinations that no policy names.
    services: HashMap<String, Service>,
    verdicts: [u64; 4],
}

#[derive(Debug, Default)]
struct Service {
    namespace: String,
    /// Flows, bytes sent, bytes received.
    series: HashMap<Series, [u64; 3]>,
}

/// What tells the series of one service apart: small and compared by value, so that counting writes no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Series {
    /// Name that stands for the service where policy names none.
    special: Option<&'static str>,
    /// HTTP status; `None` for a stream.
    status: Option<u16>,
    flags: &'static str,
}

impl Recorder {
    /// Opens the access log and starts its writer.
    pub fn open(target: &AccessLogTarget, format: AccessLogFormat, workload: FlowWorkload) -> io::Result<Arc<Self>> {
        let output: Option<Box<dyn Write + Send>> = match target {
            AccessLogTarget::Off => None,
            AccessLogTarget::Stdout => Some(Box::new(io::stdout())),
            AccessLogTarget::File(path) => Some(Box::new(OpenOptions::new().create(true).append(true).open(path)?)),
        };
        let log_tx = match output {
            None => None,
            Some(output) => {
                let (log_tx, log_rx) = mpsc::sync_channel(LOG_QUEUE);
                std::thread::Builder::new()
                    .name("access-log".into())
                    .spawn(move || write_lines(&log_rx, output))?;
                Some(log_tx)
            }
        };
        let (stream_tx, _) = broadcast::channel(STREAM_QUEUE);
        Ok(Arc::new(Self {
            format,
            log_tx,
            stream_tx,
            workload,
            dropped: AtomicU64::new(0),
            workers: Mutex::default(),
        }))
    }

    /// A recorder for one worker.
    pub fn worker(self: &Arc<Self>) -> WorkerRecorder {
        let counts = Arc::<Mutex<Counts>>::default();
        self.workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(counts.clone());
        WorkerRecorder {
            shared: self.clone(),
            counts,
        }
    }

    /// Streams the records from now on.
    pub fn subscribe(&self) -> FlowStream {
        self.stream_tx.subscribe()
    }

    /// Waits until all lines so far are written: the process may end afterwards. A log that hangs is not waited for.
    pub fn flush(&self) {
        let Some(log_tx) = &self.log_tx else { return };
        let until = Instant::now() + FLUSH;
        let (done_tx, done_rx) = mpsc::channel();
        let mut entry = Entry::Flush(done_tx);
        while let Err(TrySendError::Full(back)) = log_tx.try_send(entry) {
            if Instant::now() >= until {
                break;
            }
            entry = back;
            std::thread::sleep(Duration::from_millis(1));
        }
        if done_rx
            .recv_timeout(until.saturating_duration_since(Instant::now()))
            .is_err()
        {
            tracing::error!("the access log did not take its last lines within {FLUSH:?}");
        }
    }

    /// Access log lines dropped because the writer was too slow.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Prometheus text of the counters, with the names that Istio's dashboards use.
    pub fn metrics(&self) -> String {
        let mut verdicts = [0; 4];
        let (mut requests, mut connections) =
            (BTreeMap::<String, [u64; 3]>::new(), BTreeMap::<String, [u64; 3]>::new());
        for worker in self.workers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let counts = worker.lock().unwrap_or_else(PoisonError::into_inner);
            verdicts
                .iter_mut()
                .zip(counts.verdicts)
                .for_each(|(sum, own)| *sum += own);
            for (host, service) in &counts.services {
                for (series, own) in &service.series {
                    let labels = labels(host, &service.namespace, series, &self.workload);
                    let sums = if series.status.is_some() {
                        &mut requests
                    } else {
                        &mut connections
                    };
                    let sum = sums.entry(labels).or_default();
                    sum.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
                }
            }
        }
        let mut text = String::from("# TYPE istio_requests_total counter\n");
        for (labels, [count, ..]) in &requests {
            let _ = writeln!(text, "istio_requests_total{{{labels}}} {count}");
        }
        for (index, name) in [
            "istio_tcp_connections_closed_total",
            "istio_tcp_sent_bytes_total",
            "istio_tcp_received_bytes_total",
        ]
        .iter()
        .enumerate()
        {
            let _ = writeln!(text, "# TYPE {name} counter");
            for (labels, counts) in &connections {
                let _ = writeln!(text, "{name}{{{labels}}} {}", counts[index]);
            }
        }
        text.push_str("# TYPE egret_flows_total counter\n");
        for (verdict, count) in ["registered", "passthrough", "blocked", "bypassed"]
            .iter()
            .zip(verdicts)
        {
            let _ = writeln!(text, "egret_flows_total{{verdict=\"{verdict}\"}} {count}");
        }
        let _ = writeln!(
            text,
            "# TYPE egret_access_log_dropped_total counter\negret_access_log_dropped_total {}",
            self.dropped()
        );
        text
    }
}

fn write_lines(log_rx: &mpsc::Receiver<Entry>, mut output: Box<dyn Write + Send>) {
    let mut batch = String::new();
    while let Ok(first) = log_rx.recv() {
        let mut flushed = None;
        let mut next = Some(first);
        while let Some(entry) = next {
            match entry {
                Entry::Line(line) => batch.push_str(&line),
                Entry::Flush(done_tx) => flushed = Some(done_tx),
            }
            let full = batch.len() >= BATCH || flushed.is_some();
            next = if full { None } else { log_rx.try_recv().ok() };
        }
        if let Err(error) = output.write_all(batch.as_bytes()).and_then(|()| output.flush()) {
            // A log that cannot be written must not stop traffic; the reason goes where the operator looks.
            tracing::error!(%error, "the access log cannot be written");
        }
        batch.clear();
        if let Some(done_tx) = flushed {
            // Who waited may have given up.
            let _ = done_tx.send(());
        }
    }
}

impl WorkerRecorder {
    /// Records a finished flow.
    pub fn record(&self, flow: &Flow) {
        let shared = &self.shared;
        if let Some(log_tx) = &shared.log_tx {
            let mut line = String::with_capacity(384);
            match shared.format {
                AccessLogFormat::Text => flow.write_text(&mut line),
                AccessLogFormat::Json => flow.write_json(&mut line),
            }
            line.push('\n');
            if log_tx.try_send(Entry::Line(line)).is_err() {
                shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        if shared.stream_tx.receiver_count() > 0
            && let Ok(mut json) = serde_json::to_string(&flow.record(&shared.workload))
        {
            json.push('\n');
            // Nobody listening any more is no error.
            let _ = shared.stream_tx.send(json.into());
        }
        self.count(flow);
    }

    fn count(&self, flow: &Flow) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.verdicts[flow.verdict as usize] += 1;
        if !counts.services.contains_key(&flow.service_host) {
            let service = Service {
                namespace: flow.service_namespace.clone(),
                ..Service::default()
            };
            counts.services.insert(flow.service_host.clone(), service);
        }
        if let Some(service) = counts.services.get_mut(&flow.service_host) {
            let sums = service.series.entry(series(flow)).or_default();
            for (sum, value) in sums.iter_mut().zip([1, flow.sent, flow.received]) {
                *sum += value;
            }
        }
    }
}

/// The name comes from the route first, then from the cluster.
fn series(flow: &Flow) -> Series {
    Series {
        special: match (flow.route.as_str(), flow.cluster.as_str()) {
            ("block_all", _) | (_, "BlackHoleCluster") => Some("BlackHoleCluster"),
            ("allow_any" | "allow_any_dynamic_dns", _) | (_, "PassthroughCluster") => Some("PassthroughCluster"),
            _ => None,
        },
        status: flow.http.as_ref().map(|http| http.status),
        flags: if flow.flags.is_empty() { "-" } else { flow.flags },
    }
}

/// Istio's labels at the source reporter. Host headers of unknown destinations are the callers' own text: as a label
/// each would be a new time series, so they are `unknown`.
fn labels(host: &str, namespace: &str, series: &Series, workload: &FlowWorkload) -> String {
    let or_unknown = |text: &str| escape(if host.is_empty() { "unknown" } else { text });
    let (protocol, code) = match series.status {
        Some(status) => ("http", format!(",response_code=\"{status}\"")),
        None => ("tcp", String::new()),
    };
    format!(
        "reporter=\"source\",source_workload=\"{}\",source_workload_namespace=\"{}\",destination_service=\"{}\",destination_service_name=\"{}\",destination_service_namespace=\"{}\",request_protocol=\"{protocol}\"{code},response_flags=\"{}\"",
        escape(&workload.name),
        escape(&workload.namespace),
        or_unknown(host),
        series.special.map_or_else(|| or_unknown(host), str::to_string),
        or_unknown(namespace),
        series.flags,
    )
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
