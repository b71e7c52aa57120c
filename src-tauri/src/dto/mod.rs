//! What crosses to the window: plain data, one file an area. Nothing here decides anything; the shapes are the
//! contract with the user interface and are written to `ui/src/bridge/bindings.ts` from these definitions.

mod change;
mod connect;
mod delivery;
mod deploy;
mod pods;
mod policy;
mod probe;
mod registry;
mod sandbox;
mod source;
mod traffic;
mod watch;

pub use change::*;
pub use connect::*;
pub use delivery::*;
pub use deploy::*;
pub use pods::*;
pub use policy::*;
pub use probe::*;
pub use registry::*;
pub use sandbox::*;
pub use source::*;
pub use traffic::*;
pub use watch::*;
