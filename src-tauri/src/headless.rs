//! `egret mirror`: a cluster's policy as a folder, without any window, for as long as its standard input is open. What
//! `egret-proxy exec --context` starts beside itself, which has no Kubernetes client. Says how it goes on standard output,
//! a line of JSON each.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak, mpsc},
    thread,
};

use serde_json::{Value, json};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use crate::{
    cluster::{Attempt, Cluster, Environment, Kubeconfigs, Target, Wanted},
    fault::{Fault, Result},
};

/// Its command line.
pub const USAGE: &str = "egret mirror --context NAME --to DIR [--kubeconfig FILE] [--environment KIND/NAME --namespace NAME [--secrets]]\n\nKeeps DIR, which must not be there yet, \
                         equal to the policy of a cluster until its standard input ends.";
/// The app's own name in the user's data folder, as in tauri.conf.json.
const IDENTIFIER: &str = "dev.egret.desktop";
/// The kubeconfig that kubectl reads.
const DEFAULT: &str = "default";

#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    context: String,
    to: PathBuf,
    kubeconfig: Option<PathBuf>,
    /// The workload whose variables are wanted.
    environment: Option<Wanted>,
}

/// Runs until its input ends, or somebody asks it to end.
pub fn mirror(words: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(arguments) = read(words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            say(&told(&fault));
            ExitCode::FAILURE
        }
    }
}

fn read(mut words: impl Iterator<Item = OsString>) -> Option<Arguments> {
    let mut named = BTreeMap::new();
    let mut secrets = false;
    while let Some(word) = words.next() {
        match word.to_str()? {
            "--secrets" => secrets = true,
            word @ ("--context" | "--to" | "--kubeconfig" | "--environment" | "--namespace") => {
                named.insert(word.to_string(), words.next()?);
            }
            _ => return None,
        }
    }
    let mut text = |name: &str| named.remove(name).map(OsString::into_string).transpose();
    let context = text("--context").ok()??;
    let environment = match (text("--environment").ok()?, text("--namespace").ok()?) {
        (Some(workload), Some(namespace)) => Some(Wanted {
            namespace,
            workload: workload.parse().ok()?,
            secrets,
        }),
        (None, None) if !secrets => None,
        _ => return None,
    };
    Some(Arguments {
        context,
        to: named.remove("--to")?.into(),
        kubeconfig: named.remove("--kubeconfig").map(PathBuf::from),
        environment,
    })
}

fn serve(arguments: &Arguments) -> Result<()> {
    require_free(&arguments.to)?;
    let ended_rx = ends()?;
    let target = target(arguments)?;
    let open: Arc<OnceLock<Weak<Cluster>>> = Arc::default();
    let watched = Watched::default();
    let own = open.clone();
    let changed = move || {
        if let Some(cluster) = own.get().and_then(Weak::upgrade) {
            watched.tell(&cluster);
        }
    };
    let attempt = Arc::new(Attempt::new(|step| say(&json!({ "step": step.to_string() }))));
    let cancelled = attempt.clone();
    // Whoever ends it while it connects waits for nothing.
    let (end_tx, end_rx) = mpsc::channel();
    thread::spawn(move || {
        // Its sender is never dropped before it has sent.
        let _ = ended_rx.recv();
        cancelled.cancel();
        let _ = end_tx.send(());
    });
    let cluster = Cluster::open(&target, &arguments.to, changed, &attempt)?;
    // It was empty until now.
    let _ = open.set(Arc::downgrade(&cluster));
    serve_open(cluster, arguments.environment.as_ref(), &end_rx)
}

/// Serves what is open. Its folder is gone afterwards, whatever came of it.
fn serve_open(cluster: Arc<Cluster>, wanted: Option<&Wanted>, end_rx: &mpsc::Receiver<()>) -> Result<()> {
    let outcome = forward(&cluster, wanted, end_rx);
    cluster.end();
    outcome
}

/// Says what the cluster has, and forwards until the end is heard.
fn forward(cluster: &Arc<Cluster>, wanted: Option<&Wanted>, end_rx: &mpsc::Receiver<()>) -> Result<()> {
    let forwarder = cluster.forwarder(|| {})?;
    if let Some(wanted) = wanted {
        let Environment { variables, left_out } = cluster.environment(wanted)?;
        say(&json!({ "environment": { "variables": variables, "left_out": left_out } }));
    }
    say(&json!({ "ready": { "forwarder": forwarder.address(), "token": forwarder.token() } }));
    // That who would tell it is gone is its end too.
    let _ = end_rx.recv();
    Ok(())
}

/// It is emptied at the start and taken away at the end: nothing of a person's may be in it.
fn require_free(folder: &Path) -> Result<()> {
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => {
            Err(Fault::new("exists", format!("{} is there already.", folder.display()))
                .hint("Name a folder that is not."))
        }
    }
}

