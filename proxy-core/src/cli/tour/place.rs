//! Where the tour's requests start: a private network with the sidecar at its border, or, where this machine gives none,
//! this very network with the sidecar as an HTTP proxy.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::sites::Sites;

/// How long the sidecar may take to listen; it takes some milliseconds.
const START: Duration = Duration::from_secs(10);

/// A running sidecar and the agent that runs commands behind it. Dropping it ends both.
pub(super) struct Place {
    agent: Child,
    /// Its end is the agent's end, and with that the end of what the agent runs.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    next_id: u64,
    /// Variables that make a command use the sidecar, where nothing redirects it.
    environment: Vec<String>,
}

/// The files of a tour.
pub(super) struct Files {
    pub policy: PathBuf,
    /// The sidecar's access log.
    pub log: PathBuf,
    /// Connections that bypass the sidecar.
    pub relay_log: PathBuf,
    /// What the sidecar says of itself.
    pub messages: PathBuf,
}

impl Files {
    pub fn of(folder: &Path) -> io::Result<Self> {
        let files = Self {
            policy: folder.join("policy"),
            log: folder.join("access.log"),
            relay_log: folder.join("relay.log"),
            messages: folder.join("sidecar.log"),
        };
        for file in [&files.log, &files.relay_log, &files.messages] {
            fs::write(file, "")?;
        }
        Ok(files)
    }
}

impl Place {
    /// A private network; the error is why there is none.
    pub fn private(files: &Files, sites: &Sites) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(&program);
        command
            .arg("exec")
            .args(sidecar_options(files, sites))
            .arg("--relay-log")
            .arg(&files.relay_log)
            .arg("--ca")
            .arg(&sites.ca)
            .arg("--")
            .arg(&program)
            .arg("agent");
        let mut place = Self::start(command, files).map_err(|error| error.to_string())?;
        match place.run(&["true"]) {
            Ok(_) => Ok(place),
            Err(_) => {
                let said = fs::read_to_string(&files.messages).unwrap_or_default();
                Err(said.trim().trim_start_matches("egret-proxy: ").to_string())
            }
        }
    }

    /// The sidecar as an HTTP proxy.
    pub fn proxied(files: &Files, sites: &Sites) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(&program);
        // Ctrl+C in the terminal ends the tour, whose end tells the agent to end the sidecar.
        command.arg("agent").process_group(0);
        let mut place = Self::start(command, files)?;
        let explicit = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut argv = vec![program.display().to_string(), "run".into()];
        argv.extend(sidecar_options(files, sites));
        argv.extend(["--explicit".into(), explicit.to_string()]);
        // Nothing is redirected here, and these must not collide with another sidecar's.
        argv.extend(["--outbound", "127.0.0.1:0", "--admin", "127.0.0.1:0"].map(String::from));
        // It runs until the agent ends; its messages come beside the answers and are passed over there.
        place.send(&argv)?;
        place.environment = environment(explicit, &sites.ca);
        let until = Instant::now() + START;
        while TcpStream::connect(explicit).is_err() {
            if Instant::now() > until {
                return Err(io::Error::other("the explicit proxy does not answer"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(place)
    }

    fn start(mut command: Command, files: &Files) -> io::Result<Self> {
        let mut agent = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&files.messages)?)
            .spawn()?;
        let (Some(requests), Some(answers)) = (agent.stdin.take(), agent.stdout.take()) else {
            return Err(io::Error::other("the agent has no pipes"));
        };
        Ok(Self {
            agent,
            requests: Some(requests),
            answers: BufReader::new(answers),
            next_id: 1,
            environment: Vec::new(),
        })
    }

    /// True where connections are redirected, so that a bypassed one is seen to go another way.
    pub fn is_private(&self) -> bool {
        self.environment.is_empty()
    }

    /// Runs a command: exit code, and what it printed.
    pub fn run(&mut self, argv: &[&str]) -> io::Result<(i64, String)> {
        let mut all = self.environment.clone();
        all.extend(argv.iter().map(ToString::to_string));
        let id = self.send(&all)?;
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

    fn send(&mut self, argv: &[String]) -> io::Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        let gone = || io::Error::other("the agent has ended");
        let requests = self.requests.as_mut().ok_or_else(gone)?;
        writeln!(requests, "{}", json!({"run": {"id": id, "argv": argv}}))?;
        requests.flush()?;
        Ok(id)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.requests.take();
        if self.is_private() {
            // Nothing inside outlives it, so nothing has to be waited for.
            let _ = self.agent.kill();
        }
        let _ = self.agent.wait();
    }
}

fn sidecar_options(files: &Files, sites: &Sites) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    let mut options = vec!["--policy".to_string(), path(&files.policy)];
    options.extend(["--namespace", "default", "--labels", "app=sleep"].map(String::from));
    for (from, to) in &sites.map {
        options.extend(["--map".into(), format!("{from}={to}")]);
    }
    for (name, address) in &sites.hosts {
        options.extend(["--host".into(), format!("{name}={address}")]);
    }
    options.extend(["--access-log".into(), path(&files.log)]);
    options
}

fn environment(explicit: SocketAddr, ca: &Path) -> Vec<String> {
    let (proxy, ca) = (format!("http://{explicit}"), ca.display().to_string());
    let mut all = vec!["env".to_string()];
    all.extend(["http_proxy", "https_proxy"].map(|name| format!("{name}={proxy}")));
    all.extend(["SSL_CERT_FILE", "CURL_CA_BUNDLE"].map(|name| format!("{name}={ca}")));
    all
}
