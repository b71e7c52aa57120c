//! What came of many worlds, asked about on all processors.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use crate::{oracle::Oracle, world::World};

/// Counts, and the worlds that differ.
pub struct Tally<Difference> {
    pub agreed: usize,
    /// What Istio or Envoy leaves undecided.
    pub undecided: usize,
    /// Differences that are listed with their reason.
    pub known: usize,
    /// Worlds with other differences, by their number and whether one object was changed.
    pub differed: BTreeMap<(u64, bool), (World, Vec<Difference>)>,
}

impl<Difference> Default for Tally<Difference> {
    fn default() -> Self {
        Self {
            agreed: 0,
            undecided: 0,
            known: 0,
            differed: BTreeMap::new(),
        }
    }
}

impl<Difference> Tally<Difference> {
    /// Adds what was found in one world.
    pub fn add(
        &mut self,
        number: u64,
        is_changed: bool,
        world: World,
        found: Vec<Difference>,
        is_known: impl Fn(&Difference) -> bool,
    ) {
        let (known, other): (Vec<_>, Vec<_>) = found.into_iter().partition(is_known);
        self.known += known.len();
        if !other.is_empty() {
            self.differed.insert((number, is_changed), (world, other));
        }
    }

    fn join(mut self, other: Self) -> Self {
        self.agreed += other.agreed;
        self.undecided += other.undecided;
        self.known += other.known;
        self.differed.extend(other.differed);
        self
    }
}

/// Gives every number below `count` to one of as many workers as there are processors, each with an oracle of its own. An
/// error of `work` ends its worker, and is told with the number.
pub fn each<Difference: Send>(
    program: &Path,
    count: u64,
    work: impl Fn(&mut Oracle, u64, &mut Tally<Difference>) -> Result<(), String> + Sync,
) -> Result<Tally<Difference>, String> {
    let next = AtomicU64::new(0);
    let worker = || {
        let mut oracle = Oracle::start(program)?;
        let mut tally = Tally::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok::<_, String>(tally);
            }
            work(&mut oracle, number, &mut tally).map_err(|error| format!("world {number}: {error}"))?;
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_fold(Tally::default(), |tally, worker| {
            Ok(tally.join(worker.join().map_err(|_| "a worker panicked".to_string())??))
        })
    })
}
