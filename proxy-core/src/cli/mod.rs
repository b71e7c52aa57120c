//! The command line of `egret-proxy`, one file a subcommand. Exit codes are a contract: 0 all well, 1 a check or a
//! step came out otherwise, 2 bad input.

mod run;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Egret's sidecar proxy and policy tools.
#[derive(Debug, Parser)]
#[command(name = "egret-proxy", version, about, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The subcommands; each file holds its arguments and what it does.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the sidecar
    Run(Box<run::Run>),
    /// Print what this binary can do, as JSON, for the app that bundles it.
    #[command(hide = true)]
    Version(tools::Version),
}

/// Parses the arguments and runs the subcommand.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => arguments.run(),
        Command::Version(arguments) => arguments.run(),
    }
}

/// Bad input: the reason on standard error, exit code 2.
fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("egret-proxy: {error}");
    ExitCode::from(2)
}
