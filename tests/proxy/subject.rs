//! The sidecar under test: a child process with a policy folder and an access log of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long anything that must happen may take on a slow machine. No test measures time with it.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// ALLOW_ANY or REGISTRY_ONLY for the whole mesh.
pub fn mesh(mode: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    outboundTrafficPolicy:\n      mode: {mode}\n"
    )
}

/// A ServiceEntry with DNS resolution.
pub fn entry(host: &str, port: u16, protocol: &str) -> String {
    let name = host.replace('.', "-");
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}-{port}, namespace: default}}\nspec:\n  hosts: [{host}]\n  ports: [{{number: {port}, name: p, protocol: {protocol}}}]\n  resolution: DNS\n"
    )
}

/// A VirtualService with a timeout.
pub fn timeout(host: &str, limit: &str) -> String {
    let name = host.replace('.', "-");
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: default}}\nspec:\n  hosts: [{host}]\n  http:\n  - timeout: {limit}\n    route: [{{destination: {{host: {host}}}}}]\n"
    )
}

/// A VirtualService for a host; `http` are its routes in YAML's flow style.
pub fn routes(host: &str, http: &str) -> String {
    let name = host.replace('.', "-");
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: default}}\nspec:\n  hosts: [{host}]\n  http: {http}\n"
    )
}

/// A running sidecar.
pub struct Subject {
    pub folder: TempDir,
    pub outbound: SocketAddr,
    pub explicit: SocketAddr,
    pub admin: SocketAddr,
    child: Child,
    messages: Arc<Mutex<String>>,
}

impl Subject {
    /// Starts with the documents as the only policy file and `--map`/`--host` pairs.
    pub fn start(policy: &[String], options: &[String]) -> Self {
        Self::start_on("127.0.0.1:0", policy, options)
    }

    /// Starts with a given address for redirected connections.
    pub fn start_on(outbound: &str, policy: &[String], options: &[String]) -> Self {
        Self::start_with(outbound, policy, options, Path::new("/dev/null"))
    }

    /// Starts a sidecar that trusts the certificates of the file `trust`.
    pub fn start_trusting(trust: &Path, policy: &[String], options: &[String]) -> Self {
        Self::start_with("127.0.0.1:0", policy, options, trust)
    }

    fn start_with(outbound: &str, policy: &[String], options: &[String], trust: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("policy")).unwrap();
        fs::write(folder.path().join("policy/policy.yaml"), policy.join("---\n")).unwrap();
        Self::start_in(folder, outbound, options, trust)
    }

    /// Starts where the folder `policy` in `folder` holds already what it is to hold.
    pub fn start_in(folder: TempDir, outbound: &str, options: &[String], trust: &Path) -> Self {
        let mut child = Command::new(binary())
            .args(["run", "--labels", "app=sleep", "--outbound", outbound])
            .args(["--explicit", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--policy"])
            .arg(folder.path().join("policy"))
            .arg("--access-log")
            .arg(folder.path().join("access.log"))
            .args(options)
            .env("SSL_CERT_FILE", trust)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let messages = Arc::<Mutex<String>>::default();
        let (stderr, written) = (child.stderr.take().unwrap(), messages.clone());
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut written = written.lock().unwrap();
                written.push_str(&line);
                written.push('\n');
            }
        });
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut subject = Self {
            folder,
            outbound: unknown,
            explicit: unknown,
            admin: unknown,
            child,
            messages,
        };
        let started = subject.message("sidecar runs");
        subject.outbound = address(&started, "outbound");
        subject.explicit = address(&started, "explicit");
        subject.admin = address(&started, "admin");
        subject
    }

    /// Ends the sidecar, and gives what it ran in.
    pub fn stop(mut self) -> TempDir {
        self.terminate();
        assert!(self.ended().success());
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    /// Where a server listens that has no field of its own.
    pub fn address(&self, name: &str) -> SocketAddr {
        address(&self.message("sidecar runs"), name)
    }

    /// Waits for a message to the operator that contains `text`, and gives its line.
    pub fn message(&self, text: &str) -> String {
        eventually(&format!("the message {text:?}"), || {
            let messages = self.messages.lock().unwrap();
            messages.lines().find(|line| line.contains(text)).map(str::to_string)
        })
    }

    /// Writes the policy file as an editor does, and waits until another policy is in force.
    pub fn set_policy(&self, policy: &[String]) {
        let before = self.hash();
        self.write_policy(&policy.join("---\n"));
        eventually("another policy in force", || (self.hash() != before).then_some(()));
    }

    /// Writes the policy file without waiting.
    pub fn write_policy(&self, text: &str) {
        let fresh = self.folder.path().join("policy/.policy.yaml.new");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, self.folder.path().join("policy/policy.yaml")).unwrap();
    }

    /// Hash of the policy in force.
    pub fn hash(&self) -> String {
        self.config()["hash"].as_str().unwrap().to_string()
    }

    /// What `/config` says.
    pub fn config(&self) -> serde_json::Value {
        serde_json::from_str(&self.admin_get("/config").1).unwrap()
    }

    /// Asks admin: status and body.
    pub fn admin_get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_string())
    }

    /// Waits for the access log to have `count` lines. Rows of several connections have the order in which
    /// their workers wrote them: who tells rows by their number waits for one before the next is caused.
    pub fn log(&self, count: usize) -> Vec<String> {
        let path = self.folder.path().join("access.log");
        let lines = || -> Vec<String> {
            let text = fs::read_to_string(&path).unwrap_or_default();
            text.lines().map(str::to_string).collect()
        };
        eventually(&format!("{count} access log lines"), || {
            let lines = lines();
            (lines.len() >= count).then_some(lines)
        })
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends a signal, by its name for `kill`.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits for the process to end.
    pub fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the end of the sidecar", || child.try_wait().unwrap())
    }

    /// True while the process lives.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the sidecar said:\n{}", self.messages.lock().unwrap());
            let log = fs::read_to_string(self.folder.path().join("access.log"));
            eprintln!("its access log:\n{}", log.unwrap_or_default());
        }
    }
}

