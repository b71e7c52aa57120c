//! `egret-proxy check`: reads, validates and lints manifests, for people and for pipelines.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Args;

use crate::{
    lint::{self, Finding, Level},
    model::IstioVersion,
    source::{self, SourceError},
    yaml,
};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Folders or files of Istio manifests; all are seen as one policy
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The release of Istio to check for, such as 1.24; by default the one that the mesh config names, else the newest
    #[arg(long, value_name = "VERSION")]
    istio_version: Option<IstioVersion>,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Prints the findings: 0 when there are none but infos, 1 with findings, 2 when a path cannot be read.
    pub fn run(self) -> ExitCode {
        let findings = match findings(&self.paths, self.istio_version) {
            Ok(findings) => findings,
            Err(error) => return super::fail(&error),
        };
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        let (errors, warnings, infos) = (count(Level::Error), count(Level::Warning), count(Level::Info));
        if self.json {
            let report = serde_json::json!({
                "findings": findings, "errors": errors, "warnings": warnings, "infos": infos,
            });
            super::print(&format!("{report:#}"));
        } else {
            for finding in &findings {
                super::print(&text(finding));
            }
            super::print(&format!("{errors} errors, {warnings} warnings, {infos} infos"));
        }
        if errors + warnings > 0 {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// Findings over all `paths` as one policy, in the order of files and lines.
fn findings(paths: &[PathBuf], version: Option<IstioVersion>) -> Result<Vec<Finding>, SourceError> {
    let mut reading = source::read_paths(paths)?;
    reading.world.version = version;
    let mut findings: Vec<Finding> = reading.errors.iter().map(Finding::from).collect();
    findings.extend(lint::check(&reading.world));
    lint::locate(&mut findings, |file| yaml::read(&fs::read(file).ok()?).ok());
    findings.sort_by(|a, b| (&a.file, a.line, a.column, a.code).cmp(&(&b.file, b.line, b.column, b.code)));
    Ok(findings)
}

fn text(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
    };
    let object = finding
        .object
        .as_ref()
        .map(|object| format!(" {} {}/{}:", object.kind, object.namespace, object.name));
    let field = if finding.field.is_empty() {
        String::new()
    } else {
        format!(" {}:", finding.field)
    };
    let fix = finding.fix.as_ref().map(|fix| format!("\n    {fix}"));
    format!(
        "{}:{}:{}: {level} [{}]{}{field} {}{}",
        finding.file,
        finding.line,
        finding.column,
        finding.code,
        object.unwrap_or_default(),
        finding.message,
        fix.unwrap_or_default()
    )
}
