//! What `/config` says of the policy in force.

use std::{fmt, time::Instant};

use serde::Serialize;
use time::OffsetDateTime;

use super::WorkloadChoice;
use crate::{flow::Enforcement, policy::Snapshot, record::Timestamp, source::Reading};

/// Where the policy in force comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The policy folder.
    #[default]
    Mounted,
    /// `PUT /policy`.
    Pushed,
    /// What was kept when the sidecar ran before.
    Kept,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mounted => "mounted",
            Self::Pushed => "pushed",
            Self::Kept => "kept",
        })
    }
}

/// What `/config` says.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyState {
    /// Hash of the policy in force.
    pub hash: String,
    /// Where it comes from.
    pub source: Origin,
    /// Which one of several for the same place it is, where it says so.
    pub generation: Option<u64>,
    /// Objects read.
    pub objects: u32,
    /// Files read.
    pub files: usize,
    /// When the policy in force was loaded; for a kept one, when it first was.
    pub loaded: String,
    /// The same as a time.
    #[serde(skip)]
    since: OffsetDateTime,
    /// Seconds since then.
    pub age_seconds: u64,
    /// How long reading and compiling took.
    pub load_ms: u64,
    /// Outbound mode in force.
    pub mode: String,
    /// True where policy is only watched.
    pub observe: bool,
    /// Namespace of the workload.
    pub namespace: String,
    /// Name of the workload, where the folder declares it.
    pub workload: String,
    /// Its service account, where it is known.
    pub service_account: String,
    /// The release of Istio that it is decided as.
    pub istio_version: String,
    /// What is wrong in the folder now; the last good version of each file is in force.
    pub errors: Vec<String>,
    /// Sockets that a Sidecar wants to listen on and that cannot be opened, each with the reason.
    pub unopened: Vec<String>,
    /// Excluded ranges in force: what never reaches the sidecar.
    pub exclude_ranges: Vec<String>,
    /// Excluded ports in force.
    pub exclude_ports: Vec<u16>,
    /// Included ranges in force; `None` is everything.
    pub include_ranges: Option<Vec<String>>,
}

impl PolicyState {
    /// The same, with the age that the policy has by now, and the sockets that cannot be opened.
    pub(super) fn by_now(self, unopened: Vec<String>) -> Self {
        Self {
            age_seconds: age_seconds(self.since),
            unopened,
            ..self
        }
    }
}

fn age_seconds(since: OffsetDateTime) -> u64 {
    let age = (OffsetDateTime::now_utc() - since).whole_seconds();
    u64::try_from(age).unwrap_or_default()
}

/// Which policy is in force, and since when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub origin: Origin,
    pub generation: Option<u64>,
    pub since: OffsetDateTime,
}

impl Standing {
    /// One that is in force from now on.
    pub fn from_now(origin: Origin, generation: Option<u64>) -> Self {
        Self {
            origin,
            generation,
            since: OffsetDateTime::now_utc(),
        }
    }

    /// True where a policy of this generation comes before this one; one without a generation never does.
    pub fn is_newer_than(&self, generation: Option<u64>) -> bool {
        matches!((self.generation, generation), (Some(own), Some(other)) if other < own)
    }
}

/// What a policy that was read and compiled says.
pub(super) fn state(
    reading: &Reading,
    snapshot: &Snapshot,
    choice: &WorkloadChoice,
    standing: &Standing,
    started: Instant,
) -> PolicyState {
    let capture = snapshot.capture();
    let texts = |ranges: &[ipnet::IpNet]| ranges.iter().map(ToString::to_string).collect::<Vec<_>>();
    PolicyState {
        hash: snapshot.hash().to_string(),
        source: standing.origin,
        generation: standing.generation,
        objects: reading.objects,
        files: reading.files,
        loaded: Timestamp(standing.since).to_string(),
        since: standing.since,
        age_seconds: age_seconds(standing.since),
        load_ms: started.elapsed().as_millis() as u64,
        mode: snapshot.mode().mode.to_string(),
        observe: choice.enforcement == Enforcement::Observe,
        // Asked for with `by_now`: they are tried again while it holds.
        unopened: Vec::new(),
        namespace: snapshot.workload().namespace.to_string(),
        workload: snapshot.workload().name.to_string(),
        service_account: choice.service_account.clone(),
        istio_version: snapshot.version().to_string(),
        errors: reading.errors.iter().map(ToString::to_string).collect(),
        exclude_ranges: texts(&capture.exclude_ranges),
        exclude_ports: capture.exclude_ports.clone(),
        include_ranges: capture.include_ranges.as_deref().map(texts),
    }
}
