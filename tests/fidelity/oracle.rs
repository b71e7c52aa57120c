//! The oracle: Istio's own code, run as a process that answers world by world.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use egret_tests::mesh::cache;
use serde::Deserialize;

use crate::world::World;

/// What Istio makes of a world.
#[derive(Debug, Deserialize)]
pub struct Verdict {
    /// One for each document.
    pub documents: Vec<Review>,
    /// One for each call.
    #[serde(default)]
    pub answers: Vec<Answer>,
    /// What the analyzer says about the documents that are not rejected.
    #[serde(default)]
    pub analyzed: Analyzed,
    /// Why there is no configuration.
    #[serde(default)]
    pub error: String,
    /// What Istio's own generator fell over; then there is no configuration either.
    #[serde(default)]
    pub panic: String,
}

/// What Istio's analyzer says, in every run or in some only: where two objects claim the same it goes through a map.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Analyzed {
    pub always: Vec<Message>,
    pub sometimes: Vec<Message>,
}

/// One of its messages.
#[derive(Debug, Default, Deserialize)]
pub struct Message {
    pub code: String,
    pub level: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub message: String,
}

/// What becomes of one document.
#[derive(Debug, Deserialize)]
pub struct Review {
    /// Why it would be rejected; empty where it is taken.
    #[serde(default)]
    pub rejected: String,
    /// What the webhook warns about; empty where it does not.
    #[serde(default)]
    pub warning: String,
}

/// What becomes of one call, in Envoy's words. The fields are those of the program, see there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Answer {
    pub listener: String,
    pub refused: String,
    pub chance: bool,
    pub http: bool,
    pub grpc_web: bool,
    pub virtual_host: String,
    pub status: u16,
    pub details: String,
    pub body: String,
    pub route: Option<Matched>,
    pub clusters: Vec<Target>,
    pub stream: serde_json::Value,
}

/// The route that a request took.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Matched {
    pub name: String,
    pub timeout_ms: u64,
    pub retries: Option<Retries>,
    pub redirect: Option<serde_json::Value>,
    pub operation: String,
    pub hash: Vec<String>,
    pub treatment: Treatment,
}

/// What it does to the request and its response beside.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Treatment {
    pub path: String,
    pub host: String,
    pub request_headers: serde_json::Value,
    pub response_headers: serde_json::Value,
    pub fault: serde_json::Value,
    pub mirrors: Vec<Mirror>,
    pub cors: serde_json::Value,
}

/// A place that copies are sent to.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Mirror {
    pub cluster: String,
    pub exists: bool,
    pub share: u32,
}

/// Its retry policy.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Retries {
    pub attempts: u32,
    pub retry_on: Vec<String>,
    pub statuses: Vec<u16>,
    pub per_try_timeout_ms: u64,
    pub back_off_ms: u64,
    pub avoids_previous: bool,
}

/// One of the clusters that the traffic is shared among; its kind is empty where there is no such cluster.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Target {
    pub cluster: String,
    pub weight: u32,
    pub kind: String,
    pub names: Vec<String>,
    pub port_override: u16,
    pub connect_timeout_ms: u64,
    pub http: String,
    pub tls: serde_json::Value,
    pub proxy_protocol: String,
    pub limits: serde_json::Value,
    pub balance: serde_json::Value,
    pub upkeep: serde_json::Value,
    pub host: String,
    pub request_headers: serde_json::Value,
    pub response_headers: serde_json::Value,
}

/// A running oracle; it ends when this is dropped.
pub struct Oracle {
    process: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// What it writes beside them.
    errors: File,
}

impl Oracle {
    /// The program, and why there is none.
    pub fn program() -> Result<PathBuf, String> {
        let program = cache().join("bin/oracle");
        if program.exists() {
            Ok(program)
        } else {
            Err("Istio's own code is not built: make oracle, which needs Go 1.26".into())
        }
    }

    /// Starts `program`.
    pub fn start(program: &Path) -> Result<Self, String> {
        let errors = tempfile::tempfile().map_err(|error| error.to_string())?;
        let beside = errors.try_clone().map_err(|error| error.to_string())?;
        let mut process = Command::new(program)
            .arg(cache().join("crds.yaml"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(beside)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let questions = process.stdin.take();
        let answers = process.stdout.take().ok_or("the oracle has no output")?;
        Ok(Self {
            process,
            questions,
            answers: BufReader::new(answers),
            errors,
        })
    }

    /// How it ended, and what Go wrote of that.
    fn end(&mut self) -> String {
        let status = match self.process.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let mut written = Vec::new();
        if let Err(error) = self
            .errors
            .rewind()
            .and_then(|()| self.errors.read_to_end(&mut written))
        {
            return format!("the oracle ended ({status}); what it wrote cannot be read: {error}");
        }
        let written = String::from_utf8_lossy(&written);
        let begins = |line: &&str| line.starts_with("panic: ") || line.starts_with("fatal error: ");
        let lines: Vec<&str> = written.lines().skip_while(|line| !begins(line)).take(20).collect();
        format!("the oracle ended ({status})\n{}", lines.join("\n"))
    }

    /// Asks about `world`.
    pub fn ask(&mut self, world: &World) -> Result<Verdict, String> {
        let mut question = serde_json::to_string(world).map_err(|error| error.to_string())?;
        question.push('\n');
        let questions = self.questions.as_mut().ok_or("the oracle is closed")?;
        questions
            .write_all(question.as_bytes())
            .map_err(|error| format!("the oracle takes no questions: {error}"))?;
        let mut line = String::new();
        // Packages of Istio log to standard output before the program can tell them not to.
        while !line.starts_with('{') {
            line.clear();
            if self.answers.read_line(&mut line).map_err(|error| error.to_string())? == 0 {
                return Err(self.end());
            }
        }
        serde_json::from_str(&line).map_err(|error| format!("the oracle answered {line:?}: {error}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // The end of its input is the end of its work.
        drop(self.questions.take());
        let _ = self.process.wait();
    }
}
