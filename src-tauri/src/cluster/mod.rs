//! A cluster as a folder: its objects are mirrored into a private folder, a file for each, and kept up by watches. What
//! reads folders, the engine, the lint, the drafts, the sidecar, reads a cluster therefore too; only writing differs.

mod connect;
mod contexts;
mod exec;
mod follow;
mod kinds;
mod logs;
mod mirror;
mod open;
mod owner;
mod place;
mod pods;
mod probe;
mod ranges;
mod restart;
mod store;
mod sync;
mod write;

pub use contexts::{Context, contexts};
pub use exec::{End, Executed, Place};
pub use logs::{LogState, MAX_PODS};
pub use open::Cluster;
pub use place::Mirrors;
pub use pods::{Pod, PodSidecar};
pub use probe::{PROBE, Stands};
pub use ranges::{Lives, OwnRanges};
pub use restart::{Restart, StepState};
pub use sync::ProxySync;

#[cfg(test)]
mod tests;
