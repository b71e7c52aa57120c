//! `egret-proxy tour`: the three ways out of a mesh, played live in a terminal on a throw-away copy of the playground.

mod place;
mod stage;
mod steps;

use std::{
    io::{IsTerminal, stdout},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use stage::Stage;

/// Arguments of `tour`.
#[derive(Debug, Args)]
pub struct Tour {
    /// Keep the folder and the logs here instead of throwing them away
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl Tour {
    /// 0 when every step came out as said, 1 otherwise.
    pub fn run(self) -> ExitCode {
        let colour = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        match self.play(colour) {
            Ok(0) => ExitCode::SUCCESS,
            Ok(failed) => {
                super::print(&format!("\n{failed} expectations did not hold"));
                ExitCode::FAILURE
            }
            Err(error) => {
                eprintln!("egret-proxy tour: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn play(self, colour: bool) -> Result<usize, Box<dyn std::error::Error>> {
        let (folder, _thrown_away) = match self.keep {
            Some(folder) => (folder, None),
            None => {
                let folder = tempfile::Builder::new().prefix("egret-tour-").tempdir()?;
                (folder.path().to_path_buf(), Some(folder))
            }
        };
        let mut stage = Stage::open(&folder, colour)?;
        steps::play(&mut stage)?;
        Ok(stage.failed())
    }
}
