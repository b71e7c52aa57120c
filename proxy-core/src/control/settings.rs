//! Settings as written, and as checked.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use crate::{
    flow::Enforcement,
    model::{IstioVersion, Labels, WorkloadName},
    net::Forwarder,
    record::{AccessLogFormat, AccessLogTarget},
};

/// Workers at most by default: a sidecar shares its machine with what it serves.
const DEFAULT_WORKERS: usize = 2;

/// Istio's default for sidecars (`terminationDrainDuration`).
const DEFAULT_DRAIN: Duration = Duration::from_secs(5);

/// Whose policy holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkloadChoice {
    /// Namespace.
    pub namespace: String,
    /// Pod labels; a workload of the folder with these labels gives its name and annotations.
    pub labels: Labels,
    /// The workload of the folder that gives name, labels and annotations, where one was named.
    pub named: Option<WorkloadName>,
    /// Service account; empty where it is not known.
    pub service_account: String,
    /// Whether policy decides what becomes of its traffic.
    pub enforcement: Enforcement,
    /// The release of Istio to decide as, where it is chosen.
    pub istio_version: Option<IstioVersion>,
    /// Whether its DNS is captured, where it is chosen.
    pub dns_capture: Option<bool>,
}

/// What the sidecar runs with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of manifests.
    pub policy: PathBuf,
    /// Folder of another policy that is compared with.
    pub compare: Option<PathBuf>,
    /// Whose policy holds.
    pub workload: WorkloadChoice,
    /// Where the last good policy is kept for the next start.
    pub keep: Option<PathBuf>,
    /// What who pushes a policy must know, where the policy folder does not say it.
    pub push_token: Option<String>,
    /// Addresses that are dialled elsewhere.
    pub map: Vec<(SocketAddr, SocketAddr)>,
    /// Names with fixed addresses.
    pub hosts: Vec<(String, IpAddr)>,
    /// The way to the Services of a cluster that this process is not in.
    pub forwarder: Option<Forwarder>,
    /// Where the access log goes.
    pub access_log: AccessLogTarget,
    /// How it is written.
    pub access_log_format: AccessLogFormat,
    /// How long open connections may take to end.
    pub drain: Duration,
    /// Data threads.
    pub workers: usize,
}

/// Settings as they are typed.
#[derive(Debug, Clone, Default)]
pub struct RawSettings {
    /// `--policy`
    pub policy: PathBuf,
    /// `--compare DIR`
    pub compare: Option<PathBuf>,
    /// `--namespace`
    pub namespace: String,
    /// `--labels a=b,c=d`
    pub labels: String,
    /// `--workload KIND/NAME`
    pub workload: Option<WorkloadName>,
    /// `--service-account`
    pub service_account: String,
    /// `--observe`
    pub observe: bool,
    /// `--keep DIR`
    pub keep: Option<PathBuf>,
    /// By the environment: what who pushes a policy must know, where the policy folder does not say it.
    pub push_token: Option<String>,
    /// `--istio-version`
    pub istio_version: Option<IstioVersion>,
    /// `--dns-capture`
    pub dns_capture: Option<bool>,
    /// `--map ADDR:PORT=ADDR:PORT`
    pub map: Vec<String>,
    /// `--host NAME=ADDR`
    pub hosts: Vec<String>,
    /// `--access-log PATH|-`
    pub access_log: Option<PathBuf>,
    /// `--access-log-format`
    pub access_log_format: AccessLogFormat,
    /// `--drain-seconds`
    pub drain_seconds: Option<u64>,
    /// `--workers`
    pub workers: Option<usize>,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option} {value:?}: expected {expected}")]
pub struct SettingsError {
    /// The option.
    pub option: &'static str,
    /// As typed.
    pub value: String,
    /// What would be right.
    pub expected: &'static str,
}

