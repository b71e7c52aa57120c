//! Many worlds, on all processors, and what came of them.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use crate::{
    generate,
    judge::{Difference, Subject, judge},
    known::Known,
    oracle::Oracle,
    shrink::shrink,
    world::World,
};

/// How many differences are shown shrunk, each of another kind.
const SHOWN: usize = 12;

/// What came of all worlds.
#[derive(Default)]
pub struct Report {
    seed: u64,
    worlds: u64,
    agreed: usize,
    undecided: usize,
    known: usize,
    /// Worlds with a difference that is not known, by their number; each with its first difference.
    differed: BTreeMap<(u64, bool), (World, Vec<Difference>)>,
    shown: Vec<(u64, World, Difference)>,
}

impl Report {
    /// Documents and calls with a difference that is not known.
    pub fn differed(&self) -> usize {
        let mut subjects = 0;
        for (_, differences) in self.differed.values() {
            let mut last = None;
            for difference in differences {
                subjects += usize::from(last != Some(difference.subject));
                last = Some(difference.subject);
            }
        }
        subjects
    }
}

/// Asks both sides about `worlds` worlds of `seed`, and about each with one object broken.
pub fn run(program: &Path, worlds: u64, seed: u64) -> Result<Report, String> {
    let (next, known) = (AtomicU64::new(0), Known::read()?);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let parts = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| work(program, worlds, seed, &next, &known)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().map_err(|_| "a worker panicked".to_string())?)
            .collect::<Result<Vec<_>, String>>()
    })?;
    let mut report = Report {
        seed,
        worlds,
        ..Report::default()
    };
    for part in parts {
        report.agreed += part.agreed;
        report.undecided += part.undecided;
        report.known += part.known;
        report.differed.extend(part.differed);
    }
    show(program, &mut report)?;
    Ok(report)
}

fn work(program: &Path, worlds: u64, seed: u64, next: &AtomicU64, known: &Known) -> Result<Report, String> {
    let mut oracle = Oracle::start(program)?;
    let mut report = Report::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= worlds {
            return Ok(report);
        }
        let whole = generate::world(seed, number);
        let broken = generate::broken(seed, number, &whole);
        for (world, is_broken) in [(Some(whole), false), (broken, true)] {
            let Some(world) = world else { continue };
            let judgement = judge(&mut oracle, &world).map_err(|error| format!("world {number}: {error}"))?;
            report.agreed += judgement.agreed;
            report.undecided += judgement.undecided;
            let (listed, other): (Vec<_>, Vec<_>) = judgement
                .differences
                .into_iter()
                .partition(|difference| known.lists(difference));
            report.known += listed.len();
            if !other.is_empty() {
                report.differed.insert((number, is_broken), (world, other));
            }
        }
    }
}

/// Shrinks the first difference of each kind.
fn show(program: &Path, report: &mut Report) -> Result<(), String> {
    let mut oracle = Oracle::start(program)?;
    let mut kinds = Vec::new();
    for ((number, _), (world, differences)) in &report.differed {
        let first = &differences[0];
        if kinds.contains(&first.kind()) || kinds.len() >= SHOWN {
            continue;
        }
        kinds.push(first.kind());
        let (world, difference) = shrink(&mut oracle, world, first);
        report.shown.push((*number, world, difference));
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for difference in self.differed.values().map(|(_, differences)| &differences[0]) {
            *kinds.entry(difference.kind()).or_default() += 1;
        }
        for (number, world, difference) in &self.shown {
            writeln!(f, "world {number}: {}", difference.kind())?;
            writeln!(f, "  Istio:  {}\n  engine: {}", difference.istio, difference.engine)?;
            writeln!(
                f,
                "  caller {}, {:?}, mesh {:?}",
                world.namespace, world.labels, world.mesh
            )?;
            for document in &world.documents {
                writeln!(f, "  {document}")?;
            }
            if let Subject::Call(index) = difference.subject {
                writeln!(
                    f,
                    "  {}",
                    serde_json::to_string(&world.calls[index]).map_err(|_| fmt::Error)?
                )?;
            }
        }
        for (kind, count) in kinds {
            writeln!(f, "{count} worlds: {kind}")?;
        }
        writeln!(
            f,
            "fidelity, {} worlds of seed {}: {} agreed, {} differed, {} known; {} calls that Istio or Envoy leaves undecided",
            self.worlds,
            self.seed,
            self.agreed,
            self.differed(),
            self.known,
            self.undecided
        )
    }
}
