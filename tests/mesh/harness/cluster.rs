//! What is up, and kubectl for it.

use std::{
    io::Write as _,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
};

use super::{
    eventually,
    guard::{Guard, NotUp, cache},
};

/// An API server with Istio's resource definitions, seen as one of its users.
#[derive(Clone, Debug)]
pub struct Cluster {
    folder: PathBuf,
    user: &'static str,
}

impl Cluster {
    /// The same API server as the user `admin`, `viewer` (who reads) or `editor` (who also writes Istio's objects).
    pub fn user(&self, user: &'static str) -> Self {
        let folder = self.folder.clone();
        Self { folder, user }
    }

    /// The folder of the keys and certificates; those of the sites are `sites-ca.crt` and `sites.crt`.
    pub fn certificates(&self) -> &Path {
        &self.folder
    }

    /// The user's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join(self.user).with_extension("kubeconfig")
    }

    /// Runs kubectl, for a minute at the most.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        let command = self.command(arguments).stdin(Stdio::null()).output();
        command.expect("coreutils has timeout")
    }

    /// What kubectl prints; panics unless it succeeds.
    pub fn text(&self, arguments: &[&str]) -> String {
        let output = self.kubectl(arguments);
        assert!(
            output.status.success(),
            "kubectl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs kubectl with a manifest as its input, such as `["apply"]`; `-f -` is added.
    pub fn send(&self, arguments: &[&str], manifest: &str) -> Output {
        let mut child = self
            .command(&[arguments, &["-f", "-"]].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("coreutils has timeout");
        let input = child.stdin.take().map(|mut input| input.write_all(manifest.as_bytes()));
        input.transpose().expect("kubectl reads its input");
        child.wait_with_output().expect("a child that was started")
    }

    /// Applies a manifest; panics unless that succeeds.
    pub fn apply(&self, manifest: &str) {
        let output = self.send(&["apply"], manifest);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// kubectl that goes on until it is killed or the thread that called ends, such as `["logs", "--follow"]`, with pipes to
    /// its input and output.
    pub fn stream(&self, arguments: &[&str]) -> Child {
        // One that holds no connection to the cluster would outlive a process that is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(cache().join("bin/kubectl"));
        let mut command = self.prepare(command, arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().expect("the mesh is up, so kubectl is built")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "60"]).arg(cache().join("bin/kubectl"));
        self.prepare(command, arguments)
    }

    fn prepare(&self, mut command: Command, arguments: &[&str]) -> Command {
        // What kubectl remembers of an API server stays out of the home folder.
        command.env("KUBECACHEDIR", cache().join("kubectl"));
        command.env("KUBECONFIG", self.kubeconfig()).args(arguments);
        command
    }
}

/// An API server that can be killed, seen as `admin`.
pub struct Server {
    cluster: Cluster,
    guard: Guard,
}

/// etcd and the API server alone, with Istio's resource definitions.
pub struct Api(Server);

/// Kubernetes, Istio and a workload `default/sleep` with its sidecar.
pub struct Mesh(Server);

impl Server {
    fn up(kind: &str) -> Result<Self, NotUp> {
        let (guard, folder) = Guard::start(kind)?;
        let cluster = Cluster { folder, user: "admin" };
        Ok(Self { cluster, guard })
    }

    /// Kills the API server as a crash does, and returns when it answers no more. etcd keeps what it knew, and what runs on a
    /// node runs on.
    pub fn kill_server(&self) {
        self.guard.command("kill apiserver");
        eventually("the API server to go", || (!self.ready()).then_some(()));
    }

    /// Starts it again, and returns when it is ready.
    pub fn start_server(&self) {
        self.guard.command("start apiserver");
        eventually("the API server to come back", || self.ready().then_some(()));
    }

    fn ready(&self) -> bool {
        let asked = self.kubectl(&["get", "--raw=/readyz", "--request-timeout=5s"]);
        asked.status.success()
    }
}

impl Api {
    /// Brings it up; it goes when this is dropped, or this process ends in any way.
    pub fn up() -> Result<Self, NotUp> {
        Server::up("api").map(Self)
    }

    /// Makes etcd forget what was before `version`, as it does by itself in time. A watch from there is told 410 Gone,
    /// once the API server has forgotten it too: by starting it again.
    pub fn forget_before(&self, version: &str) {
        self.guard.command(&format!("compact {version}"));
    }
}

impl Mesh {
    /// Brings it up; it goes when this is dropped, or this process ends in any way.
    pub fn up() -> Result<Self, NotUp> {
        Server::up("mesh").map(Self)
    }

    /// Gives the node an image archive.
    pub fn import(&self, archive: &Path) {
        self.containerd(&["images", "import", &archive.display().to_string()]);
    }

    /// Takes an image from the node, where it has it.
    pub fn forget_image(&self, name: &str) {
        self.containerd(&["images", "remove", "--sync", name]);
    }

    /// Kills a container's first process.
    pub fn kill_container(&self, id: &str) {
        self.containerd(&["tasks", "kill", "--signal=SIGKILL", id]);
    }

    fn containerd(&self, arguments: &[&str]) {
        let output = Command::new(cache().join("debian/usr/bin/ctr"))
            .arg("--address")
            .arg(cache().join("mesh/containerd.sock"))
            .args(["--namespace=k8s.io", "--timeout=60s"])
            .args(arguments)
            .output()
            .expect("the mesh is up, so its programs are there");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ctr {}: {said}", arguments.join(" "));
    }
}

impl Deref for Server {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Deref for Api {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Deref for Mesh {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// One for all tests of a process; the first that asks brings it up.
pub struct Shared<T> {
    up: fn() -> Result<T, NotUp>,
    started: OnceLock<Result<T, NotUp>>,
}

impl<T> Shared<T> {
    /// Not up yet.
    pub fn new(up: fn() -> Result<T, NotUp>) -> Self {
        let started = OnceLock::new();
        Self { up, started }
    }

    /// Up, or the reason why not: always the same.
    pub fn get(&self) -> Result<&T, NotUp> {
        self.started.get_or_init(self.up).as_ref().map_err(Clone::clone)
    }
}