/// Listening sockets, opened by whoever starts the sidecar: a sandbox opens them in another network namespace.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Take redirected connections.
    pub outbound: Vec<TcpListener>,
    /// Takes HTTP proxy requests.
    pub explicit: Option<TcpListener>,
    /// Admin; loopback only.
    pub admin: Option<TcpListener>,
    /// Readiness and metrics, for whoever watches over the workload.
    pub health: Option<TcpListener>,
    /// The workload's loopback is this one: what a Sidecar wants to listen on is opened beside these.
    pub beside_workload: bool,
}

impl RawSettings {
    /// Checks everything; the first thing wrong is named.
    pub fn check(self) -> Result<Settings, SettingsError> {
        let wrong = |option, value: &str, expected| SettingsError {
            option,
            value: value.to_string(),
            expected,
        };
        let map = self
            .map
            .iter()
            .map(|text| {
                let pair = text
                    .split_once('=')
                    .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
                pair.ok_or_else(|| wrong("--map", text, "ADDR:PORT=ADDR:PORT"))
            })
            .collect::<Result<_, _>>()?;
        let hosts = self
            .hosts
            .iter()
            .map(|text| {
                let pair = text
                    .split_once('=')
                    .and_then(|(name, to)| Some((name.to_string(), to.parse().ok()?)));
                pair.filter(|(name, _)| !name.is_empty())
                    .ok_or_else(|| wrong("--host", text, "NAME=ADDR"))
            })
            .collect::<Result<_, _>>()?;
        let access_log = match self.access_log {
            None => AccessLogTarget::Stdout,
            Some(path) if path.as_os_str() == "-" => AccessLogTarget::Stdout,
            Some(path) => AccessLogTarget::File(path),
        };
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Settings {
            policy: self.policy,
            compare: self.compare,
            workload: WorkloadChoice {
                namespace: self.namespace,
                labels: labels(&self.labels)?,
                named: self.workload,
                service_account: self.service_account,
                enforcement: match self.observe {
                    true => Enforcement::Observe,
                    false => Enforcement::Enforce,
                },
                istio_version: self.istio_version,
                dns_capture: self.dns_capture,
            },
            keep: self.keep,
            push_token: self.push_token,
            map,
            hosts,
            forwarder: None,
            access_log,
            access_log_format: self.access_log_format,
            drain: self.drain_seconds.map_or(DEFAULT_DRAIN, Duration::from_secs),
            workers: self.workers.unwrap_or(available.min(DEFAULT_WORKERS)).clamp(1, 64),
        })
    }
}

/// `a=b,c=d`.
fn labels(text: &str) -> Result<Labels, SettingsError> {
    text.split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| {
            let split = pair
                .split_once('=')
                .map(|(key, value)| (key.trim().to_string(), value.trim().to_string()));
            split.filter(|(key, _)| !key.is_empty()).ok_or_else(|| SettingsError {
                option: "--labels",
                value: pair.to_string(),
                expected: "key=value, several separated by commas",
            })
        })
        .collect()
}

/// Fixed names in the form that a resolver takes.
pub(crate) fn host_table(hosts: &[(String, IpAddr)]) -> HashMap<String, Vec<IpAddr>> {
    let mut table: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for (name, address) in hosts {
        table.entry(name.to_ascii_lowercase()).or_default().push(*address);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_option_is_named_with_what_was_expected() {
        let raw = |change: &dyn Fn(&mut RawSettings)| {
            let mut raw = RawSettings::default();
            change(&mut raw);
            raw.check().map_err(|error| error.to_string())
        };
        assert_eq!(
            raw(&|raw| raw.map = vec!["1.2.3.4=1.2.3.4:1".into()]).unwrap_err(),
            "--map \"1.2.3.4=1.2.3.4:1\": expected ADDR:PORT=ADDR:PORT"
        );
        assert!(
            raw(&|raw| raw.hosts = vec!["=1.2.3.4".into()])
                .unwrap_err()
                .starts_with("--host")
        );
        assert!(
            raw(&|raw| raw.labels = "app".into())
                .unwrap_err()
                .starts_with("--labels \"app\"")
        );
        let fine = raw(&|raw| raw.labels = "app=sleep, v=1,".into()).unwrap();
        assert_eq!(fine.workload.labels.len(), 2);
    }
}
