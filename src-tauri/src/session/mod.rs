//! The open source of a window, a folder or a cluster: what it says now, its workloads, and the compiled policy of each. Every
//! change of it brings a
//! new [`View`]; whoever holds an older one goes on reading what it had.

mod bypass;
mod findings;
mod gateways;
mod health;
mod log_source;
mod open;
mod origin;
mod overview;
mod planes;
mod playground;
mod pods;
mod policy;
mod registry;
mod release;
#[cfg(test)]
mod tests;
mod view;

pub use findings::{findings, findings_of};
pub use gateways::gateways;
#[cfg(test)]
pub use log_source::access_log;
pub use log_source::{due, log_source, switched_on};
pub use open::{Session, first_folder, folder};
pub use origin::Origin;
pub use overview::overview;
pub use playground::bundled_playground;
pub use pods::{own_ranges_view, pods_view};
pub use policy::{modes, policy_view, port, resolution, short};
pub use registry::{object_text, registry_view};
pub use view::{View, now, time_text, workload_name};
