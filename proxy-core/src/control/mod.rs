//! The threads beside the data threads: settings, policy reload, admin, drain.

mod admin;
mod beside;
mod hold;
mod keep;
mod opened;
mod policy;
mod push;
mod settings;
mod sidecar;
mod state;
mod token;
mod worker;
mod workload;

pub use admin::LIVE;
pub use beside::BesideState;
pub use hold::{END, HOLD};
pub(crate) use settings::host_table;
pub use settings::{RawSettings, Settings, SettingsError, Sockets, WorkloadChoice};
pub use sidecar::{Fault, Sidecar, start};
pub use state::{Origin, PolicyState};
