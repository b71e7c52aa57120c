//! Test requests from inside the sandbox, and any command there.

mod answer;
mod command;
mod request;

pub use command::run_command;
pub use request::{FromPod, FromSandbox, send_request};

/// Longest text kept of what a request answers; more is cut off and said so.
const MAX_TEXT: usize = 256 * 1024;
