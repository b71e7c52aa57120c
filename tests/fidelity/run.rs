//! What becomes of calls in many worlds, and what is refused.

use std::{collections::BTreeMap, fmt, path::Path};

use crate::{
    generate,
    judge::{Difference, Subject, judge},
    known::Known,
    oracle::Oracle,
    shrink::shrink,
    tally::{self, Tally},
    world::World,
};

/// How many differences are shown shrunk, each of another kind.
const SHOWN: usize = 12;

/// What came of all worlds.
pub struct Report {
    seed: u64,
    worlds: u64,
    tally: Tally<Difference>,
    shown: Vec<(u64, World, Difference)>,
}

impl Report {
    /// Documents and calls with a difference that is not known.
    pub fn differed(&self) -> usize {
        let mut subjects = 0;
        for (_, differences) in self.tally.differed.values() {
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
    let known = Known::read()?;
    let tally = tally::each(program, worlds, |oracle, number, tally| {
        let mut whole = generate::world(seed, number);
        generate::explicit(seed, number, &mut whole);
        let broken = generate::broken(seed, number, &whole);
        for (world, is_broken) in [(Some(whole), false), (broken, true)] {
            let Some(world) = world else { continue };
            let judgement = judge(oracle, &world)?;
            tally.agreed += judgement.agreed;
            tally.undecided += judgement.undecided;
            tally.add(number, is_broken, world, judgement.differences, |difference| {
                known.lists(difference)
            });
        }
        Ok(())
    })?;
    let mut report = Report {
        seed,
        worlds,
        tally,
        shown: Vec::new(),
    };
    show(program, &mut report)?;
    Ok(report)
}

/// Shrinks the first difference of each kind.
fn show(program: &Path, report: &mut Report) -> Result<(), String> {
    let mut oracle = Oracle::start(program)?;
    let mut kinds = Vec::new();
    for ((number, _), (world, differences)) in &report.tally.differed {
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
        for difference in self.tally.differed.values().map(|(_, differences)| &differences[0]) {
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
            self.tally.agreed,
            self.differed(),
            self.tally.known,
            self.tally.undecided
        )
    }
}
