//! Whether the engine decides as Istio and Envoy do, on many small worlds: what it takes and refuses, and what becomes of
//! each call. Istio's side is its own code (`tests/mesh/programs/istio/oracle`).
//!
//! `make fidelity WORLDS=10000 SEED=7` looks for new differences. A difference that is listed with its reason in
//! `tests/mesh/DIFFERENCES.md` is counted as known; any other one fails.

// A test reports by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod generate;
mod judge;
mod known;
mod oracle;
mod outcome;
mod run;
mod seed;
mod shrink;
mod world;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use oracle::Oracle;

/// Set where missing programs are a failure.
const REQUIRED: &str = "EGRET_REQUIRE_MESH";

fn main() {
    let arguments = Arguments::from_args();
    let trial = Trial::ignorable_test("the_engine_decides_as_istio_and_envoy_do", || {
        let program = match Oracle::program() {
            Ok(program) => program,
            Err(reason) if std::env::var_os(REQUIRED).is_some() => return Err(Failed::from(reason)),
            Err(reason) => return Ok(Completion::ignored_with(reason)),
        };
        let number = |name: &str, default| match std::env::var(name) {
            Ok(text) => text
                .parse()
                .map_err(|_| Failed::from(format!("{name}={text}: expected a number"))),
            Err(_) => Ok(default),
        };
        let (worlds, seed) = (number("WORLDS", 500)?, number("SEED", 1)?);
        let report = run::run(&program, worlds, seed)?;
        print!("{report}");
        match report.differed() {
            0 => Ok(Completion::Completed),
            differed => Err(Failed::from(format!(
                "{differed} differences that DIFFERENCES.md does not list"
            ))),
        }
    });
    libtest_mimic::run(&arguments, vec![trial]).exit();
}
