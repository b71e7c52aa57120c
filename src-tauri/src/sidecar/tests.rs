//! A sandbox that is stopped, or whose sidecar is killed, while it starts: with the real program, in a process of its own whose
//! children are the sidecar's alone, and with the way into a real API server's Services.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use egret_tests::mesh::eventually;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use proxy_core::policy::Workload;

use super::{Enforced, PolicyFolder, Sidecar};
use crate::{
    cluster::{
        Cluster, Environment,
        tests::{Bench, api, deployed::workload, namespace},
    },
    dto::{Phase, PolicyChoice, SandboxState, Takes},
    events::{Event, Events},
    traffic::Traffic,
};

/// Names the kubeconfig of the process that plays it.
const DISTURBED: &str = "EGRET_TEST_DISTURBED_SANDBOX";
const SPACE: &str = "disturbed";
const ITS_NETWORK: &str = "Opening a private network and starting the sidecar";
const ITS_FLOWS: &str = "Following the flows";

/// How long a step may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What comes between, once the step is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disturbs {
    Stop,
    /// As running out of memory does.
    Kill,
}

#[test]
fn a_sandbox_that_is_stopped_or_killed_while_it_starts_leaves_nothing_and_starts_again() {
    let Some(api) = api("a_sandbox_that_is_stopped_or_killed") else {
        return;
    };
    namespace(api, SPACE);
    workload(api, "Deployment", SPACE);
    let own = std::env::current_exe().unwrap();
    let proxy = own.parent().and_then(Path::parent).unwrap().join("egret-proxy");
    assert!(proxy.is_file(), "{} is not built: `make build-proxy`", proxy.display());
    let played = Command::new(own)
        .args(["--ignored", "--exact", "sidecar::tests::played_in_a_process_of_its_own"])
        .env("EGRET_PROXY", proxy)
        .env(DISTURBED, api.kubeconfig())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&played.stdout);
    assert!(played.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "the other half of a test, started by it"]
fn played_in_a_process_of_its_own() {
    let Some(kubeconfig) = std::env::var_os(DISTURBED) else {
        return;
    };
    let stage = Stage::set(PathBuf::from(kubeconfig));
    for (step, disturbs) in [
        (ITS_NETWORK, Disturbs::Stop),
        (ITS_FLOWS, Disturbs::Stop),
        (ITS_FLOWS, Disturbs::Kill),
    ] {
        stage.disturbed_at(step, disturbs);
    }
    stage.killed_before_it_answers();
    let running = stage.starts().join().unwrap();
    assert_eq!(
        (running.state, running.fault),
        (Phase::Running, None),
        "nothing stands in its way"
    );
    stage.sidecar.stop();
    stage.nothing_is_left("it ran");
}

struct Stage {
    scratch: tempfile::TempDir,
    bench: Bench,
    sidecar: Sidecar,
    /// The step to stop at.
    halts: Arc<Mutex<Option<&'static str>>>,
    halted_rx: mpsc::Receiver<()>,
    go_on_tx: mpsc::Sender<()>,
}

