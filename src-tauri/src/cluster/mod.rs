//! A cluster as a folder: its objects are mirrored into a private folder, a file for each, and kept up by watches. What
//! reads folders, the engine, the lint, the drafts, the sidecar, reads a cluster therefore too; only writing differs.

mod allowed;
mod anew;
mod attempt;
mod connect;
mod contexts;
mod deployed;
mod digest;
mod environment;
mod exec;
mod facts;
mod follow;
mod forward;
mod gates;
mod image;
mod istiod;
mod kinds;
mod kubeconfigs;
mod left_out;
mod lines;
mod listed;
mod login_path;
mod logs;
mod mark;
mod mirror;
mod open;
mod owner;
mod patient;
mod pick;
mod place;
mod pods;
mod ported;
mod probe;
mod pulse;
mod ranges;
mod reach;
mod refusal;
mod renew;
mod restart;
mod rights;
mod role;
mod rollout;
mod seen;
mod services;
mod sight;
mod spaces;
mod standing;
mod store;
mod sync;
mod words;
mod write;

pub use allowed::Reach;
pub use attempt::{Attempt, Step, is_away};
pub use contexts::Context;
pub use deployed::{
    Disruption, Following, Heard, INJECTOR, LeftSession, MODE, Node, Nodes, OWN_SIDECAR, PLACE, PUSH_TOKEN, Refusal,
    SESSION, SidecarPolicy, WORKLOAD, attached_name, injected, no_fields,
};
pub use environment::{Environment, Wanted, environment_in};
pub use exec::{End, Executed, Place};
pub use facts::{Facts, look};
pub use forward::{Forwarder, Forwarding};
pub use gates::Missing;
pub use image::{check_reference, registry, version_of_tag};
pub use kinds::{ROLLING, apart_from_status};
pub use kubeconfigs::{Kubeconfigs, Target};
pub use login_path::login_path;
pub use logs::{LogState, MAX_PODS};
pub use open::Cluster;
pub use pick::{Chosen, MAX_CHOSEN};
pub use place::Mirrors;
pub use pods::{Pod, PodSidecar};
pub use probe::{PROBE, Stands};
pub use ranges::{Lives, OwnRanges};
pub use restart::{Restart, RestartStep, StepState};
pub use rights::Feature;
#[cfg(test)]
pub(crate) use spaces::MAX_SINGLY;
pub use sync::ProxySync;
pub use words::shell_word;
pub use write::MADE_BY;

#[cfg(test)]
pub(crate) mod tests;
