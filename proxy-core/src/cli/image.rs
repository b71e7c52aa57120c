//! `egret-proxy image`: this program as a container image, without a container engine.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;
use serde::Serialize;
use tokio::runtime;

use crate::image::{
    self, Built,
    push::{Keyrings, Pushed, Reference},
};

/// Arguments of `image`.
#[derive(Debug, Args)]
pub struct Image {
    /// The archive to write
    #[arg(long, value_name = "FILE.tar", required_unless_present = "push")]
    output: Option<PathBuf>,
    /// Push it to a registry, with the credentials of `docker login` or `podman login`
    #[arg(long, value_name = "REGISTRY/REPO:TAG")]
    push: Option<Reference>,
    /// A static egret-proxy, one for each architecture (repeatable); by default this program itself
    #[arg(long = "binary", value_name = "FILE")]
    binaries: Vec<PathBuf>,
    /// Print what was written and pushed as JSON
    #[arg(long)]
    json: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Done {
    #[serde(flatten)]
    written: Option<image::Image>,
    pushed: Option<Pushed>,
}

impl Image {
    /// Writes the archive, pushes the image, or both: 0, or 1 with the reason.
    pub fn run(self) -> ExitCode {
        match self.done() {
            Ok(done) if self.json => super::print(&serde_json::to_string_pretty(&done).unwrap_or_default()),
            Ok(done) => super::print(&done.text()),
            Err(fault) => {
                eprintln!("egret-proxy: {fault}");
                return ExitCode::FAILURE;
            }
        }
        ExitCode::SUCCESS
    }

    fn done(&self) -> Result<Done, Box<dyn std::error::Error>> {
        let own = || std::env::current_exe().map(|own| vec![own]);
        let built = match self.binaries.as_slice() {
            [] => Built::of(&own()?)?,
            named => Built::of(named)?,
        };
        let written = self.output.as_ref().map(|output| built.write(output)).transpose()?;
        let pushed = self
            .push
            .as_ref()
            .map(|reference| push(&built, reference))
            .transpose()?;
        Ok(Done { written, pushed })
    }
}

fn push(built: &Built, reference: &Reference) -> Result<Pushed, Box<dyn std::error::Error>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(built.push(reference, &Keyrings::of_user(), Arc::new(|_| {})))?)
}

impl Done {
    fn text(&self) -> String {
        let written = self.written.iter().map(|image| {
            format!(
                "{}\n{}\n{} for {}, {} bytes",
                image.reference,
                image.digest,
                image.archive.display(),
                image.platforms.join(", "),
                image.size
            )
        });
        let pushed = self.pushed.iter().map(|pushed| {
            let platforms = pushed.platforms.join(", ");
            format!("{}\n{}\npushed for {platforms}", pushed.reference, pushed.by_digest)
        });
        written.chain(pushed).collect::<Vec<_>>().join("\n")
    }
}