impl Stage {
    fn set(kubeconfig: PathBuf) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let (halted_tx, halted_rx) = mpsc::channel();
        let (go_on_tx, go_on_rx) = mpsc::channel();
        let halts = Arc::<Mutex<Option<&'static str>>>::default();
        let (wanted, go_on_rx) = (halts.clone(), Mutex::new(go_on_rx));
        // Whoever takes a step tells of it, and goes on only when the window has taken that.
        let events = Events::new(move |event| {
            let Event::SandboxChanged(state) = event else { return };
            let is_there = wanted
                .lock()
                .unwrap()
                .take_if(|step| state.step.as_deref() == Some(*step));
            if is_there.is_some() && halted_tx.send(()).is_ok() {
                let _ = go_on_rx.lock().unwrap().recv();
            }
        });
        Self {
            sidecar: Sidecar::new(scratch.path(), "disturbed", Arc::new(Traffic::default()), events),
            bench: Bench::open(kubeconfig),
            scratch,
            halts,
            halted_rx,
            go_on_tx,
        }
    }

    fn starts(&self) -> thread::JoinHandle<SandboxState> {
        let sidecar = self.sidecar.clone();
        let cluster: Arc<Cluster> = self.bench.cluster.clone();
        let slot = PolicyFolder::new(self.slot()).unwrap();
        let workload = Workload {
            namespace: SPACE.into(),
            name: "cart".into(),
            ..Workload::default()
        };
        thread::spawn(move || {
            let enforced = Enforced {
                folder: cluster.folder(),
                version: None,
                cluster: Some(&cluster),
                choice: PolicyChoice::Source,
                own: None,
                slot: Some(slot),
                takes: Takes::Nothing,
                taken: Environment::default(),
            };
            sidecar.start(workload, enforced).unwrap()
        })
    }

    fn slot(&self) -> PathBuf {
        self.scratch.path().join("slot")
    }

    fn disturbed_at(&self, step: &'static str, disturbs: Disturbs) {
        *self.halts.lock().unwrap() = Some(step);
        let starting = self.starts();
        let halted = self.halted_rx.recv_timeout(PATIENCE);
        assert!(halted.is_ok(), "it never comes to {step:?}: {:?}", self.sidecar.state());
        let way = self.forwarder();
        assert!(
            TcpStream::connect(way).is_ok(),
            "the way to Services is open while it starts"
        );
        let stopping = (disturbs == Disturbs::Stop).then(|| {
            let sidecar = self.sidecar.clone();
            thread::spawn(move || sidecar.stop())
        });
        match &stopping {
            Some(_) => eventually("the start to be called off", || {
                self.sidecar.inner().stopping.then_some(())
            }),
            None => kill_all(&children()),
        }
        self.go_on_tx.send(()).unwrap();
        let state = starting.join().unwrap();
        let when = format!("{step}, {disturbs:?}");
        match stopping {
            Some(stopping) => {
                assert_eq!((state.state, state.fault), (Phase::Stopped, None), "{when}");
                assert_eq!(stopping.join().unwrap().state, Phase::Stopped, "{when}");
            }
            None => {
                assert_eq!(state.state, Phase::Failed, "{when}: {state:?}");
                assert!(state.fault.is_some(), "{when}: it says why");
            }
        }
        eventually("the way to Services to be closed", || TcpStream::connect(way).err());
        self.nothing_is_left(&when);
    }

    /// Killed as soon as it is there: no other way is tried, since nothing says that this machine lacks anything.
    fn killed_before_it_answers(&self) {
        let starting = self.starts();
        let all = loop {
            let all = children();
            if !all.is_empty() {
                break all;
            }
            thread::sleep(Duration::from_millis(1));
        };
        kill_all(&all);
        let state = starting.join().unwrap();
        let fault = state.fault.unwrap();
        assert_eq!(
            (state.state, fault.code.as_str()),
            (Phase::Failed, "killed"),
            "{fault:?}"
        );
        assert!(fault.message.contains("SIGKILL"), "{fault:?}");
        self.nothing_is_left("it was killed before it answered");
    }

    fn forwarder(&self) -> SocketAddr {
        let inner = self.sidecar.inner();
        inner.forwarder.as_ref().expect("it is the cluster's").address()
    }

    fn nothing_is_left(&self, when: &str) {
        assert_eq!(children(), Vec::<i32>::new(), "processes, when {when}");
        assert!(self.sidecar.inner().forwarder.is_none(), "a forwarder, when {when}");
        eventually("the folder of another policy to go", || {
            (!self.slot().exists()).then_some(())
        });
    }
}

/// The processes that this one has started and not yet seen end.
fn children() -> Vec<i32> {
    let is_child = |stat: &str| {
        // Source: proc_pid_stat(5): after the name, which may hold anything, the state and the parent.
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1));
        parent == Some(&std::process::id().to_string())
    };
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let process = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        is_child(&stat).then_some(process)
    });
    all.collect()
}

fn kill_all(processes: &[i32]) {
    assert!(!processes.is_empty());
    for process in processes {
        // One that has ended by itself is no less gone.
        let _ = kill(Pid::from_raw(*process), Signal::SIGKILL);
    }
}
