//! Test requests from inside the sandbox or from a pod, what the engine expects of them, and any command in the sandbox.

mod answer;
mod bring;
mod came;
mod command;
mod expect;
mod pod;
mod request;
mod sandbox;
mod target;
mod wget;

pub use bring::{Bringing, probes, ways};
pub use command::run_command;
pub use pod::FromPod;
pub use request::send_request;
pub use sandbox::FromSandbox;

/// Longest text kept of what a request answers; more is cut off and said so.
const MAX_TEXT: usize = 256 * 1024;
/// Longest that a request may take, for its client; `/delay/N` of the sites ends well before.
const MAX_SECONDS: &str = "20";
