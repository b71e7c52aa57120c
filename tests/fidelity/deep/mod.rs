//! The sidecar beside Envoy on a live mesh: the same objects through istiod to Envoy in a pod, and in a folder to
//! `egret-proxy` in another; the same calls from both; and everything that can be seen of them compared.

mod configuration;
mod judge;
mod pair;
pub mod sender;
mod side;
mod sighting;
mod worlds;

use std::{collections::BTreeMap, fmt};

use egret_tests::mesh::{Mesh, NotUp};

use crate::{known::Known, world::World};
use judge::{Difference, Planned};
use pair::Pair;

/// What came of all worlds.
#[derive(Default)]
pub struct Report {
    seed: u64,
    worlds: u64,
    agreed: usize,
    unsteady: usize,
    known: usize,
    undecided: usize,
    /// Calls with a difference that is not listed.
    differed: Vec<Differed>,
}

struct Differed {
    number: u64,
    mesh: String,
    taken: Vec<serde_json::Value>,
    planned: Planned,
    differences: Vec<Difference>,
}

impl Report {
    /// How many calls differed in a way that is not known.
    pub fn differed(&self) -> usize {
        self.differed.len()
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
    for number in 0..worlds {
        let (world, plans) = worlds::drawn(seed, number);
        one(mesh, &mut pair, number, &world, &plans, &known, &mut report)
            .map_err(|error| format!("world {number}: {error}"))?;
    }
    Ok(report)
}

fn one(
    mesh: &Mesh,
    pair: &mut Pair<'_>,
    number: u64,
    world: &World,
    plans: &[Planned],
    known: &Known,
    report: &mut Report,
) -> Result<(), String> {
    let Some(judgement) = judge::judge(mesh, pair, number, world, plans)? else {
        report.undecided += plans.len();
        return Ok(());
    };
    report.agreed += judgement.agreed;
    report.unsteady += judgement.unsteady;
    let mut by_call: BTreeMap<usize, Vec<Difference>> = BTreeMap::new();
    for difference in judgement.differences {
        by_call.entry(difference.call).or_default().push(difference);
    }
    for (call, mut differences) in by_call {
        differences.retain(|difference| !known.names(&difference.kind()));
        if differences.is_empty() {
            report.known += 1;
            continue;
        }
        report.differed.push(Differed {
            number,
            mesh: world.mesh.clone(),
            taken: judgement.taken.clone(),
            planned: plans[call].clone(),
            differences,
        });
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for differed in &self.differed {
            let call = serde_json::to_string(&differed.planned.call).map_err(|_| fmt::Error)?;
            writeln!(f, "world {}, mesh {:?}", differed.number, differed.mesh)?;
            writeln!(f, "  {call}, the site: {:?}", differed.planned.site)?;
            for difference in &differed.differences {
                *kinds.entry(difference.kind()).or_default() += 1;
                writeln!(
                    f,
                    "  {}\n    Istio: {}\n    Egret: {}",
                    difference.field, difference.istio, difference.egret
                )?;
            }
            for object in &differed.taken {
                let metadata = &object["metadata"];
                writeln!(
                    f,
                    "  {} {}/{}: {}",
                    object["kind"], metadata["namespace"], metadata["name"], object["spec"]
                )?;
            }
        }
        for (kind, count) in kinds {
            writeln!(f, "{count} calls: {kind}")?;
        }
        writeln!(
            f,
            "live mesh, {} worlds of seed {}: {} agreed ({} of them when asked again), {} differed, {} known; {} calls \
             undecided, for Envoy refuses what istiod sends",
            self.worlds,
            self.seed,
            self.agreed,
            self.unsteady,
            self.differed(),
            self.known,
            self.undecided
        )
    }
}
