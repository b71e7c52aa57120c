//! A cluster's policy for as long as a command runs. This program has no Kubernetes client; the app's has, and is started
//! beside it as `egret mirror`: it keeps a folder equal to what the cluster says, and forwards to Services.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use serde::Deserialize;
use tempfile::TempDir;

use super::taken::Taken;
use crate::{model::WorkloadName, net::Forwarder};

/// Names the app's program.
const APP: &str = "EGRET_APP";
/// Where it is otherwise, from this program's folder: beside it, or as the packages have it.
const PLACES: [&str; 3] = ["egret", "../bin/egret", "../../bin/egret"];

/// The running mirror. Dropping it ends it, and takes the folder away.
pub struct Mirror {
    child: Child,
    /// Around the folder: only this user can look into it.
    around: TempDir,
    address: SocketAddr,
    token: String,
    taken: Taken,
}

/// What is asked of it.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The context of the kubeconfig.
    pub context: &'a str,
    /// The file, where it is not the one that kubectl reads.
    pub kubeconfig: Option<&'a Path>,
    /// The workload whose variables are wanted, with its namespace.
    pub environment: Option<(&'a WorkloadName, &'a str)>,
    /// Those that come from Secrets too.
    pub secrets: bool,
}

/// What it says, a line of JSON each. Some of it is secret.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    /// How far connecting is.
    Step(String),
    /// The variables that were asked for, and in words what was left out of them.
    Environment {
        #[serde(flatten)]
        taken: Taken,
        left_out: Vec<String>,
    },
    /// The folder is complete.
    Ready { forwarder: SocketAddr, token: String },
    /// What cannot be read now, or could not be connected to.
    Fault { message: String, hint: Option<String> },
    /// Everything can be read again.
    Well {},
}

/// Why there is no mirror.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The app is not here.
    #[error(
        "--context needs the app `egret`, which has the connection to the cluster: it is neither beside {0} nor in PATH; \
         install it, or name it in {APP}. Without it: copy the manifests into a folder, and use --policy"
    )]
    NoApp(PathBuf),
    /// The system refused something.
    #[error("the cluster's policy: {0}")]
    System(#[from] std::io::Error),
    /// What the app said.
    #[error("{0}")]
    Told(String),
    /// It said nothing that explains it.
    #[error("`egret mirror` ended before the cluster's policy was there; its own words are above")]
    Ended,
}

impl Mirror {
    /// Connects to the context and returns once everything is listed.
    pub fn start(asked: &Asked<'_>) -> Result<Self, Fault> {
        let app = app()?;
        let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let folder_in = |root: PathBuf| tempfile::Builder::new().prefix("egret-exec-").tempdir_in(root);
        // In memory where this user has a folder for that; the variable may be another one's.
        let around = runtime
            .and_then(|root| folder_in(root).ok())
            .map_or_else(|| folder_in(env::temp_dir()), Ok)?;
        let mut command = Command::new(app);
        command.args(["mirror", "--context", asked.context, "--to"]);
        command.arg(inside(&around));
        if let Some(file) = asked.kubeconfig {
            command.arg("--kubeconfig").arg(file);
        }
        if let Some((workload, namespace)) = asked.environment {
            command.args(["--environment", &workload.to_string(), "--namespace", namespace]);
        }
        if asked.secrets {
            command.arg("--secrets");
        }
        // Ctrl+C in a terminal is for the command; the mirror ends with this process, by its input.
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().map(BufReader::new).ok_or(Fault::Ended)?;
        let mut own = Self {
            child,
            around,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: String::new(),
            taken: Taken::default(),
        };
        let mut lines = said(output);
        loop {
            match lines.next() {
                Some(Said::Ready { forwarder, token }) => {
                    (own.address, own.token) = (forwarder, token);
                    break;
                }
                Some(Said::Environment { taken, left_out }) => {
                    for each in left_out {
                        tracing::info!("not taken over: {each}");
                    }
                    own.taken = taken;
                }
                Some(Said::Fault { message, hint }) => return Err(Fault::Told(told(message, hint))),
                Some(Said::Step(step)) => tracing::debug!(step, "connecting to the cluster"),
                Some(Said::Well {}) => {}
                None => return Err(Fault::Ended),
            }
        }
        thread::Builder::new().name("mirror".into()).spawn(move || {
            for said in lines {
                match said {
                    Said::Fault { message, hint } => tracing::warn!("{}", told(message, hint)),
                    Said::Well {} => tracing::info!("the cluster's policy is followed again"),
                    Said::Step(_) | Said::Environment { .. } | Said::Ready { .. } => {}
                }
            }
        })?;
        Ok(own)
    }

    /// What the cluster says, as manifests.
    pub fn folder(&self) -> PathBuf {
        inside(&self.around)
    }

    /// Variables and files of the workload, where they were asked for.
    pub fn take(&mut self) -> Taken {
        std::mem::take(&mut self.taken)
    }

    /// The way to its Services for a workload of `namespace`.
    pub fn forwarder(&self, namespace: &str) -> Forwarder {
        Forwarder::new(self.address, &self.token, namespace)
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.child.stdin.take();
        let _ = self.child.wait();
    }
}

fn inside(around: &TempDir) -> PathBuf {
    around.path().join("policy")
}

fn said(output: impl Read) -> impl Iterator<Item = Said> {
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_str(&line).ok())
}

fn told(message: String, hint: Option<String>) -> String {
    match hint {
        Some(hint) => format!("{message} {hint}"),
        None => message,
    }
}

fn app() -> Result<PathBuf, Fault> {
    if let Some(named) = env::var_os(APP) {
        return Ok(named.into());
    }
    let own = env::current_exe()?;
    let beside = own.parent().into_iter();
    let beside = beside.flat_map(|folder| PLACES.map(|place| folder.join(place)));
    let path = env::var_os("PATH").unwrap_or_default();
    let found = found(beside.chain(in_path(&path)));
    found.ok_or(Fault::NoApp(own))
}

fn in_path(path: &OsStr) -> impl Iterator<Item = PathBuf> {
    env::split_paths(path).map(|folder| folder.join("egret"))
}

fn found(mut places: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    places.find(|place| place.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_mirror_says_is_read_line_by_line_and_what_is_no_line_of_it_is_passed_over() {
        let text = "{\"step\":\"version\"}\nGtk-WARNING\n{\"ready\":{\"forwarder\":\"127.0.0.1:4\",\"token\":\"t\"}}\n\
                    {\"fault\":{\"message\":\"Lost.\",\"hint\":\"Wait.\"}}\n{\"well\":{}}\n";
        let all: Vec<Said> = said(text.as_bytes()).collect();
        assert_eq!(all.len(), 4);
        assert!(matches!(&all[1], Said::Ready { forwarder, .. } if forwarder.port() == 4));
        assert!(matches!(&all[2], Said::Fault { hint: Some(hint), .. } if hint == "Wait."));
    }
}
