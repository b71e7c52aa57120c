//! What the tour plays on: the sites, a sidecar, the folder, and the printing of it all.

use std::{
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{
    super::print,
    place::{Files, Place},
};
use crate::sites::{SITES, Sites, write_playground};

/// How long an effect may take to show; many times what it takes, so that a busy machine does not fail the tour.
const PATIENCE: Duration = Duration::from_secs(5);

/// The stage. Dropping it ends the sidecar.
pub(super) struct Stage {
    pub files: Files,
    place: Place,
    /// curl, or what stands in for it.
    client: Vec<String>,
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
        let files = Files::of(folder)?;
        write_playground(&files.policy)?;
        let sites = Sites::start(folder)?;
        let mut place = Place::private(&files, &sites).or_else(|why| {
            print(&format!(
                "{why}\nPlaying over the explicit proxy: the same policy, sidecar and sites, but only what uses the proxy is seen."
            ));
            Place::proxied(&files, &sites)
        })?;
        let client = match place.run(&["curl", "--version"])? {
            (0, _) => vec!["curl".into(), "-sS".into()],
            _ => vec![std::env::current_exe()?.display().to_string(), "get".into()],
        };
        Ok(Self {
            files,
            place,
            client,
            colour,
            failed: 0,
            log_read: 0,
        })
    }

    pub fn failed(&self) -> usize {
        self.failed
    }

    /// Head of a step.
    pub fn step(&self, title: &str, why: &str) {
        print(&format!("\n{}\n{}", self.paint("1", title), self.paint("2", why)));
    }

    /// Sends one request and prints it.
    pub fn request(&mut self, url: &str) -> io::Result<Outcome> {
        let mut argv: Vec<&str> = self.client.iter().map(String::as_str).collect();
        argv.extend(["--max-time", "15", "-w", "\n%{http_code}", url]);
        let client = if self.client[0] == "curl" {
            "curl"
        } else {
            "egret-proxy get"
        };
        print(&format!("  {} {client} {url}", self.paint("34", "default/sleep $")));
        let started = Instant::now();
        let (exit, output) = self.place.run(&argv)?;
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

    /// True where a bypassed connection takes a way of its own, and is counted there.
    pub fn counts_bypassed(&self) -> bool {
        self.place.is_private()
    }

    /// Changes a file of the folder.
    pub fn edit(&self, file: &str, from: &str, to: &str) -> io::Result<()> {
        let path = self.files.policy.join(file);
        let text = fs::read_to_string(&path)?;
        print(&format!(
            "  {} {file}: {} -> {}",
            self.paint("34", "edit"),
            from.trim(),
            to.trim()
        ));
        replace(&path, &text.replacen(from, to, 1))
    }

    /// Adds a file to the folder.
    pub fn add(&self, file: &str, text: &str) -> io::Result<()> {
        print(&format!("  {} {file}", self.paint("34", "add")));
        for line in text.lines() {
            print(&format!("    {}", self.paint("2", line)));
        }
        replace(&self.files.policy.join(file), text)
    }

    /// Says what must be true and whether it is.
    pub fn expect(&mut self, what: &str, holds: bool) {
        let mark = if holds {
            self.paint("32", "✓")
        } else {
            self.paint("31", "✗")
        };
        print(&format!("  {mark} {what}"));
        self.failed += usize::from(!holds);
    }

    /// The newest line of the sidecar's log that holds `text`, printed; waits for it.
    pub fn log_line(&mut self, text: &str) -> Option<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let log = fs::read_to_string(&self.files.log).unwrap_or_default();
            let fresh = log.get(self.log_read..).unwrap_or_default();
            if let Some(line) = fresh.lines().rev().find(|line| line.contains(text)) {
                print(&format!("  {} {}", self.paint("34", "log"), self.paint("2", line)));
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
        fs::read_to_string(&self.files.log).unwrap_or_default().lines().count()
    }

    /// Connections that bypassed the sidecar so far.
    pub fn bypassed(&self) -> usize {
        fs::read_to_string(&self.files.relay_log)
            .unwrap_or_default()
            .lines()
            .filter(|line| line.contains("\"bypassed\""))
            .count()
    }

    /// True once more than `before` have bypassed it; a connection is written down when its end has come through.
    pub fn bypassed_more_than(&self, before: usize) -> bool {
        let until = Instant::now() + PATIENCE;
        while self.bypassed() <= before && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
        self.bypassed() > before
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

/// Writes a file whole or not at all.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path)
}
