//! One sandboxed command with a policy folder, a site on the host's loopback and logs of its own.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long anything that must happen may take on a slow machine. No test measures time with it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where the site stands for the sandbox.
pub const SITE: &str = "198.18.0.10:80";

/// Set where a skipped test is a failure.
pub const REQUIRED: &str = "EGRET_REQUIRE_NAMESPACES";

/// What a test works with.
pub struct Trial {
    pub folder: TempDir,
    pub site: Site,
}

impl Trial {
    /// A trial of the test `name` under this mode; `None` where no sandbox can be had.
    pub fn new(name: &str, mode: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        // An ordinary user's sandbox reads the policy and writes its logs here.
        Command::new("chmod").arg("777").arg(folder.path()).status().unwrap();
        fs::create_dir(folder.path().join("policy")).unwrap();
        let trial = Self {
            folder,
            site: Site::start(),
        };
        trial.write("mesh.yaml", &format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    outboundTrafficPolicy:\n      mode: {mode}\n"
        ));
        let probe = trial.run(&["true"]);
        if probe.status.success() {
            return Some(trial);
        }
        let reason = String::from_utf8_lossy(&probe.stderr).trim().to_string();
        assert!(
            reason.contains("no private network") && std::env::var_os(REQUIRED).is_none(),
            "{name}: {reason}"
        );
        // Not through the test's captured output: a skipped test must be seen.
        let _ = writeln!(std::io::stderr(), "skipped {name}: {reason}");
        None
    }

    /// Sets the workload's capture annotations, as an editor saves a file.
    pub fn annotate(&self, annotation: &str, value: &str) {
        self.write("sleep.yaml", &format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: sleep, namespace: default}}\nspec:\n  template:\n    metadata:\n      labels: {{app: sleep}}\n      annotations: {{traffic.sidecar.istio.io/{annotation}: \"{value}\"}}\n"
        ));
    }

    /// Puts a manifest into the policy folder, as an editor saves it.
    pub fn write(&self, file: &str, text: &str) {
        let fresh = self.folder.path().join("policy/.new");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, self.folder.path().join("policy").join(file)).unwrap();
    }

    /// `exec` with this command, not yet started.
    pub fn command(&self, argv: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(self.arguments(argv));
        command
    }

    /// The same, as another workload than the trial's own.
    pub fn command_as(&self, workload: &[&str], argv: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(self.arguments_as(workload, argv));
        command
    }

    /// The arguments of `egret-proxy` for this command.
    pub fn arguments(&self, argv: &[&str]) -> Vec<String> {
        self.arguments_as(&["--labels", "app=sleep"], argv)
    }

    fn arguments_as(&self, workload: &[&str], argv: &[&str]) -> Vec<String> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let (policy, log, relay_log) = (path("policy"), path("access.log"), path("relay.log"));
        let map = format!("{SITE}={}", self.site.address);
        let mut arguments: Vec<String> = ["exec", "--policy", &policy].map(String::from).into();
        arguments.extend(workload.iter().map(ToString::to_string));
        arguments.extend(["--access-log", &log, "--relay-log", &relay_log, "--map", &map].map(String::from));
        arguments.extend(["--host", "httpbin.org=198.18.0.10", "--"].map(String::from));
        arguments.extend(argv.iter().map(ToString::to_string));
        arguments
    }

    /// Runs a command in the sandbox to its end.
    pub fn run(&self, argv: &[&str]) -> Output {
        self.command(argv).stdin(Stdio::null()).output().unwrap()
    }

    /// Lines of `access.log` or `relay.log`.
    pub fn lines(&self, log: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join(log)).unwrap_or_default();
        text.lines().map(str::to_string).collect()
    }
}

/// A site that answers everything with 200, and counts.
pub struct Site {
    pub address: SocketAddr,
    visits: Arc<AtomicUsize>,
}

impl Site {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let visits = Arc::<AtomicUsize>::default();
        let (address, counted) = (listener.local_addr().unwrap(), visits.clone());
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nhi\n");
            }
        });
        Self { address, visits }
    }

    /// Connections so far.
    pub fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }
}

/// Standard output as text without the newline at its end.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim_end().to_string()
}

/// Tries until there is something, or panics.
pub fn eventually<T>(what: &str, mut try_once: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = try_once() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The binary that was built beside this test.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("egret-proxy");
    assert!(
        path.exists(),
        "{} is missing: cargo build -p proxy-core",
        path.display()
    );
    path
}
