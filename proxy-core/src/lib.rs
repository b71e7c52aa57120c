//! Egret's policy engine and sidecar.
//!
//! Manifests become a [`model::World`], [`policy::compile`] turns it into an immutable [`policy::Snapshot`] for one
//! workload, and [`policy::decide`] is the one place where a verdict is made. The sidecar enforces with it, the app
//! previews and explains with it. Arrows point one way: `model <- policy <- {lint, source, flow} <- control/cli`;
//! `sniff` and `net` know nothing of policy. Without the feature `sidecar` the crate does no I/O at all.

#[cfg(feature = "sidecar")]
pub mod cli;
#[cfg(feature = "sidecar")]
pub mod control;
#[cfg(feature = "sidecar")]
pub mod flow;
#[cfg(feature = "sidecar")]
pub mod image;
pub mod lint;
pub mod model;
#[cfg(feature = "sidecar")]
pub mod net;
pub mod policy;
pub mod record;
#[cfg(feature = "sidecar")]
pub mod sandbox;
#[cfg(feature = "sidecar")]
pub mod sites;
pub mod sniff;
pub mod source;
pub mod yaml;
