//! Which of a cluster's endpoints is called: what a DestinationRule and the mesh say of it, and the choice itself, given
//! which endpoints are healthy and how busy they are. Pure; who fails and who is busy is kept by the sidecar.

mod hash;
mod levels;
mod members;
mod settings;
mod spread;
mod table;
#[cfg(test)]
mod tests;
mod xx64;

pub use hash::{Hashed, connection_cookie, hash_of, source_hash};
pub use members::{Member, Members};
pub(super) use settings::balance_of;
pub use settings::{Balance, Balancer, Outlier, SlowStart};
pub(crate) use spread::TOPOLOGY;
pub use spread::{Group, Locality, Place, Spread};
pub(super) use spread::{Holding, Placed, Spreading};
pub(crate) use table::{MAGLEV_SIZES_END, is_prime};