/// The context; what a window would ask a person about is refused with what to do.
fn target(arguments: &Arguments) -> Result<Target> {
    let data = data_folder().ok_or_else(|| Fault::new("home", "There is no home folder.").hint("Set EGRET_DATA."))?;
    let kubeconfigs = Kubeconfigs::open(&data);
    let file = match &arguments.kubeconfig {
        Some(file) => kubeconfigs.lend(file)?,
        None => DEFAULT.into(),
    };
    let target = kubeconfigs.target(&file, &arguments.context)?;
    match kubeconfigs.asks(&file, &arguments.context)? {
        None => Ok(target),
        Some(plugin) => Err(Fault::new(
            "asks",
            format!(
                "This kubeconfig runs a program for its credentials that you have not allowed: {}.",
                plugin.command
            ),
        )
        .hint("Open the file in Egret's menu at the top left, choose the context and allow the program; or name the file in KUBECONFIG, as for kubectl.")),
    }
}

/// Where the app keeps what a person allowed.
fn data_folder() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let own = || {
        let share = set("XDG_DATA_HOME").or_else(|| Some(std::env::home_dir()?.join(".local/share")));
        Some(share?.join(IDENTIFIER))
    };
    set("EGRET_DATA").or_else(own)
}

/// Hears of the end of the input, and of a signal that asks to end; so the folder is taken away in either case. Blocking the
/// signals would not do: libraries of the window have threads of their own before this program begins.
fn ends() -> Result<mpsc::Receiver<()>> {
    let unable = |error: io::Error| Fault::new("signals", format!("Signals cannot be heard: {error}"));
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(unable)?;
    let entered = runtime.enter();
    let heard = |kind| signal(kind).map_err(unable);
    let (mut interrupt, mut terminate) = (heard(SignalKind::interrupt())?, heard(SignalKind::terminate())?);
    let mut hangup = heard(SignalKind::hangup())?;
    drop(entered);
    let (ended_tx, ended_rx) = mpsc::channel();
    let by_signal = ended_tx.clone();
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        // It ends already where nobody hears.
        let _ = by_signal.send(());
    });
    thread::spawn(move || {
        // What is said on it is of no interest; that it cannot be read is its end too.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = ended_tx.send(());
    });
    Ok(ended_rx)
}

/// How the watches stood when it was last said.
#[derive(Debug, Clone, Default)]
struct Watched(Arc<Mutex<Option<String>>>);

impl Watched {
    fn tell(&self, cluster: &Cluster) {
        let lost = cluster.lost().map(|(kinds, fault, _)| {
            let message = format!("{} cannot be followed: {}", kinds.join(", "), fault.message);
            Fault { message, ..fault }
        });
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = lost.as_ref().map(|fault| fault.message.clone());
        if *last != now {
            *last = now;
            say(&lost.as_ref().map_or_else(|| json!({ "well": {} }), told));
        }
    }
}

fn told(fault: &Fault) -> Value {
    json!({ "fault": { "code": fault.code, "message": fault.message, "hint": fault.hint } })
}

/// One line. Where nobody reads any more, the input has ended too.
fn say(message: &Value) {
    use io::Write as _;
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{message}").and_then(|()| output.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::{Bench, api};

    #[test]
    fn the_command_line_names_a_context_and_a_folder_and_nothing_unknown() {
        let words = |text: &str| read(text.split(' ').map(OsString::from));
        let read = words("--to /run/x --context kind-a").unwrap();
        assert_eq!((read.context.as_str(), read.kubeconfig), ("kind-a", None));
        let read = words("--context a --kubeconfig /k --to /run/x").unwrap();
        assert_eq!(read.kubeconfig, Some("/k".into()));
        for wrong in [
            "--context a",
            "--to /x",
            "--context a --to",
            "--context a --to /x --force y",
        ] {
            assert_eq!(words(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_folder_that_is_there_is_never_emptied() {
        let there = tempfile::tempdir().unwrap();
        fs::write(there.path().join("mine"), "").unwrap();
        assert_eq!(require_free(there.path()).unwrap_err().code, "exists");
        assert!(require_free(&there.path().join("new")).is_ok());
        assert!(there.path().join("mine").exists());
    }

    #[test]
    fn a_mirror_that_fails_leaves_no_folder() {
        let Some(api) = api("a_mirror_that_fails") else { return };
        // The rest of it lives as long: its folder is around the mirror's.
        let bench = Bench::open(api.kubeconfig());
        let Bench { cluster, .. } = bench;
        let folder = cluster.folder().to_path_buf();
        assert!(folder.exists());
        let (_end_tx, end_rx) = mpsc::channel();
        let wanted = Wanted {
            namespace: "default".into(),
            workload: "Deployment/nobody".parse().unwrap(),
            secrets: false,
        };
        let fault = serve_open(cluster, Some(&wanted), &end_rx).unwrap_err();
        assert!(!folder.exists(), "{fault:?}");
    }

    #[test]
    fn the_apps_data_is_where_the_window_has_it() {
        assert!(include_str!("../tauri.conf.json").contains(&format!("\"identifier\": \"{IDENTIFIER}\"")));
    }
}
