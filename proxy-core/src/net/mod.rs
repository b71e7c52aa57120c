//! Sockets: listening, original destinations, dialling, resolving, copying. No policy words here.

mod dial;
mod forward;
mod originate;
mod resolve;
mod stream;
mod tunnel;
mod unresolved;
mod verify;

pub use dial::{DialError, Dialer};
pub use forward::Forwarder;
pub use originate::{Alpn, Originator, Server};
pub use resolve::Resolver;
pub use stream::{Prefixed, canonical, keep_alive, listen, original_destination, reset};
pub use tunnel::{Ended, Side, tunnel, until_end};
pub use unresolved::Unresolved;
