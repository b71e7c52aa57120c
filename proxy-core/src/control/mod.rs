//! The threads beside the data threads: settings, policy reload, admin, drain.

mod admin;
mod policy;
mod settings;
mod sidecar;
mod worker;

pub use policy::PolicyState;
pub(crate) use settings::host_table;
pub use settings::{RawSettings, Settings, SettingsError, Sockets, WorkloadChoice};
pub use sidecar::{Fault, Sidecar, start};
