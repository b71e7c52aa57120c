//! Pure decisions: `compile(World, Workload) -> Snapshot`, `decide(&Snapshot, &Facts, &mut Witness) -> Decision`.
//! No I/O, no clock, no logging. A verdict is made here and nowhere else.

mod facts;
mod snapshot;
mod verdict;
mod witness;

pub use facts::*;
pub use snapshot::*;
pub use verdict::*;
pub use witness::*;
