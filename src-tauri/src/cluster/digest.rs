//! What was seen once, known again without being kept.

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// SHA-256 of some bytes, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Digest(String);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        let all = digest(&SHA256, bytes);
        Self(all.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Enough of it to tell a few things apart.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}
