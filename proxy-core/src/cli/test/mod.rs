//! `egret-proxy test`: policy test files, kept beside manifests and run by CI.

mod case;
mod junit;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use case::Outcome;

use crate::model::IstioVersion;

/// Arguments of `test`.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 all cases hold, 1 some do not, 2 a file cannot be read or run.")]
pub struct Test {
    /// Policy test files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The release of Istio to decide as, such as 1.24; by default what each file says under istioVersion, or its mesh
    /// config, else the newest
    #[arg(long, value_name = "VERSION")]
    istio_version: Option<IstioVersion>,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    /// Write the results as JUnit XML too, for CI servers
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// What came of one file: its cases, or why there are none.
#[derive(Debug, Serialize)]
struct FileResult {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    cases: Vec<Outcome>,
}

impl FileResult {
    fn of(path: impl AsRef<Path>, version: Option<IstioVersion>) -> Self {
        let path = path.as_ref();
        let (error, cases) = match case::run_file(path, version) {
            Ok(cases) => (None, cases),
            Err(error) => (Some(error), Vec::new()),
        };
        Self {
            file: path.display().to_string(),
            error,
            cases,
        }
    }

    fn failures(&self) -> usize {
        self.cases.iter().filter(|case| !case.passed).count()
    }
}

impl Test {
    /// 0 when all cases hold, 1 when some fail, 2 when a file cannot be read; the other files are run all the same.
    pub fn run(self) -> ExitCode {
        let files: Vec<FileResult> = self
            .files
            .iter()
            .map(|file| FileResult::of(file, self.istio_version))
            .collect();
        let total: usize = files.iter().map(|file| file.cases.len()).sum();
        let failed: usize = files.iter().map(FileResult::failures).sum();
        if let Some(path) = &self.junit
            && let Err(error) = fs::write(path, junit::report(&files))
        {
            return super::fail(&format!("{}: {error}", path.display()));
        }
        let broken = files.iter().filter_map(|file| Some((&file.file, file.error.as_ref()?)));
        for (file, error) in broken.clone() {
            eprintln!("egret-proxy: {file}: {error}");
        }
        if self.json {
            let cases: Vec<_> = files.iter().flat_map(|file| &file.cases).collect();
            let errors: Vec<_> = broken
                .clone()
                .map(|(file, error)| json!({"file": file, "message": error}))
                .collect();
            let report = json!({"passed": total - failed, "failed": failed, "cases": cases, "errors": errors});
            super::print(&report.to_string());
        } else {
            for case in files.iter().flat_map(|file| &file.cases).filter(|case| !case.passed) {
                super::print(&case.failure());
            }
            super::print(&format!("{} passed, {failed} failed", total - failed));
        }
        if broken.count() > 0 {
            return ExitCode::from(2);
        }
        ExitCode::from(u8::from(failed > 0))
    }
}

#[cfg(test)]
mod tests;
