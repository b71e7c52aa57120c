//! The guard process, which brings things up and takes them down.

use std::{
    env, fmt,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long taking it down may last.
const PATIENCE: Duration = Duration::from_secs(30);

/// Set where a mesh that cannot be had is a failure.
pub(super) const REQUIRED: &str = "EGRET_REQUIRE_MESH";

/// Why there is no mesh.
#[derive(Clone, Debug)]
pub enum NotUp {
    /// This machine lacks something; a reason to skip.
    Lacking(String),
    /// It should have come up.
    Failed(String),
}

impl fmt::Display for NotUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Lacking(reason) | Self::Failed(reason)) = self;
        f.write_str(reason)
    }
}

/// What is up stays up until this is dropped, or this process ends in any way.
pub(super) struct Guard {
    process: Child,
}

impl Guard {
    /// Brings up `kind`, `mesh` or `api`, and returns the folder of its kubeconfigs.
    pub(super) fn start(kind: &str) -> Result<(Self, PathBuf), NotUp> {
        let out = cache();
        let lacking = Command::new(script("needs.sh")).arg(&out).arg(kind).output();
        let lacking = lacking.map_err(|error| NotUp::Failed(format!("needs.sh: {error}")))?;
        if !lacking.status.success() {
            let reason = String::from_utf8_lossy(&lacking.stdout).trim().to_string();
            return Err(match env::var_os(REQUIRED) {
                Some(_) => NotUp::Failed(reason),
                None => NotUp::Lacking(reason),
            });
        }
        let mut command = if nix::unistd::geteuid().is_root() {
            Command::new(script("guard.sh"))
        } else {
            let mut sudo = Command::new("sudo");
            sudo.arg("-n").arg(script("guard.sh"));
            sudo
        };
        // A process group of its own: Ctrl+C in the terminal is for the tests, and the guard must outlive them.
        command.arg(&out).arg(kind).process_group(0);
        let process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = process.map_err(|error| NotUp::Failed(format!("guard.sh: {error}")))?;
        let said = process.stdout.take();
        let guard = Self { process };
        for line in said
            .into_iter()
            .flat_map(|said| BufReader::new(said).lines())
            .map_while(Result::ok)
        {
            if let Some(kubeconfig) = line.strip_prefix("KUBECONFIG=") {
                let folder = Path::new(kubeconfig).parent().unwrap_or(Path::new("/"));
                return Ok((guard, folder.to_path_buf()));
            }
            // Not through a test's captured output: it takes a while, and whoever waits wants to know for what.
            let _ = writeln!(std::io::stderr(), "    {kind}: {line}");
        }
        Err(NotUp::Failed(format!(
            "the test {kind} did not come up; what it said is above"
        )))
    }
}

impl Guard {
    /// Passes on a command, such as `kill apiserver`: `inside.sh` says what there is.
    pub(super) fn command(&self, command: &str) {
        let mut input = self.process.stdin.as_ref().expect("open until the guard is dropped");
        writeln!(input, "{command}").expect("the guard is there");
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let until = Instant::now() + PATIENCE;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Where `build.sh` puts what it builds.
pub fn cache() -> PathBuf {
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache");
    let caches = env::var_os("XDG_CACHE_HOME").filter(|set| !set.is_empty());
    let caches = caches.map_or_else(home, PathBuf::from);
    caches.join("egret/mesh")
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mesh").join(name)
}
