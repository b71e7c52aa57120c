//! The first lists: a cluster is open once everything that may be listed was.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    attempt::{Attempt, LOOK, Step},
    connect::FORBIDDEN,
    mirror::Mirror,
    standing::KindWatch,
};
use crate::fault::{Fault, Result};

/// Longest that they may go on without another object.
const FIRST_LISTS: Duration = Duration::from_secs(30);

/// Waits until every kind was listed, or cannot be.
pub(super) fn all_listed(mirror: &Mirror, kinds: usize, attempt: &Attempt) -> Result<()> {
    let (mut so_far, mut until) = (0, Instant::now() + FIRST_LISTS);
    loop {
        attempt.go_on()?;
        let watches = mirror.watches();
        if watches.len() == kinds && watches.values().all(KindWatch::is_settled) {
            break;
        }
        if let Some((kind, watch)) = watches.iter().find(|(_, watch)| !watch.is_settled()) {
            attempt.step(Step::Listing {
                kind: kind.clone(),
                objects: watch.listed(),
            });
        }
        let all = watches.values().map(KindWatch::listed).sum();
        if all > so_far {
            (so_far, until) = (all, Instant::now() + FIRST_LISTS);
        }
        if Instant::now() > until {
            return Err(Fault::new(
                "slow",
                format!("The API server has listed nothing more for {FIRST_LISTS:?}."),
            )
            .hint("Try again when it has less to do."));
        }
        thread::sleep(LOOK);
    }
    // Somebody who may read nothing at all sees an empty mesh, which would be a lie.
    let watches = mirror.watches();
    if watches.values().any(KindWatch::is_seen) {
        return Ok(());
    }
    let mut lost = watches.values().filter_map(KindWatch::lost);
    match lost.next() {
        Some((fault, _)) if fault.code == FORBIDDEN => Err(fault.clone().hint(
            "Where you may read single namespaces only, name them under \"What is there\" beside the context. Else ask for \
             the documented role egret-viewer.",
        )),
        Some((fault, _)) => Err(fault.clone()),
        None => Ok(()),
    }
}
