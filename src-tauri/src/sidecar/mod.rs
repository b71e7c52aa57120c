//! One-click sidecar: the very binary `egret-proxy` as a child process, with the playground's sites beside it and an
//! agent inside the sandbox that runs commands there. The child ends with the app: it watches for its parent's death,
//! and its standard input closes. In a cluster it is deployed beside a workload instead.

mod admin;
mod agent;
mod begin;
mod commands;
mod control;
pub mod delivery;
pub mod deploy;
mod last_words;
mod launch;
mod policy_folder;
mod sites;
#[cfg(test)]
mod tests;

pub use admin::Compared;
pub use agent::{Output, Stream};
pub use control::{Enforced, Sidecar};
pub use launch::find_proxy;
pub use policy_folder::PolicyFolder;
