//! What is written down about a flow: the record, the access log, the metrics.

mod flow;
mod flow_record;
mod line;
#[cfg(feature = "sidecar")]
mod metrics;
#[cfg(feature = "sidecar")]
mod recorder;
mod sidecar_line;

pub use flow::{Flow, HttpPart, Name, Timestamp};
pub use flow_record::*;
pub use line::{Token, read_line};
#[cfg(feature = "sidecar")]
pub use metrics::OpenConnections;
#[cfg(feature = "sidecar")]
pub use recorder::{AccessLogFormat, AccessLogTarget, FlowStream, Recorder, WorkerRecorder};
pub use sidecar_line::read_record;
