//! `egret-proxy run`: the sidecar.

use std::{
    env, fs, future,
    io::{self, IsTerminal},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::ExitCode,
    task::Poll,
};

use clap::Args;
use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit, setrlimit},
};
use tokio::{
    runtime::{self, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};
use tracing::Level;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use super::dns;
use crate::{
    control::{self, RawSettings, Sockets},
    model::{IstioVersion, WorkloadName},
    net::{Forwarder, OtherNames, ResolvConf},
    record::AccessLogFormat,
};

/// Options that every subcommand with a sidecar takes.
#[derive(Debug, Clone, Args)]
pub struct SidecarOptions {
    /// Folder of Istio manifests; read again whenever it changes
    #[arg(long, value_name = "DIR")]
    pub policy: PathBuf,
    /// Another policy, which decides everything too and changes nothing: /flows says what would be different under it
    #[arg(long, value_name = "DIR", conflicts_with = "observe")]
    pub compare: Option<PathBuf>,
    /// Connect to the second address where the first is asked for (repeatable)
    #[arg(long, value_name = "ADDR:PORT=ADDR:PORT")]
    pub map: Vec<String>,
    /// What a name resolves to (repeatable); other names go to the system's resolver
    #[arg(long = "host", value_name = "NAME=ADDR")]
    pub hosts: Vec<String>,
    /// Namespace of the workload
    #[arg(long, short, default_value = "default")]
    pub namespace: String,
    /// The workload of the manifests to act as: deploy/NAME, sts/NAME, ds/NAME, pod/NAME
    #[arg(long, value_name = "KIND/NAME", conflicts_with = "labels")]
    pub workload: Option<WorkloadName>,
    /// Labels of the workload
    #[arg(long, default_value = "", value_name = "a=b,c=d")]
    pub labels: String,
    /// Service account of the workload
    #[arg(long, default_value = "", value_name = "NAME")]
    pub service_account: String,
    /// Let everything pass, and record the verdict that it would get
    #[arg(long)]
    pub observe: bool,
    /// The release of Istio to decide as, such as 1.24; by default the one that the mesh config names, else the newest
    #[arg(long, value_name = "VERSION")]
    pub istio_version: Option<IstioVersion>,
    /// Decide as a sidecar that captures DNS, or as one that does not; else the workload's ISTIO_META_DNS_CAPTURE counts
    #[arg(long, value_name = "true|false")]
    pub dns_capture: Option<bool>,
    /// File for the access log, - for standard output
    #[arg(long, value_name = "PATH|-")]
    pub access_log: Option<PathBuf>,
    /// Format of the access log
    #[arg(long, value_enum, default_value_t)]
    pub access_log_format: AccessLogFormat,
    /// How long open connections may take to end on SIGTERM
    #[arg(long, value_name = "SECONDS")]
    pub drain_seconds: Option<u64>,
    /// Data threads; by default one for each CPU, two at most
    #[arg(long)]
    pub workers: Option<usize>,
}

impl SidecarOptions {
    /// As settings that are not checked yet.
    pub fn raw(self) -> RawSettings {
        RawSettings {
            policy: self.policy,
            compare: self.compare,
            namespace: self.namespace,
            labels: self.labels,
            workload: self.workload,
            service_account: self.service_account,
            observe: self.observe,
            keep: None,
            push_token: None,
            istio_version: self.istio_version,
            dns_capture: self.dns_capture,
            map: self.map,
            hosts: self.hosts,
            access_log: self.access_log,
            access_log_format: self.access_log_format,
            drain_seconds: self.drain_seconds,
            workers: self.workers,
        }
    }
}

/// What who pushes a policy, or ends the sidecar, must know, where nothing is mounted that says it.
const PUSH_TOKEN: &str = "EGRET_PUSH_TOKEN";

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    sidecar: SidecarOptions,
    /// Where redirected connections arrive (SO_ORIGINAL_DST tells their destination; repeatable: IPv4 and IPv6)
    #[arg(long, default_value = "127.0.0.1:15001", value_name = "ADDR")]
    outbound: Vec<SocketAddr>,
    /// HTTP proxy for systems without redirection (CONNECT and absolute-form)
    #[arg(long, value_name = "ADDR")]
    explicit: Option<SocketAddr>,
    /// Admin server, loopback only: /ready /metrics /config /flows /hold, PUT /policy, POST /end
    #[arg(long, default_value = "127.0.0.1:15000", value_name = "ADDR")]
    admin: SocketAddr,
    /// /ready and /metrics alone, for whoever watches over the workload from outside
    #[arg(long, value_name = "ADDR")]
    health: Option<SocketAddr>,
    /// Answer DNS here (UDP and TCP; repeatable): names that the policy has addresses for, where DNS is captured
    /// (--dns-capture); all others are asked on
    #[arg(long, value_name = "ADDR")]
    dns: Vec<SocketAddr>,
    /// Whom other names are asked of (repeatable); by default the servers of /etc/resolv.conf
    #[arg(long, value_name = "ADDR", requires = "dns")]
    dns_server: Vec<SocketAddr>,
    /// Keep the last good policy here; with it the sidecar starts where the folder cannot be read or is older
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

impl Run {
    /// Runs until SIGTERM or SIGINT, then drains.
    pub fn run(self) -> ExitCode {
        log_to_stderr();
        match self.serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => super::fail(&error),
        }
    }

    fn serve(self) -> Result<(), Box<dyn std::error::Error>> {
        let raw = RawSettings {
            keep: self.keep,
            push_token: env::var(PUSH_TOKEN).ok(),
            ..self.sidecar.raw()
        };
        let mut settings = raw.check()?;
        settings.forwarder = Forwarder::from_environment(&settings.workload.namespace)?;
        raise_descriptor_limit();
        let dns_sockets = listen_for_redirected("--dns", &self.dns, dns::listen)?;
        let sockets = Sockets {
            outbound: listen_for_redirected("--outbound", &self.outbound, TcpListener::bind)?,
            explicit: self.explicit.map(|address| listen("--explicit", address)).transpose()?,
            admin: Some(listen("--admin", self.admin)?),
            health: self.health.map(|address| listen("--health", address)).transpose()?,
            beside_workload: true,
        };
        let outbound = sockets.outbound.iter().map(|socket| ("outbound", socket));
        let of_dns = dns_sockets.iter().map(|(_, socket)| ("dns", socket));
        let others = [
            ("explicit", &sockets.explicit),
            ("admin", &sockets.admin),
            ("health", &sockets.health),
        ];
        let others = others
            .into_iter()
            .filter_map(|(name, socket)| Some((name, socket.as_ref()?)));
        let addresses: Vec<_> = outbound
            .chain(of_dns)
            .chain(others)
            .filter_map(|(name, socket)| Some(format!("{name} {}", socket.local_addr().ok()?)))
            .collect();
        let sidecar = control::start(settings, sockets)?;
        // Before it says that it runs: who ends it at once is not to end what it has been given already. Not before it is
        // started, which may wait for its policy.
        let end = End::listen()?;
        let mut resolv_conf = ResolvConf::read();
        if !self.dns_server.is_empty() {
            resolv_conf.servers = self.dns_server;
        }
        dns::answer(dns_sockets, &sidecar, OtherNames::Asked(resolv_conf))?;
        let state = sidecar.policy();
        tracing::info!(
            listening = addresses.join(", "),
            policy = state.hash,
            source = %state.source,
            objects = state.objects,
            mode = state.mode,
            "sidecar runs"
        );
        end.wait();
        sidecar.drain();
        Ok(())
    }
}

