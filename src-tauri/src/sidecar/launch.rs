//! Command lines of the sidecar.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use proxy_core::{model::IstioVersion, net, policy::Workload, sandbox::Mounted};

use serde_json::json;

use super::sites::World as Sites;
use crate::{
    dto::Way,
    fault::{Fault, Result},
};

/// The sidecar's binary: `EGRET_PROXY`, else beside the app's own, else among the package's resources.
pub fn find_proxy() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("EGRET_PROXY") {
        return Ok(named.into());
    }
    let own = std::env::current_exe().map_err(|error| Fault::new("proxy", error.to_string()))?;
    let folder = own.parent().unwrap_or(Path::new("."));
    let places = ["egret-proxy", "../lib/Egret/egret-proxy", "../lib/egret/egret-proxy"];
    let found = places
        .iter()
        .map(|place| folder.join(place))
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        Fault::new(
            "proxy",
            format!("The sidecar egret-proxy is not beside {}.", own.display()),
        )
        .hint("Build it with `cargo build -p proxy-core`, or name it in EGRET_PROXY.")
    })
}

/// What a sidecar is started with.
pub struct Launch<'a> {
    pub proxy: &'a Path,
    /// The way to a cluster's Services, as the sidecar reads it.
    pub forwarder: Option<&'a str>,
    pub folder: &'a Path,
    /// Where a policy is put that everything is compared with.
    pub compare: Option<&'a Path>,
    /// The release of Istio to decide for, where it is chosen.
    pub version: Option<IstioVersion>,
    pub workload: &'a Workload,
    /// What is mounted for its commands.
    pub files: &'a [Mounted],
    pub sites: &'a Sites,
    pub admin: SocketAddr,
    pub explicit: SocketAddr,
    pub access_log: &'a Path,
}

impl Launch<'_> {
    /// Starts the sandbox, with pipes for its three streams.
    pub fn spawn(&self, way: Way) -> Result<Child> {
        let argv = self.command_line(way);
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]);
        self.lead_into_cluster(&mut command);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
            .spawn()
            .map_err(|error| Fault::file("start", self.proxy, &error))
    }

    /// By a variable: every user can read a command line.
    pub fn lead_into_cluster(&self, command: &mut Command) {
        if let Some(way) = self.forwarder {
            command.env(net::Forwarder::VARIABLE, way);
        }
    }

    /// Files go through the sidecar's standard input, before all else: to no disk, and to no other process.
    pub fn hand_files_over(&self, input: &mut impl Write) -> Result<()> {
        if self.files.is_empty() {
            return Ok(());
        }
        let taken = json!({ "files": self.files }).to_string();
        let handed = write!(input, "{}\n{taken}", taken.len()).and_then(|()| input.flush());
        handed.map_err(|error| Fault::new("files", format!("The workload's files cannot be handed over: {error}")))
    }

    /// Program and arguments.
    pub fn command_line(&self, way: Way) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let mut argv = vec![text(self.proxy)];
        let mut add = |parts: &[&str]| argv.extend(parts.iter().map(ToString::to_string));
        add(&[if way == Way::Namespace { "exec" } else { "run" }]);
        add(&["--policy", &text(self.folder), "--namespace", &self.workload.namespace]);
        add(&["--workload", &self.workload.name]);
        if let Some(compare) = self.compare {
            add(&["--compare", &text(compare)]);
        }
        if let Some(version) = self.version {
            add(&["--istio-version", &version.to_string()]);
        }
        for (from, to) in self.sites.map() {
            add(&["--map", &format!("{from}={to}")]);
        }
        for (name, address) in self.sites.hosts() {
            add(&["--host", &format!("{name}={address}")]);
        }
        add(&[
            "--admin",
            &self.admin.to_string(),
            "--explicit",
            &self.explicit.to_string(),
        ]);
        add(&["--access-log", &text(self.access_log), "--drain-seconds", "1"]);
        match way {
            Way::Namespace => {
                if !self.files.is_empty() {
                    add(&["--taken-from-stdin"]);
                }
                add(&["--relay-log", "-", "--ca", &text(self.sites.ca())]);
                add(&["--", &text(self.proxy), "agent"]);
            }
            // Nothing is redirected here, but the listener must not collide with another sidecar's.
            Way::Proxy => add(&["--outbound", "127.0.0.1:0"]),
        }
        argv
    }
}

/// A free port of loopback.
pub fn free_address() -> Result<SocketAddr> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.map_err(|error| Fault::new("port", format!("No port of loopback is free: {error}")))
}
