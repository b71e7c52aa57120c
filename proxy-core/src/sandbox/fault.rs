//! What can go wrong with the sandbox, with the way out for each.

use serde::{Deserialize, Serialize};

/// The way that is open where a private network is not.
const EXPLICIT: &str = "use the explicit proxy instead: `egret-proxy run --policy DIR --explicit 127.0.0.1:15080`, then \
                        HTTP_PROXY and HTTPS_PROXY=http://127.0.0.1:15080 for the command";

/// Why the sandbox could not be made or kept. Crosses from the helper inside the namespace to its parent as JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The kernel or a security module forbids user namespaces.
    #[error("no private network: {cause}; {remedy}, or {EXPLICIT}")]
    Forbidden {
        /// What forbids it.
        cause: String,
        /// What an administrator can change.
        remedy: String,
    },
    /// A step of building the private network failed.
    #[error("no private network: {step}: {message}; {EXPLICIT}")]
    Network {
        /// The step.
        step: String,
        /// The system's words.
        message: String,
    },
    /// The command could not be started.
    #[error("{program}: {message}")]
    Command {
        /// The program.
        program: String,
        /// The system's words.
        message: String,
        /// Exit code a shell would use: 127 not found, 126 not executable.
        code: u8,
    },
    /// The processes of the sandbox lost each other.
    #[error("the sandbox ended unexpectedly while {doing}: {message}")]
    Lost {
        /// What was being done.
        doing: String,
        /// The system's words.
        message: String,
    },
}

impl Fault {
    /// A failed step of building the network.
    pub fn network(step: &str, error: impl std::fmt::Display) -> Self {
        Self::Network {
            step: step.into(),
            message: error.to_string(),
        }
    }

    /// The other side is gone.
    pub fn lost(doing: &str, error: impl std::fmt::Display) -> Self {
        Self::Lost {
            doing: doing.into(),
            message: error.to_string(),
        }
    }
}
