//! `egret-proxy check`: parse, validate, lint.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;

use crate::{
    lint::{self, Finding, FindingObject, Level},
    source::{SourceError, read_folder},
};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Folders of manifests
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    /// 0 clean or infos, 1 findings, 2 when a folder cannot be read.
    pub fn run(self) -> ExitCode {
        let mut findings = Vec::new();
        for path in &self.paths {
            match read_folder(path) {
                Ok(reading) => {
                    findings.extend(reading.errors.iter().map(of_error));
                    findings.extend(lint::check(&reading.world));
                }
                Err(error) => return super::fail(&error),
            }
        }
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        let (errors, warnings, infos) = (count(Level::Error), count(Level::Warning), count(Level::Info));
        if self.json {
            let json =
                serde_json::json!({"findings": findings, "errors": errors, "warnings": warnings, "infos": infos});
            super::print(&format!("{json:#}"));
        } else {
            for finding in &findings {
                super::print(&text(finding));
            }
            super::print(&format!("{errors} errors, {warnings} warnings, {infos} infos"));
        }
        ExitCode::from(u8::from(errors + warnings > 0))
    }
}

fn text(finding: &Finding) -> String {
    let object = finding.object.as_ref();
    let object = object.map(|object| format!("{} {}/{}: ", object.kind, object.namespace, object.name));
    let level = match finding.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
    };
    let fix = finding.fix.as_ref().map(|fix| format!("\n    fix: {fix}"));
    format!(
        "{}:{}:{}: {level} {} {}{}: {}{}",
        finding.file,
        finding.line,
        finding.column,
        finding.code,
        object.unwrap_or_default(),
        finding.field,
        finding.message,
        fix.unwrap_or_default()
    )
}

/// What cannot be read is an error: Istio would refuse it too.
fn of_error(error: &SourceError) -> Finding {
    let (file, line, column): (Arc<str>, u32, u32) = match error {
        SourceError::Unreadable { path, .. } => (path.display().to_string().into(), 1, 1),
        SourceError::Syntax { place, .. } => (place.file.clone(), place.line, place.column),
        SourceError::Object(error) => (error.place.file.clone(), error.place.line, error.place.column),
    };
    let (object, field, message) = match error {
        SourceError::Unreadable { message, .. } | SourceError::Syntax { message, .. } => {
            (None, String::new(), message.clone())
        }
        SourceError::Object(error) => {
            let (kind, namespace, name) = error.object.clone();
            (
                Some(FindingObject { kind, namespace, name }),
                error.field.clone(),
                error.message.clone(),
            )
        }
    };
    Finding {
        code: "IST0106",
        level: Level::Error,
        object,
        field,
        file,
        line,
        column,
        message,
        fix: None,
    }
}
