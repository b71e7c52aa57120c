//! Whether the engine decides as Istio and Envoy do, on many small worlds: what it takes and refuses, and what becomes of
//! each call. Istio's side is its own code (`tests/mesh/programs/istio/oracle`), and a live mesh (`deep`).
//!
//! `make fidelity WORLDS=10000 DEEP=300 SEED=7` looks for new differences. A difference that is listed with its reason in
//! `tests/mesh/DIFFERENCES.md` is counted as known; any other one fails.

// A test reports by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod analyze;
mod balance;
mod deep;
mod examples;
mod generate;
mod judge;
mod kept;
mod known;
mod oracle;
mod outcome;
mod run;
mod seed;
mod shrink;
mod tally;
mod treatment;
mod world;

use std::{env, path::Path};

use egret_tests::mesh::NotUp;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use oracle::Oracle;

/// How many worlds are compared on a live mesh. Only where it is set: it takes minutes, and has a step of its own in
/// `make test`.
const LIVE: &str = "DEEP";

/// The number of the first of them, where it is not 0: with it, a long comparison can be made in parts.
const FIRST: &str = "FIRST";

/// Set where missing programs are a failure.
const REQUIRED: &str = "EGRET_REQUIRE_MESH";

fn main() {
    if deep::sender::wanted() {
        return deep::sender::run().expect("whoever asks is there");
    }
    let mut arguments = Arguments::from_args();
    // One after the other: each uses all processors, and the live mesh needs them in time.
    arguments.test_threads = Some(1);
    let worlds = trial("the_engine_decides_as_istio_and_envoy_do", |program| {
        let (worlds, seed) = (number("WORLDS", 500)?, number("SEED", 1)?);
        let report = run::run(program, worlds, seed)?;
        print!("{report}");
        match report.differed() {
            0 => Ok(()),
            differed => Err(format!("{differed} differences that DIFFERENCES.md does not list")),
        }
    });
    let kept = trial("the_policy_test_files_come_out_as_with_istio_and_envoy", |program| {
        let mut oracle = Oracle::start(program)?;
        let mut differed = String::new();
        for (name, world) in kept::cases()? {
            for difference in judge::judge(&mut oracle, &world)?.differences {
                differed.push_str(&format!("{name}: {difference:?}\n"));
            }
        }
        if differed.is_empty() { Ok(()) } else { Err(differed) }
    });
    let analyzed = trial("check_says_what_istioctl_analyze_says", |program| {
        let (worlds, seed) = (number("WORLDS", 500)?, number("SEED", 1)?);
        let report = analyze::run(program, worlds, seed)?;
        print!("{report}");
        match report.differed() {
            0 => Ok(()),
            differed => Err(format!("{differed} differences that DIFFERENCES.md does not list")),
        }
    });
    let examples = trial(
        "check_says_of_istios_examples_what_istio_says",
        |program| match examples::run(program)?.differed.as_slice() {
            [] => Ok(()),
            differed => Err(differed.join("\n")),
        },
    );
    let live = Trial::ignorable_test("the_sidecar_does_as_envoy_does_on_a_live_mesh", || {
        let (first, count) = (number(FIRST, 0)?, number(LIVE, 20)?);
        match deep::run(first..first + count, number("SEED", 1)?) {
            Ok(report) => {
                print!("{report}");
                match report.differed() {
                    0 => Ok(Completion::Completed),
                    differed => Err(Failed::from(format!(
                        "{differed} calls differed in a way that DIFFERENCES.md does not list"
                    ))),
                }
            }
            Err(NotUp::Lacking(reason)) => Ok(Completion::ignored_with(reason)),
            Err(NotUp::Failed(reason)) => Err(Failed::from(reason)),
        }
    });
    let mut trials = vec![worlds, kept, analyzed, examples];
    if env::var_os(LIVE).is_some() {
        trials.push(live);
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// A test that needs the oracle, and is ignored with the reason where there is none.
fn trial(name: &str, test: fn(&Path) -> Result<(), String>) -> Trial {
    Trial::ignorable_test(name, move || match Oracle::program() {
        Ok(program) => test(&program).map(|()| Completion::Completed).map_err(Failed::from),
        Err(reason) if env::var_os(REQUIRED).is_some() => Err(Failed::from(reason)),
        Err(reason) => Ok(Completion::ignored_with(reason)),
    })
}

/// A number from the environment.
fn number(name: &str, default: u64) -> Result<u64, String> {
    match env::var(name) {
        Ok(text) => text.parse().map_err(|_| format!("{name}={text}: expected a number")),
        Err(_) => Ok(default),
    }
}
