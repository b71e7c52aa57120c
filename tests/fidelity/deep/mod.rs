//! The sidecar beside Envoy on a live mesh: the same objects through istiod to Envoy in a pod, and in a folder to
//! `egret-proxy` in another; the same calls from both; and everything that can be seen of them compared.

mod calls;
mod configuration;
mod door;
mod judge;
mod pair;
pub mod sender;
mod side;
mod sighting;
mod worlds;

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write as _},
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use egret_tests::mesh::{Mesh, NotUp};

use crate::{
    known::Known,
    shrink::{smallest, with_less},
    world::{Call, World},
};
use judge::Difference;
use pair::Pair;

/// How long anything that must happen may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// Tries until there is something; an error says what there was instead.
fn wait<T>(what: &str, mut try_once: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let until = Instant::now() + PATIENCE;
    loop {
        match try_once() {
            Ok(found) => return Ok(found),
            Err(instead) if Instant::now() > until => return Err(format!("waited in vain for {what}: {instead}")),
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// What came of all worlds.
#[derive(Default)]
pub struct Report {
    seed: u64,
    worlds: Range<u64>,
    agreed: usize,
    unsteady: usize,
    known: usize,
    undecided: usize,
    differed: usize,
    /// Kinds of differences that are not listed, each with the number of calls.
    kinds: BTreeMap<String, usize>,
    /// Worlds that could not be compared.
    failed: usize,
    /// Worlds that were tried twice.
    again: usize,
    /// Worlds that were made smaller.
    shrunk: usize,
}

impl Report {
    /// How many calls differed in a way that is not known, and worlds could not be compared.
    pub fn differed(&self) -> usize {
        self.differed + self.failed
    }
}

/// Compares both sides on the worlds of `seed` with these numbers, in a mesh of its own; where they begin with the first, on
/// those by hand too.
pub fn run(worlds: Range<u64>, seed: u64) -> Result<Report, NotUp> {
    let mesh = Mesh::up()?;
    compare(&mesh, worlds, seed).map_err(NotUp::Failed)
}

fn compare(mesh: &Mesh, numbers: Range<u64>, seed: u64) -> Result<Report, String> {
    let mut pair = Pair::start(mesh)?;
    let known = Known::read()?;
    let mut report = Report {
        seed,
        worlds: numbers.clone(),
        ..Report::default()
    };
    let by_hand = if numbers.start == 0 {
        worlds::by_hand()?
    } else {
        Vec::new()
    };
    let by_hand = by_hand.into_iter().map(|(name, world)| (name, world, true));
    let drawn = numbers.map(|number| (format!("world {number}"), worlds::drawn(seed, number), false));
    for (name, world, is_valid) in by_hand.chain(drawn) {
        // What did not settle, or whose row did not come, may do so when it is tried again; what was seen counts once.
        let mut differing = one(mesh, &mut pair, (&name, &world, is_valid), &known, &mut report);
        if let Err(error) = &differing {
            say(&format!("{name} is tried again: {error}"));
            report.again += 1;
            differing = one(mesh, &mut pair, (&name, &world, is_valid), &known, &mut report);
        }
        match differing {
            Ok(Some((call, kind))) if report.shrunk < SHRUNK => {
                report.shrunk += 1;
                let world = shrink(mesh, &mut pair, &world, call, &kind);
                say(&format!(
                    "the same in a smaller world:\n{}",
                    worlds::written(&kind, &world)
                ));
            }
            Ok(_) => {}
            Err(error) => {
                report.failed += 1;
                say(&format!("{name}: {error}"));
            }
        }
    }
    Ok(report)
}

/// How many differing worlds are made smaller: each takes a minute or two.
const SHRUNK: usize = 3;

/// The smallest world found in which `call` still differs in `kind`, by leaving out objects, settings and headers.
fn shrink(mesh: &Mesh, pair: &mut Pair, world: &World, call: usize, kind: &str) -> World {
    let world = World {
        calls: vec![world.calls[call].clone()],
        ..world.clone()
    };
    let still = |candidate: &World, (): &()| {
        let judgement = judge::judge(mesh, pair, candidate).ok()??;
        judgement
            .differences
            .iter()
            .any(|found| found.kind() == kind)
            .then_some(())
    };
    smallest((world, ()), |world, ()| with_less(world), still).0
}

/// Compares one world; the first call that differs in a way that is not known, and how.
fn one(
    mesh: &Mesh,
    pair: &mut Pair,
    (name, world, is_valid): (&str, &World, bool),
    known: &Known,
    report: &mut Report,
) -> Result<Option<(usize, String)>, String> {
    let Some(judgement) = judge::judge(mesh, pair, world)? else {
        report.undecided += world.calls.len();
        return Ok(None);
    };
    if is_valid && judgement.taken.len() < world.documents.len() {
        return Err(format!("the API server takes only {:?}", judgement.taken));
    }
    report.agreed += judgement.agreed;
    report.unsteady += judgement.unsteady;
    let mut by_call: BTreeMap<usize, Vec<Difference>> = BTreeMap::new();
    for difference in judgement.differences {
        by_call.entry(difference.call).or_default().push(difference);
    }
    let mut first = None;
    for (call, differences) in by_call {
        // What else differs of a call follows from what is listed.
        if differences
            .iter()
            .any(|difference| known.lists_kind(&difference.kind()))
        {
            report.known += 1;
            continue;
        }
        report.differed += 1;
        for difference in &differences {
            *report.kinds.entry(difference.kind()).or_default() += 1;
        }
        show(name, world, &world.calls[call], &differences);
        first = first.or_else(|| Some((call, differences[0].kind())));
    }
    // What the calls above were made under.
    for object in judgement.taken.iter().filter(|_| first.is_some()) {
        let (kind, metadata) = (&object["kind"], &object["metadata"]);
        say(&format!(
            "  {kind} {}/{}: {}",
            metadata["namespace"], metadata["name"], object["spec"]
        ));
    }
    Ok(first)
}

/// Shows a call that differed.
fn show(name: &str, world: &World, call: &Call, differences: &[Difference]) {
    let call = serde_json::to_value(call).unwrap_or_default();
    say(&format!("{name}, mesh {:?}\n  {call}", world.mesh));
    for Difference {
        field, istio, egret, ..
    } in differences
    {
        say(&format!("  {field}\n    Istio: {istio}\n    Egret: {egret}"));
    }
}

/// Not through a test's captured output: a run takes minutes, and whoever waits wants to see what it finds.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in &self.kinds {
            writeln!(f, "{count} calls: {kind}")?;
        }
        writeln!(
            f,
            "live mesh, worlds {:?} of seed {}: {} calls agreed ({} of them when asked again), {} differed, {} known; {} calls \
             that Envoy leaves undecided, {} worlds tried again, {} not compared",
            self.worlds,
            self.seed,
            self.agreed,
            self.unsteady,
            self.differed,
            self.known,
            self.undecided,
            self.again,
            self.failed
        )
    }
}
