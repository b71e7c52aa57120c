//! From an edit to a file: stage -> review -> apply -> verify -> journal -> undo. Nothing reaches a file but by Apply and
//! Undo, both write all files of a change set or say what happened, and neither overwrites what it has not seen.

mod access_log;
mod back;
mod cleanup;
mod confirm;
mod conflict;
mod diff;
mod edits;
mod fix;
mod impact;
mod journal;
mod proposal;
mod ranges;
mod recover;
mod refusal;
mod review;
mod seen;
mod set;
mod stage;
mod standing;
mod store;
mod tries;
mod write;

pub use access_log::{REMOVE_AFTER, own_name};
pub use fix::offer;
pub use impact::impact;
pub use journal::Journal;
pub use proposal::{Proposal, target_file};
pub use stage::Changes;
pub use standing::CUT_SHORT;
pub use store::{Store, Stored};
pub use write::{FileEdit, changed, inside};

#[cfg(test)]
pub mod tests;
