//! A display, a session bus and a driver of their own for one run of the app. Whatever happens, each child is ended by
//! its own process id when the session is dropped.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a child may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(15);

/// Everything that runs beside the app.
pub struct Session {
    /// Ended in reverse order: the driver first, the display last.
    children: Vec<(&'static str, Child)>,
    /// Where the driver takes commands.
    pub driver: String,
    /// The app's own output.
    pub log: PathBuf,
}

impl Session {
    /// Starts display, bus and driver. `variables` reach the app.
    pub fn start(scratch: &Path, variables: &[(&str, &Path)]) -> Self {
        let mut session = Self {
            children: Vec::new(),
            driver: String::new(),
            log: scratch.join("app.log"),
        };
        let display = session.says(
            "Xvfb",
            Command::new("Xvfb").args(["-displayfd", "1", "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]),
        );
        let bus = session.says(
            "dbus-daemon",
            Command::new("dbus-daemon").args(["--session", "--nofork", "--nopidfile", "--print-address=1"]),
        );
        let (port, native_port) = (free_port(), free_port());
        let log = File::create(&session.log).expect("the scratch folder can be written");
        let mut driver = Command::new(tauri_driver());
        driver
            .args(["--port", &port.to_string(), "--native-port", &native_port.to_string()])
            .env("DISPLAY", format!(":{display}"))
            .env_remove("WAYLAND_DISPLAY")
            .env("DBUS_SESSION_BUS_ADDRESS", bus)
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env("NO_AT_BRIDGE", "1")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle"))
            .stderr(log);
        let child = driver
            .spawn()
            .expect("tauri-driver starts; `make desktop-test` installs it");
        session.children.push(("tauri-driver", child));
        wait_for_port(port);
        session.driver = format!("http://127.0.0.1:{port}");
        session
    }

    /// Starts a child and returns the first line it prints.
    fn says(&mut self, name: &'static str, command: &mut Command) -> String {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{name} is needed for this test: {error}"));
        let output = child.stdout.take().expect("its output is piped");
        self.children.push((name, child));
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("its output is text");
        assert!(!line.trim().is_empty(), "{name} ended at once");
        line.trim().to_string()
    }
}

impl Session {
    /// Kills the app as running out of memory does: it has no time to take anything away.
    // One of the two crates of tests has no need of it.
    #[allow(dead_code)]
    pub fn kill_app(&self) {
        let own: Vec<u32> = self.children.iter().map(|(_, child)| child.id()).collect();
        let app = built("egret");
        let all = fs::read_dir("/proc").expect("Linux has it").flatten();
        for id in all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
            let is_app = fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|program| program == app);
            if is_app && descends(id, &own) {
                kill(Pid::from_raw(id), Signal::SIGKILL).expect("it runs");
            }
        }
    }
}

/// Whether a process descends from one of these.
fn descends(id: i32, from: &[u32]) -> bool {
    let mut now = id.unsigned_abs();
    while now > 1 {
        if from.contains(&now) {
            return true;
        }
        let status = fs::read_to_string(format!("/proc/{now}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        now = parent.and_then(|parent| parent.trim().parse().ok()).unwrap_or(0);
    }
    false
}

impl Drop for Session {
    fn drop(&mut self) {
        for (name, child) in self.children.iter_mut().rev() {
            end(name, child);
        }
    }
}

/// SIGTERM, so that a child can take down its own; SIGKILL when that is not enough.
fn end(name: &str, child: &mut Child) {
    // A process id that does not fit was never one.
    if let Ok(id) = i32::try_from(child.id()) {
        let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
    }
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            _ => return,
        }
    }
    eprintln!("{name} did not end in {PATIENCE:?} and is killed");
    let _ = child.kill();
    let _ = child.wait();
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn wait_for_port(port: u16) {
    let (address, deadline) = (SocketAddr::from(([127, 0, 0, 1], port)), Instant::now() + PATIENCE);
    while TcpStream::connect_timeout(&address, PATIENCE).is_err() {
        assert!(Instant::now() < deadline, "nothing listens on port {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `TAURI_DRIVER`, else the one on the path.
fn tauri_driver() -> PathBuf {
    std::env::var_os("TAURI_DRIVER").map_or_else(|| PathBuf::from("tauri-driver"), PathBuf::from)
}

/// A built binary of this workspace: `cargo test` puts this test in `target/PROFILE/deps`.
pub fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this test is a file");
    let folder = own
        .parent()
        .and_then(Path::parent)
        .expect("it lies in target/PROFILE/deps");
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is not built; run `make desktop-test`",
        path.display()
    );
    path
}

/// All files of a folder with their bytes.
pub fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("its entries can be read").path();
            let name = path
                .file_name()
                .expect("an entry has a name")
                .to_string_lossy()
                .into_owned();
            (name, fs::read(&path).expect("its files can be read"))
        })
        .collect();
    files.sort();
    files
}

/// Copies the playground to a folder of its own.
pub fn copy_of_playground(to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy-core/examples/playground");
    fs::create_dir_all(to).expect("the scratch folder can be written");
    for (name, bytes) in contents(&from) {
        fs::write(to.join(name), bytes).expect("the copy can be written");
    }
}
