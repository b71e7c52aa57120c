//! The flows seen so far: gathered from the sidecar and the relay, kept within a bound, asked by the windows.
//! History stays here; only the rows a window shows cross to it.

mod announce;
mod compare;
mod destinations;
mod filter;
mod flow;
mod parse;
mod store;
mod why;

pub use announce::announce;
pub use compare::{other_way, sent_otherwise};
pub use destinations::{counts, destinations};
pub use flow::{details, sentence};
pub use store::{Row, Traffic};
pub use why::{facts, why};

#[cfg(test)]
mod tests;
