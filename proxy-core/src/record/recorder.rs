//! Takes finished flows from the workers: access log lines to one writer thread, records to whoever streams `/flows`,
//! counts to the metrics.
//!
//! Nothing here blocks a worker: queues are bounded, what does not fit is dropped and counted. A queue takes memory as it
//! fills, and that of `/flows` from its first reader on: most sidecars are idle, and there are many of them.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc as channel,
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{
    broadcast,
    mpsc::{self, error::TrySendError},
};

use super::{
    Flow, FlowWorkload,
    metrics::{self, OpenConnections, WorkerCounts},
};

/// Lines that wait for the writer; at 320 bytes each about 5 MB.
const LOG_QUEUE: usize = 16_384;

/// Bytes of them: callers may make each line as long as the head of a request.
const LOG_BYTES: usize = 8 * 1024 * 1024;

/// Bytes that go to the log in one write.
const BATCH: usize = 64 * 1024;

/// How long a line may wait for others. Below what a person notices (Envoy has them wait for 10 s), and long enough that a
/// sidecar with a hundred requests a second wakes its writer for several of them at once.
const GATHER: Duration = Duration::from_millis(100);

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
    Flush(channel::Sender<()>),
}

/// How long the last lines may take to be written when the sidecar ends.
const FLUSH: Duration = Duration::from_secs(2);

/// A reader's end of `/flows`.
pub type FlowStream = broadcast::Receiver<Arc<str>>;

/// Shared by all workers.
#[derive(Debug)]
pub struct Recorder {
    format: AccessLogFormat,
    log_tx: Option<mpsc::Sender<Entry>>,
    stream_tx: OnceLock<broadcast::Sender<Arc<str>>>,
    workload: Arc<FlowWorkload>,
    log: Arc<LogCounts>,
    workers: Mutex<Vec<Arc<WorkerCounts>>>,
}

/// What becomes of the lines of the access log.
#[derive(Debug, Default)]
struct LogCounts {
    /// Bytes that wait for the writer.
    waiting: AtomicUsize,
    /// Lines that are lost: the writer was too slow, or could not write.
    dropped: AtomicU64,
}

/// One worker's way to the recorder.
#[derive(Debug)]
pub struct WorkerRecorder {
    shared: Arc<Recorder>,
    counts: Arc<WorkerCounts>,
}

impl Recorder {
    /// Opens the access log and starts its writer.
    pub fn open(target: &AccessLogTarget, format: AccessLogFormat, workload: FlowWorkload) -> io::Result<Arc<Self>> {
        let output: Option<Box<dyn Write + Send>> = match target {
            AccessLogTarget::Off => None,
            AccessLogTarget::Stdout => Some(Box::new(io::stdout())),
            AccessLogTarget::File(path) => Some(Box::new(OpenOptions::new().create(true).append(true).open(path)?)),
        };
        Self::write_to(output, format, workload)
    }

    fn write_to(
        output: Option<Box<dyn Write + Send>>,
        format: AccessLogFormat,
        workload: FlowWorkload,
    ) -> io::Result<Arc<Self>> {
        let log = Arc::<LogCounts>::default();
        let log_tx = match output {
            None => None,
            Some(output) => {
                let (log_tx, log_rx) = mpsc::channel(LOG_QUEUE);
                let counts = log.clone();
                thread::Builder::new()
                    .name("access-log".into())
                    .spawn(move || write_lines(log_rx, output, &counts))?;
                Some(log_tx)
            }
        };
        Ok(Arc::new(Self {
            format,
            log_tx,
            stream_tx: OnceLock::new(),
            workload: workload.into(),
            log,
            workers: Mutex::default(),
        }))
    }

    /// A recorder for one worker.
    pub fn worker(self: &Arc<Self>) -> WorkerRecorder {
        let counts = Arc::<WorkerCounts>::default();
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
        let stream_tx = self.stream_tx.get_or_init(|| broadcast::Sender::new(STREAM_QUEUE));
        stream_tx.subscribe()
    }

    /// Waits until all lines so far are written: the process may end afterwards. A log that hangs is not waited for.
    pub fn flush(&self) {
        let Some(log_tx) = &self.log_tx else { return };
        let until = Instant::now() + FLUSH;
        let (done_tx, done_rx) = channel::channel();
        let mut entry = Entry::Flush(done_tx);
        while let Err(TrySendError::Full(back)) = log_tx.try_send(entry) {
            if Instant::now() >= until {
                break;
            }
            entry = back;
            thread::sleep(Duration::from_millis(1));
        }
        if done_rx
            .recv_timeout(until.saturating_duration_since(Instant::now()))
            .is_err()
        {
            tracing::error!("the access log did not take its last lines within {FLUSH:?}");
        }
    }