/// The address behind a server's name in the message of the start.
fn address(started: &str, name: &str) -> SocketAddr {
    let rest = started.split(name).nth(1).unwrap();
    let address = rest.trim_start().split([',', '"', ' ']).next().unwrap();
    address.parse().unwrap()
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
    let path = test
        .parent()
        .and_then(|deps| deps.parent())
        .unwrap()
        .join("egret-proxy");
    assert!(
        path.exists(),
        "{} is missing: cargo build -p proxy-core",
        path.display()
    );
    path
}

/// What curl did.
#[derive(Debug)]
pub struct Curl {
    pub exit: i32,
    pub head: String,
    pub body: String,
}

impl Curl {
    /// Status of the last response, 0 without one.
    pub fn status(&self) -> u16 {
        let status = self.head.split(' ').nth(1);
        status.and_then(|status| status.parse().ok()).unwrap_or(0)
    }
}

/// Runs curl. HTTP/1.1, no proxy from the environment, 15 s at most.
pub fn curl(arguments: &[&str]) -> Curl {
    let output = Command::new("curl")
        .args(["-sS", "-i", "--http1.1", "--max-time", "15", "-A", "curl/test"])
        .args(arguments)
        .env_remove("http_proxy")
        .env_remove("https_proxy")
        .env_remove("all_proxy")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // An explicit proxy's own answer to CONNECT comes first.
    let text = match text.strip_prefix("HTTP/1.1 200 Connection established\r\n\r\n") {
        Some(rest) => rest.to_string(),
        None => text,
    };
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Curl {
        exit: output.status.code().unwrap_or(-1),
        head: head.to_string(),
        body: body.to_string(),
    }
}

/// A name that the sidecar resolves to `address`.
pub fn host(name: &str, address: &str) -> [String; 2] {
    ["--host".into(), format!("{name}={address}")]
}

/// Where the sidecar dials for `from`.
pub fn map(from: &str, to: SocketAddr) -> [String; 2] {
    ["--map".into(), format!("{from}={to}")]
}

/// Runs curl with the sidecar as its HTTP proxy.
pub fn through(subject: &Subject, arguments: &[&str]) -> Curl {
    let proxy = format!("http://{}", subject.explicit);
    curl(&[&["--proxy", &proxy], arguments].concat())
}

/// An access log line with what differs from run to run replaced: `TIME`, `MS`, `ID` and `LOCAL` (the sidecar's and the
/// caller's own ports).
pub fn shape(line: &str) -> String {
    let mut tokens = Vec::new();
    let (mut token, mut quoted) = (String::new(), false);
    for character in line.chars() {
        match character {
            ' ' if !quoted => tokens.push(std::mem::take(&mut token)),
            character => {
                quoted ^= character == '"';
                token.push(character);
            }
        }
    }
    tokens.push(token);
    assert_eq!(tokens.len(), 22, "tokens of {line}");
    let digits = tokens[0].chars().filter(char::is_ascii_digit).count();
    assert!(tokens[0].len() == 26 && digits == 17, "START_TIME {}", tokens[0]);
    assert!(tokens[9].parse::<u64>().is_ok(), "DURATION {}", tokens[9]);
    for (at, word) in [
        (0, "[TIME]"),
        (9, "MS"),
        (10, "MS"),
        (13, "\"ID\""),
        (17, "LOCAL"),
        (19, "LOCAL"),
    ] {
        if tokens[at].trim_matches('"') != "-" {
            tokens[at] = word.to_string();
        }
    }
    tokens.join(" ")
}
