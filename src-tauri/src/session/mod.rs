//! The one open folder: what it says now, its workloads, and the compiled policy of each. Every change on disk brings a
//! new [`View`]; whoever holds an older one goes on reading what it had.

mod bypass;
mod findings;
mod health;
mod open;
mod overview;
mod playground;
mod policy;
mod view;

pub use findings::{findings, findings_of};
pub use open::Session;
pub use overview::overview;
pub use playground::bundled_playground;
pub use policy::{policy_view, port, resolution, short};
pub use view::{View, now, workload_name};
