//! Sockets: listening, original destinations, dialling, resolving, copying. No policy words here.

mod certificates;
mod dial;
mod dns;
mod forward;
mod originate;
mod resolv_conf;
mod resolve;
mod stream;
mod tunnel;
mod unresolved;
mod verify;

pub use certificates::Files;
pub use dial::{DialError, Dialer};
pub use dns::{KnownNames, OtherNames, serve_dns};
pub use forward::Forwarder;
pub use originate::{Alpn, Originator, Server};
pub use resolv_conf::ResolvConf;
pub use resolve::Resolver;
pub use stream::{Prefixed, accept, canonical, keep_alive, listen, original_destination, reset};
pub use tunnel::{Ended, Side, tunnel, until_end};
pub use unresolved::Unresolved;
