//! Takes finished flows from the workers: access log lines to one writer thread, records to whoever streams `/flows`,
//! counts to the metrics.
//!
//! Nothing here blocks a worker: queues are bounded, what does not fit is dropped and counted. A queue takes memory as it
//! fills: most sidecars are idle, and there are many of them.

use std::{
    cell::RefCell,
    fs::OpenOptions,
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Flow, FlowWorkload,
    log::Log,
    metrics::{self, OpenConnections, WorkerCounts},
    stream::{FlowStream, FlowStreams},
};

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

/// Shared by all workers.
#[derive(Debug)]
pub struct Recorder {
    format: AccessLogFormat,
    log: Option<Log>,
    streams: Arc<FlowStreams>,
    workload: Arc<FlowWorkload>,
    workers: Mutex<Vec<Arc<WorkerCounts>>>,
}

/// One worker's way to the recorder.
#[derive(Debug)]
pub struct WorkerRecorder {
    shared: Arc<Recorder>,
    counts: Arc<WorkerCounts>,
    /// Each line is made here, so that the log is held for no longer than it takes to copy it.
    line: RefCell<String>,
}

impl Recorder {
    /// Opens the access log and starts its writer.
    pub fn open(target: &AccessLogTarget, format: AccessLogFormat, workload: FlowWorkload) -> io::Result<Arc<Self>> {
        let output: Option<Box<dyn Write + Send>> = match target {
            AccessLogTarget::Off => None,
            AccessLogTarget::Stdout => Some(Box::new(io::stdout())),
            AccessLogTarget::File(path) => Some(Box::new(OpenOptions::new().create(true).append(true).open(path)?)),
        };
        let log = output.map(Log::start).transpose()?;
        Ok(Arc::new(Self {
            format,
            log,
            streams: Arc::default(),
            workload: workload.into(),
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
            line: RefCell::default(),
        }
    }

    /// Streams the records from now on; `None` where as many read them as may ([`FLOW_READERS`](super::FLOW_READERS)).
    pub fn subscribe(&self) -> Option<FlowStream> {
        self.streams.subscribe()
    }

    /// Waits until all lines so far are written: the process may end afterwards. A log that hangs is not waited for.
    pub fn flush(&self) {
        if let Some(log) = &self.log {
            log.flush();
        }
    }

    /// Lines that are not in the access log: its writer was too slow, or could not write them.
    pub fn dropped(&self) -> u64 {
        self.log.as_ref().map_or(0, Log::dropped)
    }

    /// Prometheus text of the counters.
    pub fn metrics(&self) -> String {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        metrics::text(&workers, &self.workload, self.dropped(), self.streams.dropped())
    }
}

impl WorkerRecorder {
    /// Records a finished flow.
    pub fn record(&self, flow: &Flow) {
        let shared = &self.shared;
        if let Some(log) = &shared.log {
            let mut line = self.line.borrow_mut();
            line.clear();
            match shared.format {
                AccessLogFormat::Text => flow.write_text(&mut line),
                AccessLogFormat::Json => flow.write_json(&mut line),
            }
            line.push('\n');
            // One that there is no room for is counted there.
            log.add(&line);
        }
        if !shared.streams.is_idle()
            && let Ok(mut json) = serde_json::to_string(&flow.record(&shared.workload))
        {
            json.push('\n');
            shared.streams.add(json);
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