    /// Access log lines that are lost, because the writer was too slow or could not write them.
    pub fn dropped(&self) -> u64 {
        self.log.dropped.load(Ordering::Relaxed)
    }

    /// Prometheus text of the counters.
    pub fn metrics(&self) -> String {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        metrics::text(&workers, &self.workload, self.dropped())
    }
}

/// The writer thread: gathers lines for a moment and writes them at once, so that a busy worker wakes nobody.
fn write_lines(mut log_rx: mpsc::Receiver<Entry>, mut output: Box<dyn Write + Send>, counts: &LogCounts) {
    let mut batch = String::new();
    while let Some(first) = log_rx.blocking_recv() {
        if matches!(first, Entry::Line(_)) {
            thread::sleep(GATHER);
        }
        let mut next = Some(first);
        while let Some(entry) = next {
            let flushed = match entry {
                Entry::Line(line) => {
                    batch.push_str(&line);
                    counts.waiting.fetch_sub(line.len(), Ordering::Relaxed);
                    None
                }
                Entry::Flush(done_tx) => Some(done_tx),
            };
            if batch.len() >= BATCH || flushed.is_some() {
                write_batch(&mut batch, &mut *output, counts);
            }
            if let Some(done_tx) = flushed {
                // Who waited may have given up.
                let _ = done_tx.send(());
            }
            next = log_rx.try_recv().ok();
        }
        write_batch(&mut batch, &mut *output, counts);
    }
}

fn write_batch(batch: &mut String, output: &mut dyn Write, counts: &LogCounts) {
    if let Err(error) = output.write_all(batch.as_bytes()).and_then(|()| output.flush()) {
        // A log that cannot be written must not stop traffic; the reason goes where the operator looks.
        tracing::error!(%error, "the access log cannot be written");
        let lines = batch.bytes().filter(|byte| *byte == b'\n').count();
        counts.dropped.fetch_add(lines as u64, Ordering::Relaxed);
    }
    batch.clear();
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
            let length = line.len();
            let waiting = shared.log.waiting.fetch_add(length, Ordering::Relaxed) + length;
            if waiting > LOG_BYTES || log_tx.try_send(Entry::Line(line)).is_err() {
                shared.log.waiting.fetch_sub(length, Ordering::Relaxed);
                shared.log.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(stream_tx) = shared
            .stream_tx
            .get()
            .filter(|stream_tx| stream_tx.receiver_count() > 0)
            && let Ok(mut json) = serde_json::to_string(&flow.record(&shared.workload))
        {
            json.push('\n');
            // Nobody listening any more is no error.
            let _ = stream_tx.send(json.into());
        }
        self.counts.finished(flow);
    }

    /// Counts a byte stream that begins.
    pub fn stream_opened(&self, flow: &Flow) {
        self.counts.opened(flow);
    }

    /// Connections that the worker holds now.
    pub fn open(&self) -> &OpenConnections {
        &self.counts.open
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{policy::Verdict, record::HttpPart};

    /// Writes nothing until it may, and then whatever it can.
    struct Held(channel::Receiver<()>, Result<Arc<Mutex<Vec<u8>>>, io::ErrorKind>);

    impl Write for Held {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Whoever holds it lets go for good by going away.
            let _ = self.0.recv();
            let written = self.1.as_ref().map_err(|kind| io::Error::from(*kind))?;
            written.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Records `count` requests for a long path while the log is held up; what was dropped by then, and in the end.
    fn flood(count: u64, written: Result<Arc<Mutex<Vec<u8>>>, io::ErrorKind>) -> (u64, u64) {
        let (held_tx, held_rx) = channel::channel();
        let output: Box<dyn Write + Send> = Box::new(Held(held_rx, written));
        let recorder = Recorder::write_to(Some(output), AccessLogFormat::Text, FlowWorkload::default()).unwrap();
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        let flow = Flow {
            http: Some(HttpPart {
                path: "/a".repeat(30_000),
                ..HttpPart::default()
            }),
            ..Flow::begin(Verdict::Blocked, nobody, nobody, "hash")
        };
        let worker = recorder.worker();
        for _ in 0..count {
            worker.record(&flow);
        }
        let dropped = recorder.dropped();
        drop(held_tx);
        recorder.flush();
        assert_eq!(recorder.log.waiting.load(Ordering::Relaxed), 0);
        (dropped, recorder.dropped())
    }

    #[test]
    fn long_lines_that_nobody_takes_are_dropped_and_counted_before_they_fill_the_memory() {
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let (before, after) = flood(1_000, Ok(written.clone()));
        let written = written.lock().unwrap().iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!((before, after), (after, 1_000 - written));
        assert!(written * 60_000 <= (LOG_BYTES + 2 * BATCH) as u64, "{written}");
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        assert_eq!(flood(10, Err(io::ErrorKind::StorageFull)), (0, 10));
    }
}
