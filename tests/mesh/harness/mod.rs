//! A real mesh, or its API server alone, for as long as a test process lives.
//!
//! The scripts beside this folder bring it up; `guard.sh` takes it away again when the pipe that this process holds is
//! closed, which happens at its end, however it ends.

mod cluster;
mod guard;
mod registry;
mod sidecar;

pub use cluster::{Api, Cluster, Mesh, Server, Shared};
pub use guard::{NotUp, cache};
pub use registry::{Asks, Registry};
pub use sidecar::{Reply, Sleep};

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything that must happen may take on a slow machine. No test measures time with it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tries until there is something, or panics.
pub fn eventually<T>(what: &str, mut try_once: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = try_once() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(100));
    }
}
