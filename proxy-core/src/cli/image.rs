//! `egret-proxy image`: this program as a container image, without a container engine.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::image::{self, Fault};

/// Arguments of `image`.
#[derive(Debug, Args)]
pub struct Image {
    /// The archive to write
    #[arg(long, value_name = "FILE.tar")]
    output: PathBuf,
    /// A static egret-proxy, one for each architecture (repeatable); by default this program itself
    #[arg(long = "binary", value_name = "FILE")]
    binaries: Vec<PathBuf>,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

impl Image {
    /// Writes the archive: 0, or 1 with the reason.
    pub fn run(self) -> ExitCode {
        let json = self.json;
        match self.pack() {
            Ok(image) if json => super::print(&serde_json::to_string_pretty(&image).unwrap_or_default()),
            Ok(image) => super::print(&format!(
                "{}\n{}\n{} for {}, {} bytes",
                image.reference,
                image.digest,
                image.archive.display(),
                image.platforms.join(", "),
                image.size
            )),
            Err(fault) => {
                eprintln!("egret-proxy: {fault}");
                return ExitCode::FAILURE;
            }
        }
        ExitCode::SUCCESS
    }

    fn pack(self) -> Result<image::Image, Fault> {
        let mut binaries = self.binaries;
        if binaries.is_empty() {
            let own = std::env::current_exe().map_err(|error| Fault::Unreadable {
                path: "/proc/self/exe".into(),
                error,
            })?;
            binaries.push(own);
        }
        image::pack(&binaries, &self.output)
    }
}
