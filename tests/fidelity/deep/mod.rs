//! The sidecar beside Envoy on a live mesh: the same objects through istiod to Envoy in a pod, and in a folder to
//! `egret-proxy` in another; the same calls from both; and everything that can be seen of them compared.

mod configuration;
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
    thread,
    time::{Duration, Instant},
};

use egret_tests::mesh::{Mesh, NotUp};

use crate::{
    known::Known,
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
    worlds: u64,
    agreed: usize,
    unsteady: usize,
    known: usize,
    undecided: usize,
    differed: usize,
    /// Kinds of differences that are not listed, each with the number of calls.
    kinds: BTreeMap<String, usize>,
    /// Worlds that could not be compared.
    failed: usize,
}

impl Report {
    /// How many calls differed in a way that is not known, and worlds could not be compared.
    pub fn differed(&self) -> usize {
        self.differed + self.failed
    }
}

/// Compares both sides on `worlds` worlds of `seed`, in a mesh of its own.
pub fn run(worlds: u64, seed: u64) -> Result<Report, NotUp> {
    let mesh = Mesh::up()?;
    compare(&mesh, worlds, seed).map_err(NotUp::Failed)
}

fn compare(mesh: &Mesh, worlds: u64, seed: u64) -> Result<Report, String> {
    let mut pair = Pair::start(mesh)?;
    let known = Known::read()?;
    let mut report = Report {
        seed,
        worlds,
        ..Report::default()
    };
    // Those by hand first; a number tells each from every other.
    let by_hand = worlds::by_hand()?;
    let drawn = (0..worlds).map(|number| (format!("world {number}"), worlds::drawn(seed, number)));
    for (number, (name, world)) in (0..).zip(by_hand.into_iter().chain(drawn)) {
        // What did not settle, or whose row did not come, may do so when it is tried again; what was seen counts once.
        let mut again = || one(mesh, &mut pair, number, (&name, &world), &known, &mut report);
        if let Err(error) = again().or_else(|_| again()) {
            report.failed += 1;
            say(&format!("{name}: {error}"));
        }
    }
    Ok(report)
}

fn one(
    mesh: &Mesh,
    pair: &mut Pair<'_>,
    number: u64,
    (name, world): (&str, &World),
    known: &Known,
    report: &mut Report,
) -> Result<(), String> {
    let Some(judgement) = judge::judge(mesh, pair, number, world)? else {
        report.undecided += world.calls.len();
        return Ok(());
    };
    report.agreed += judgement.agreed;
    report.unsteady += judgement.unsteady;
    let mut by_call: BTreeMap<usize, Vec<Difference>> = BTreeMap::new();
    for difference in judgement.differences {
        by_call.entry(difference.call).or_default().push(difference);
    }
    let mut shown = false;
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
        shown = true;
    }
    // What the calls above were made under.
    for object in judgement.taken.iter().filter(|_| shown) {
        let (kind, metadata) = (&object["kind"], &object["metadata"]);
        say(&format!(
            "  {kind} {}/{}: {}",
            metadata["namespace"], metadata["name"], object["spec"]
        ));
    }
    Ok(())
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
            "live mesh, {} worlds of seed {}: {} agreed ({} of them when asked again), {} differed, {} known; {} calls \
             that Envoy leaves undecided, {} worlds not compared",
            self.worlds, self.seed, self.agreed, self.unsteady, self.differed, self.known, self.undecided, self.failed
        )
    }
}
