//! What is written down about a flow: the record, the access log, the metrics.

mod flow;
mod flow_record;
mod format;
mod line;
#[cfg(feature = "sidecar")]
mod log;
#[cfg(feature = "sidecar")]
mod metrics;
mod pieces;
#[cfg(feature = "sidecar")]
mod recorder;
#[cfg(feature = "sidecar")]
mod stream;

pub use flow::{Flow, HttpPart, Name};
pub use flow_record::*;
pub use format::{Formats, Line};
pub use line::{Token, read_line};
#[cfg(feature = "sidecar")]
pub use metrics::OpenConnections;
pub use pieces::Timestamp;
#[cfg(feature = "sidecar")]
pub use recorder::{AccessLogFormat, AccessLogTarget, Recorder, WorkerRecorder};
#[cfg(feature = "sidecar")]
pub use stream::{FLOW_READERS, FlowStream};
