//! Small subcommands for programs that start this binary.

use std::process::ExitCode;

use clap::Args;

/// Arguments of `version`.
#[derive(Debug, Args)]
pub struct Version {}

impl Version {
    /// Prints name and version as JSON.
    pub fn run(self) -> ExitCode {
        println!(
            "{}",
            serde_json::json!({"name": "egret-proxy", "version": env!("CARGO_PKG_VERSION")})
        );
        ExitCode::SUCCESS
    }
}
