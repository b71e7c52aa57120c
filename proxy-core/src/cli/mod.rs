//! The command line of `egret-proxy`, one file a subcommand. Exit codes are a contract: 0 all well, 1 a check or a
//! step came out otherwise, 2 bad input.

mod agent;
mod capture;
mod check;
mod dns;
mod exec;
mod explain;
mod get;
mod hold;
mod image;
mod mirror;
mod request;
mod run;
mod taken;
mod test;
mod tools;
mod tour;

use std::{
    io::{ErrorKind, Write},
    process::ExitCode,
};

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
    /// Run a command in a private network, all its TCP and DNS through the sidecar
    Exec(Box<exec::Exec>),
    /// Check manifests: parse, validate, lint
    Check(check::Check),
    /// Write this program as a container image
    Image(image::Image),
    /// Print interception rules, put them in force, or take them away
    Capture(capture::Capture),
    /// Send one HTTP request, as curl would
    Get(get::Get),
    /// Play the three ways out of a mesh in this terminal
    Tour(tour::Tour),
    /// Run commands for the app inside a sandbox.
    #[command(hide = true)]
    Agent(agent::Agent),
    /// Enter the namespaces of a sandbox; started by exec.
    #[command(hide = true)]
    Inside(exec::Inside),
    /// First process of a sandbox; started by exec.
    #[command(hide = true)]
    Init(exec::Init),
    /// Become the command of a sandbox; started by init.
    #[command(hide = true)]
    Become(exec::Become),
    /// Explain one decision, with the object and line behind each step
    Explain(Box<explain::Explain>),
    /// Run policy test files
    Test(test::Test),
    /// Print what this binary can do, as JSON, for the app that bundles it.
    #[command(hide = true)]
    Version(tools::Version),
}

/// Parses the arguments and runs the subcommand.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => arguments.run(),
        Command::Exec(arguments) => arguments.run(),
        Command::Capture(arguments) => arguments.run(),
        Command::Image(arguments) => arguments.run(),
        Command::Agent(arguments) => arguments.run(),
        Command::Get(arguments) => arguments.run(),
        Command::Tour(arguments) => arguments.run(),
        Command::Check(arguments) => arguments.run(),
        Command::Inside(arguments) => arguments.run(),
        Command::Init(arguments) => arguments.run(),
        Command::Become(arguments) => arguments.run(),
        Command::Explain(arguments) => arguments.run(),
        Command::Test(arguments) => arguments.run(),
        Command::Version(arguments) => arguments.run(),
    }
}

/// Prints a result. A reader that has seen enough (`| head`) misses the rest, which changes nothing of the exit code; what
/// cannot be written for another reason, such as a full disk, ends the program with 2.
fn print(text: &str) {
    let mut output = std::io::stdout().lock();
    match writeln!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("egret-proxy: standard output: {error}");
            std::process::exit(2);
        }
        _ => {}
    }
}

/// Bad input: the reason on standard error, exit code 2.
fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("egret-proxy: {error}");
    ExitCode::from(2)
}
