//! The compiled policy of one workload.

use std::net::SocketAddr;

use super::{Decision, Facts, SniffNeeds, Witness, Workload};
use crate::model::World;

/// An immutable, compiled policy: listeners, filter chains, virtual hosts, routes and clusters of one workload.
#[derive(Debug)]
pub struct Snapshot {
    /// Who calls.
    pub workload: Workload,
}

/// Compiles what `workload` is subject to.
pub fn compile(_world: &World, workload: &Workload) -> Snapshot {
    Snapshot {
        workload: workload.clone(),
    }
}

impl Snapshot {
    /// What the listener for `destination` must know of the first bytes before `decide` can answer.
    pub fn sniff_needs(&self, _destination: SocketAddr) -> SniffNeeds {
        SniffNeeds::default()
    }
}

/// Decides about one connection or request. Total, deterministic, free of allocation with the silent witness.
pub fn decide<'s, W: Witness>(_snapshot: &'s Snapshot, _facts: &Facts<'_>, _witness: &mut W) -> Decision<'s> {
    unimplemented!("replaced by the engine")
}