/// Messages for the operator go to standard error; standard output may be the access log.
pub fn log_to_stderr() {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // The watcher tells of each folder that went away before it was let go of, as with every change of a ConfigMap.
    let worth_saying = Targets::new()
        .with_default(Level::INFO)
        .with_target("notify", Level::WARN);
    tracing_subscriber::registry().with(lines).with(worth_saying).init();
}

/// Opens a listening socket; the error names the option.
pub fn listen(option: &str, address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).map_err(|error| cannot_listen(option, address, &error))
}

fn cannot_listen(option: &str, address: SocketAddr, error: &std::io::Error) -> String {
    format!("{option} {address}: {error}; another process may listen there, choose another port")
}

/// Opens the sockets that what is redirected arrives at. A system without IPv6 has nothing of the kind over it.
fn listen_for_redirected<S>(
    option: &str,
    addresses: &[SocketAddr],
    bind: impl Fn(SocketAddr) -> io::Result<S>,
) -> Result<Vec<S>, String> {
    let mut sockets = Vec::with_capacity(addresses.len());
    for address in addresses {
        match bind(*address) {
            Ok(socket) => sockets.push(socket),
            Err(error) if address.is_ipv6() && addresses.len() > 1 && has_no_such_address(&error) => {
                tracing::warn!(%address, %error, "no IPv6 here: left out");
            }
            Err(error) => return Err(cannot_listen(option, *address, &error)),
        }
    }
    Ok(sockets)
}

fn has_no_such_address(error: &std::io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL))
}

/// Each connection takes two descriptors and the usual soft limit is 1024. Where it cannot be raised the sidecar runs
/// with what it has, and pauses accepting when that is used up.
fn raise_descriptor_limit() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// What ends the sidecar: being told so, or its terminal being closed.
struct End {
    runtime: Runtime,
    signals: Vec<Signal>,
}

impl End {
    /// From here on a signal ends nothing by itself.
    fn listen() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let mut signals = vec![signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
        if !ignores_hangup() {
            signals.push(signal(SignalKind::hangup())?);
        }
        drop(entered);
        Ok(Self { runtime, signals })
    }

    fn wait(mut self) {
        self.runtime.block_on(future::poll_fn(|context| {
            let mut came = self.signals.iter_mut().map(|signal| signal.poll_recv(context));
            match came.any(|signal| signal.is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
    }
}

/// True where whoever started this wants it to outlive the terminal, as `nohup` does; listening for the signal would undo it.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The first bit stands for the first signal, SIGHUP.
    ignored.is_some_and(|mask| mask & 1 == 1)
}
