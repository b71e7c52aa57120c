//! What the tour plays on: the sites, a sandbox with its sidecar, the folder, and the printing of it all.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::sites::{SITES, Sites, write_playground};

/// How long an effect may take to show; many times what it takes, so that a busy machine does not fail the tour.
const PATIENCE: Duration = Duration::from_secs(5);

/// The stage. Dropping it ends the sandbox.
pub(super) struct Stage {
    pub policy: PathBuf,
    log: PathBuf,
    relay_log: PathBuf,
    sandbox: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    next_id: u64,
    colour: bool,
    failed: usize,
    log_read: usize,
}

/// What a request came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub exit: i64,
    pub status: Option<u16>,
    pub output: String,
    pub took: Duration,
}

impl Stage {
    pub fn open(folder: &Path, colour: bool) -> Result<Self, Box<dyn std::error::Error>> {
        let policy = folder.join("policy");
        write_playground(&policy)?;
        let sites = Sites::start(folder)?;
        let (log, relay_log) = (folder.join("access.log"), folder.join("relay.log"));
        for file in [&log, &relay_log] {
            fs::write(file, "")?;
        }
        let program = std::env::current_exe()?;
        let mut command = Command::new(&program);
        command
            .arg("exec")
            .arg("--policy")
            .arg(&policy)
            .args(["--namespace", "default", "--labels", "app=sleep"]);
        for (from, to) in &sites.map {
            command.arg("--map").arg(format!("{from}={to}"));
        }
        for (name, address) in &sites.hosts {
            command.arg("--host").arg(format!("{name}={address}"));
        }
        command
            .arg("--access-log")
            .arg(&log)
            .arg("--relay-log")
            .arg(&relay_log)
            .arg("--ca")
            .arg(&sites.ca);
        let errors = fs::File::create(folder.join("sidecar.log"))?;
        let mut sandbox = command
            .arg("--")
            .arg(&program)
            .arg("agent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()?;
        let (Some(requests), Some(answers)) = (sandbox.stdin.take(), sandbox.stdout.take()) else {
            return Err("the sandbox has no pipes".into());
        };
        let answers = BufReader::new(answers);
        let mut stage = Self {
            policy,
            log,
            relay_log,
            sandbox,
            requests,
            answers,
            next_id: 1,
            colour,
            failed: 0,
            log_read: 0,
        };
        let (code, _) = stage.run(&["curl", "--version"]).map_err(|_| {
            let reason = fs::read_to_string(folder.join("sidecar.log")).unwrap_or_default();
            format!(
                "the sandbox could not start: {}",
                reason.trim().trim_start_matches("egret-proxy: ")
            )
        })?;
        if code != 0 {
            return Err("curl was not found; install it (Debian, Ubuntu: apt install curl)".into());
        }
        Ok(stage)
    }

    pub fn failed(&self) -> usize {
        self.failed
    }

    /// Head of a step.
    pub fn step(&self, title: &str, why: &str) {
        super::super::print(&format!("\n{}\n{}", self.paint("1", title), self.paint("2", why)));
    }

    /// Sends one request with curl and prints it.
    pub fn request(&mut self, url: &str) -> io::Result<Outcome> {
        let curl = ["curl", "-sS", "--max-time", "15", "-w", "\n%{http_code}", url];
        super::super::print(&format!("  {} curl {url}", self.paint("34", "default/sleep $")));
        let started = Instant::now();
        let (exit, output) = self.run(&curl)?;
        let took = started.elapsed();
        let (output, status) = match output.rsplit_once('\n') {
            Some((text, code)) => (text.to_string(), code.parse().ok().filter(|code| *code > 0)),
            None => (output, None),
        };
        Ok(Outcome {
            exit,
            status,
            output,
            took,
        })
    }

    /// Runs a command in the sandbox: exit code, and what it printed.
    pub fn run(&mut self, argv: &[&str]) -> io::Result<(i64, String)> {
        let id = self.next_id;
        self.next_id += 1;
        writeln!(self.requests, "{}", json!({"run": {"id": id, "argv": argv}}))?;
        self.requests.flush()?;
        let mut output = String::new();
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line)? == 0 {
                return Err(io::Error::other("the sandbox ended"));
            }
            let answer: Value = serde_json::from_str(&line)?;
            if answer["id"] != id {
                continue;
            }
            if let Some(text) = answer["text"].as_str() {
                output.push_str(text);
            }
            if let Some(code) = answer["exit"].as_i64() {
                return Ok((code, output));
            }
        }
    }

    /// Changes a file of the folder.
    pub fn edit(&self, file: &str, from: &str, to: &str) -> io::Result<()> {
        let path = self.policy.join(file);
        let text = fs::read_to_string(&path)?;
        super::super::print(&format!(
            "  {} {file}: {} -> {}",
            self.paint("34", "edit"),
            from.trim(),
            to.trim()
        ));
        replace(&path, &text.replacen(from, to, 1))
    }

    /// Adds a file to the folder.
    pub fn add(&self, file: &str, text: &str) -> io::Result<()> {
        super::super::print(&format!("  {} {file}", self.paint("34", "add")));
        for line in text.lines() {
            super::super::print(&format!("    {}", self.paint("2", line)));
        }
        replace(&self.policy.join(file), text)
    }

    /// Says what must be true and whether it is.
    pub fn expect(&mut self, what: &str, holds: bool) {
        let mark = if holds {
            self.paint("32", "✓")
        } else {
            self.paint("31", "✗")
        };
        super::super::print(&format!("  {mark} {what}"));
        self.failed += usize::from(!holds);
    }

    /// The newest line of the sidecar's log that holds `text`, printed; waits for it.
    pub fn log_line(&mut self, text: &str) -> Option<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let fresh = log.get(self.log_read..).unwrap_or_default();
            if let Some(line) = fresh.lines().rev().find(|line| line.contains(text)) {
                super::super::print(&format!("  {} {}", self.paint("34", "log"), self.paint("2", line)));
                let line = line.to_string();
                self.log_read = log.len();
                return Some(line);
            }
            if Instant::now() > until {
                return None;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lines in the sidecar's log so far.
    pub fn log_lines(&self) -> usize {
        fs::read_to_string(&self.log).unwrap_or_default().lines().count()
    }

    /// Connections that bypassed the sidecar so far.
    pub fn bypassed(&self) -> usize {
        fs::read_to_string(&self.relay_log)
            .unwrap_or_default()
            .lines()
            .filter(|line| line.contains("\"bypassed\""))
            .count()
    }

    /// Repeats `request` until `wanted` holds: a policy takes some milliseconds to be in force.
    pub fn until(&mut self, url: &str, wanted: impl Fn(&Outcome) -> bool) -> io::Result<Outcome> {
        // The folder's watch needs its moment before the first try, so that most often one request is enough.
        thread::sleep(Duration::from_millis(150));
        let until = Instant::now() + PATIENCE;
        loop {
            let outcome = self.request(url)?;
            if wanted(&outcome) || Instant::now() > until {
                return Ok(outcome);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Names of the playground, for the opening.
    pub fn sites(&self) -> String {
        SITES.map(|site| format!("{} {}", site.host, site.address)).join(", ")
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_string()
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The end of its parent's pipe would end it as well; this does not wait for that.
        let _ = self.sandbox.kill();
        let _ = self.sandbox.wait();
    }
}

/// Writes a file whole or not at all.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path)
}
