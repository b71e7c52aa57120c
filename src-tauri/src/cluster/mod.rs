//! A cluster as a folder: its objects are mirrored into a private folder, a file for each, and kept up by watches. What
//! reads folders, the engine, the lint, the drafts, the sidecar, reads a cluster therefore too; only writing differs.

mod connect;
mod contexts;
mod exec;
mod follow;
mod kinds;
mod lines;
mod logs;
mod mirror;
mod open;
mod owner;
mod pick;
mod place;
mod store;
mod write;

pub use contexts::{Context, contexts};
pub use logs::{LogState, MAX_PODS};
pub use open::Cluster;
pub use pick::{Chosen, MAX_CHOSEN};
pub use place::Mirrors;

#[cfg(test)]
mod tests;
