//! The last lines that a sidecar said, to tell why it ended.

use std::{
    collections::VecDeque,
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::fault::Fault;

/// Lines of the sidecar's own log that are kept.
const LINES: usize = 20;
/// As many of them are told.
const TOLD: usize = 3;
/// Code of the fault of a sidecar that ended by itself, or does not answer.
pub const ENDED: &str = "sidecar";
/// Code of the fault of one that was killed: nothing that it lacked.
const KILLED: &str = "killed";

/// Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    pub fn keep(&self, line: &str) {
        let mut lines = self.lines();
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_string());
    }

    /// Why it ended: how, and what it said last.
    pub fn ended(&self, status: ExitStatus) -> Fault {
        let code = if status.signal().is_some() { KILLED } else { ENDED };
        self.told(code, &status.to_string())
    }

    /// It does not answer, for all that is known.
    pub fn silent(&self) -> Fault {
        self.told(ENDED, "no answer")
    }

    fn told(&self, code: &str, how: &str) -> Fault {
        let lines = self.lines();
        let last: Vec<&str> = lines.iter().rev().take(TOLD).rev().map(String::as_str).collect();
        let said = if last.is_empty() {
            "It said nothing.".to_string()
        } else {
            last.join(" ")
        };
        Fault::new(code, format!("The sidecar ended ({how}).")).hint(said)
    }

    // A line is there or is not.
    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
