//! A private network for one command, as an ordinary user: all its TCP and DNS go through the sidecar, nothing else
//! leaves.
//!
//! The sidecar stays in the host's network. A helper process enters fresh user, network and process namespaces, brings
//! `lo` up, installs the redirect rules, opens the listening sockets there and hands them back. The command runs below
//! an init process without capabilities; when the parent dies, the kernel ends everything inside.

mod channel;
mod fault;
mod inside;
mod loopback;
mod mounts;
mod namespace;
mod netlink;
mod nft;
mod plan;
mod refused;
mod relay;
mod session;
mod signals;
mod tables;
mod xtables;

pub use fault::Fault;
pub use inside::{become_command, init, inside};
pub use mounts::{Contents, Mounted};
pub use plan::{Plan, PodDns, Ports, Redirect};
pub use refused::Refused;
pub use relay::{Relay, serve as serve_relay};
pub use session::{Command, Sandbox, Sockets};
pub use signals::Signals;
pub use tables::{Applied, Held, Tables, apply, hold, remove};
