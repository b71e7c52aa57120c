//! `egret-proxy explain`: one decision with its trace.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Args;

use super::request::{Connect, From, Send, ask};
use crate::{
    model::{IstioVersion, Labels},
    policy::{Explanation, Step},
    source::read_folder,
};

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// Folder of Istio manifests
    #[arg(long, value_name = "DIR")]
    policy: PathBuf,
    /// Destination that the application dials
    #[arg(long, value_name = "IP:PORT")]
    dst: SocketAddr,
    /// http, http2, tls or tcp
    #[arg(long)]
    protocol: Option<String>,
    /// Host header
    #[arg(long)]
    host: Option<String>,
    /// Server name in the ClientHello
    #[arg(long)]
    sni: Option<String>,
    /// Method
    #[arg(long)]
    method: Option<String>,
    /// Path with query
    #[arg(long)]
    path: Option<String>,
    /// Header (repeatable)
    #[arg(long = "header", value_name = "NAME:VALUE")]
    headers: Vec<String>,
    /// Namespace of the caller
    #[arg(long)]
    namespace: Option<String>,
    /// Labels of the caller
    #[arg(long, default_value = "", value_name = "a=b,c=d")]
    labels: String,
    /// The release of Istio to decide as, such as 1.24; by default the one that the mesh config names, else the newest
    #[arg(long, value_name = "VERSION")]
    istio_version: Option<IstioVersion>,
    /// Print the decision as JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// Prints the decision; 2 when the question or the folder cannot be read.
    pub fn run(self) -> ExitCode {
        let json = self.json;
        match self.ask() {
            Ok(explanation) if json => match serde_json::to_string_pretty(&explanation) {
                Ok(text) => {
                    super::print(&text);
                    ExitCode::SUCCESS
                }
                Err(error) => super::fail(&error),
            },
            Ok(explanation) => {
                super::print(&text(&explanation));
                ExitCode::SUCCESS
            }
            Err(error) => super::fail(&error),
        }
    }

    fn ask(self) -> Result<Explanation, String> {
        let mut reading = read_folder(&self.policy).map_err(|error| error.to_string())?;
        reading.world.version = self.istio_version;
        for error in &reading.errors {
            eprintln!("egret-proxy: left out: {error}");
        }
        // Named host or server name, but no protocol: what was meant is clear.
        let protocol = self.protocol.or_else(|| {
            self.sni
                .as_ref()
                .map(|_| "tls".to_string())
                .or_else(|| self.host.as_ref().map(|_| "http".to_string()))
        });
        let send = Send {
            protocol,
            host: self.host,
            sni: self.sni,
            method: self.method,
            path: self.path,
            version: None,
            headers: pairs("--header", &self.headers, ':')?,
        };
        let labels: Vec<String> = self
            .labels
            .split(',')
            .filter(|pair| !pair.is_empty())
            .map(str::to_string)
            .collect();
        let from = From {
            namespace: self.namespace,
            labels: pairs("--labels", &labels, '=')?,
        };
        ask(
            &reading,
            &from,
            Connect {
                ip: self.dst.ip(),
                port: self.dst.port(),
            },
            &send,
        )
    }
}

fn pairs(option: &str, texts: &[String], separator: char) -> Result<Labels, String> {
    texts
        .iter()
        .map(|text| {
            let pair = text
                .split_once(separator)
                .map(|(key, value)| (key.trim().to_string(), value.trim().to_string()));
            pair.ok_or_else(|| format!("{option} {text:?}: expected NAME{separator}VALUE"))
        })
        .collect()
}

fn text(explanation: &Explanation) -> String {
    let mut lines = vec![format!("{}: {}", explanation.verdict, explanation.reason)];
    lines.extend(steps(&explanation.trace));
    lines.extend(
        explanation
            .otherwise
            .as_ref()
            .map(|otherwise| format!("  otherwise     {otherwise}")),
    );
    lines.join("\n")
}

/// The steps of a decision, a line each.
pub(super) fn steps(trace: &[Step]) -> impl Iterator<Item = String> {
    trace.iter().map(|step| {
        let place = step.object.as_ref().map(|object| {
            format!(
                "  [{} {}/{} {}:{}]",
                object.kind, object.namespace, object.name, object.file, object.line
            )
        });
        format!("  {:<13} {}{}", step.step, step.outcome, place.unwrap_or_default())
    })
}
