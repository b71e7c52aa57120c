//! The sidecar beside a workload of the cluster: in a copy of it, or in the workload itself. What will be made is worked
//! out and tried first; then it is put there in three steps, followed, and taken away again without a trace.

mod attach;
mod begin;
mod checks;
mod containers;
mod copy;
mod end;
mod hear;
mod image;
mod in_place;
mod keep;
mod life;
mod names;
mod options;
mod patience;
mod policy;
mod prepare;
mod steps;

pub use checks::{Found, checks};
pub use containers::ADMIN_PORT;
pub use life::Deployment;
pub use options::{IMAGE, Options, Target, named};
pub use policy::Policy;
pub use prepare::{Prepared, prepare};

#[cfg(test)]
mod tests;
