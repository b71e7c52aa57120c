//! `egret-proxy exec`: a command in a private network, all its TCP and DNS through the sidecar.

use std::{
    fs::OpenOptions,
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use clap::{Args, builder::ArgPredicate};

use super::{
    dns,
    mirror::{Asked, Mirror},
    run::{SidecarOptions, listen, log_to_stderr},
    taken::Taken,
};
use crate::{
    control::{self, Settings},
    net::{Dialer, Forwarder, OtherNames},
    policy::Capture,
    record::{AccessLogTarget, FlowWorkload},
    sandbox::{self, Command, Fault, Plan, Redirect, Relay, Sandbox, Signals},
};

/// How long new capture rules may take; the kernel needs some milliseconds.
const RULES: Duration = Duration::from_secs(5);

/// Arguments of `exec`.
#[derive(Debug, Args)]
// The policy can come from a cluster instead, in a folder that is not known yet.
#[command(mut_arg("policy", |policy| policy
    .required(false)
    .required_unless_present("context")
    .default_value_if("context", ArgPredicate::IsPresent, "cluster")))]
pub struct Exec {
    #[command(flatten)]
    sidecar: SidecarOptions,
    /// The policy of the cluster that this context of the kubeconfig leads to, kept up while the command runs
    #[arg(long, value_name = "NAME", conflicts_with = "policy")]
    context: Option<String>,
    /// The kubeconfig; by default KUBECONFIG, else ~/.kube/config
    #[arg(long, value_name = "FILE", requires = "context")]
    kubeconfig: Option<PathBuf>,
    /// Start the command with the variables of the workload's container too, without those that come from Secrets
    #[arg(long, requires = "context", requires = "workload")]
    environment: bool,
    /// Take over those that come from Secrets too; they are written to no disk
    #[arg(long, requires = "environment")]
    secrets: bool,
    /// Read what of the workload the command gets from standard input first: a line with its length, then as JSON
    #[arg(long, hide = true, conflicts_with = "environment")]
    taken_from_stdin: bool,
    /// Admin server, loopback only
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// HTTP proxy beside the private network
    #[arg(long, value_name = "ADDR")]
    explicit: Option<SocketAddr>,
    /// File for connections that bypass the sidecar, a line of JSON each; - for standard error
    #[arg(long, value_name = "PATH|-")]
    relay_log: Option<PathBuf>,
    /// Certificate authority that the command shall trust (SSL_CERT_FILE, CURL_CA_BUNDLE)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The command
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Exec {
    /// The command's exit code; 2 when it cannot be started.
    pub fn run(self) -> ExitCode {
        log_to_stderr();
        match self.serve() {
            Ok(code) => ExitCode::from(code),
            Err(error) => super::fail(&error),
        }
    }

    fn serve(self) -> Result<u8, Box<dyn std::error::Error>> {
        // Standard output is the command's.
        let quiet = self.sidecar.access_log.is_none();
        let mut settings = self.sidecar.raw().check()?;
        // Before the signals are held: it ends with its input, and is asked by nobody else.
        let named = settings.workload.named.as_ref();
        let asked = self.context.as_ref().map(|context| Asked {
            context,
            kubeconfig: self.kubeconfig.as_deref(),
            environment: named
                .filter(|_| self.environment)
                .map(|named| (named, settings.workload.namespace.as_str())),
            secrets: self.secrets,
        });
        let mut mirror = asked.as_ref().map(Mirror::start).transpose()?;
        let taken = match (&mut mirror, self.taken_from_stdin) {
            (_, true) => Taken::from_stdin()?,
            (Some(mirror), false) => mirror.take(),
            (None, false) => Taken::default(),
        };
        let mut environment = taken.variables;
        settings.forwarder = match &mirror {
            Some(mirror) => {
                settings.policy = mirror.folder();
                Some(mirror.forwarder(&settings.workload.namespace))
            }
            None => Forwarder::from_environment(&settings.workload.namespace)?,
        };
        if quiet {
            settings.access_log = AccessLogTarget::Off;
        }
        // Before anything is started: everything around the command inherits it.
        let signals = Signals::hold()?;
        let (sandbox, sockets) = Sandbox::open()?;
        let sandbox = Arc::new(sandbox);
        let relay_log: Box<dyn Write + Send> = match &self.relay_log {
            Some(path) if path.as_os_str() != "-" => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
            Some(_) => Box::new(std::io::stderr()),
            None => Box::new(std::io::sink()),
        };
        let (map, hosts, drain) = (settings.map.clone(), settings.hosts.clone(), settings.drain);
        let forwarder = settings.forwarder.clone();
        let sidecar = control::start(
            settings.clone(),
            control::Sockets {
                outbound: vec![sockets.outbound],
                explicit: self.explicit.map(|address| listen("--explicit", address)).transpose()?,
                admin: self.admin.map(|address| listen("--admin", address)).transpose()?,
                health: None,
                // The command has a loopback of its own.
                beside_workload: false,
            },
        )?;
        let redirect = Redirect::Sandbox(sandbox.ports());
        let starting = redirect.clone();
        let (replaced_tx, replaced_rx) = mpsc::channel();
        let (replacing, replaced_rx) = (sandbox.clone(), Mutex::new(replaced_rx));
        let begin = |capture: &Capture| sandbox.install(Plan::of(capture, &starting));
        let change = move |capture: &Capture| {
            let rules = Plan::of(capture, &redirect);
            let replaced = replaced_rx.lock().unwrap_or_else(PoisonError::into_inner);
            // An answer that came too late for an earlier set says nothing of this one.
            while replaced.try_recv().is_ok() {}
            let outcome = replacing.replace_rules(rules).and_then(|()| {
                replaced
                    .recv_timeout(RULES)
                    .unwrap_or_else(|error| Err(Fault::lost("replacing rules", error)))
            });
            if let Err(fault) = outcome {
                tracing::error!(%fault, "the capture rules could not be replaced");
            }
        };
        sidecar.on_capture(begin, change)?;
        let table = Arc::new(control::host_table(&hosts));
        dns::answer(
            sockets.dns,
            &sidecar,
            OtherNames::Resolved(table.clone(), forwarder.clone()),
        )?;
        let relay = Arc::new(Relay {
            dialer: Dialer::new(map).through(forwarder),
            policy: sidecar.in_force(),
            workload: workload(&settings, &sidecar).into(),
            log: Mutex::new(relay_log),
            count: Default::default(),
            open: Default::default(),
        });
        let relaying = relay.clone();
        thread::Builder::new().name("relay".into()).spawn(move || {
            if let Err(error) = sandbox::serve_relay(sockets.relay, relaying) {
                tracing::error!(%error, "the relay ended");
            }
        })?;
        let told = sandbox.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            while let Ok(signal) = signals.next() {
                if let Err(fault) = told.signal(signal) {
                    tracing::error!(%fault, %signal, "a signal did not reach the command");
                }
            }
        })?;
        if let Some(ca) = &self.ca {
            let ca = ca.display().to_string();
            environment.insert("SSL_CERT_FILE".to_string(), ca.clone());
            environment.insert("CURL_CA_BUNDLE".to_string(), ca);
        }
        let command = Command {
            argv: self.command,
            environment,
            files: taken.files,
        };
        let code = sandbox.run(command, |outcome| {
            // Who waited for it may have given up.
            let _ = replaced_tx.send(outcome);
        })?;
        relay.finish(drain);
        sidecar.drain();
        drop(mirror);
        Ok(code)
    }
}

fn workload(settings: &Settings, sidecar: &control::Sidecar) -> FlowWorkload {
    FlowWorkload {
        namespace: settings.workload.namespace.clone(),
        name: sidecar.workload_name(),
        labels: settings.workload.labels.clone(),
    }
}

/// Arguments of `inside`, the helper of `exec`.
#[derive(Debug, Args)]
pub struct Inside {}

/// Arguments of `init`, the first process of a sandbox.
#[derive(Debug, Args)]
pub struct Init {
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Arguments of `become`, the command before it is one.
#[derive(Debug, Args)]
pub struct Become {
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

impl Inside {
    /// Enters the namespaces and serves its parent.
    pub fn run(self) -> ExitCode {
        sandbox::inside()
    }
}

impl Init {
    /// Runs the command without any rights.
    pub fn run(self) -> ExitCode {
        sandbox::init(&self.command)
    }
}

impl Become {
    /// Lets signals through and becomes the command.
    pub fn run(self) -> ExitCode {
        sandbox::become_command(&self.command)
    }
}
