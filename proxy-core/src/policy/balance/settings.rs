//! What a traffic policy says of the choice among endpoints, with the defaults of Istio and Envoy in their places. Source:
//! Istio's `applyLoadBalancer`, `applyOutlierDetection` and `ConsistentHashToHashPolicy`.

use std::{fmt, time::Duration};

use super::{Spread, table};
use crate::model::{
    ConsistentHash, HashAlgorithm, LoadBalancer, OutlierDetection, SimpleBalancer, TrafficPolicy, Warmup,
};

/// How one of a cluster's endpoints is chosen, where something is said of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Balance {
    /// How one of several is chosen.
    pub balancer: Balancer,
    /// Who is new gets its share little by little.
    pub warmup: Option<SlowStart>,
    /// Who fails is left out for a while.
    pub outlier: Option<Outlier>,
    /// Of how many percent of healthy endpoints on all are called, since too few are left.
    pub panic_percent: u32,
    /// Endpoints that are not all alike.
    pub spread: Option<Spread>,
}

/// How one of several endpoints is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balancer {
    /// The less busy one of two that are drawn.
    #[default]
    LeastRequest,
    /// Each in its turn.
    RoundRobin,
    /// One that is drawn.
    Random,
    /// The next point of a ring.
    Ring {
        /// How many points it has at least.
        minimum: u64,
    },
    /// A place of a table.
    Maglev {
        /// How many places it has.
        size: u64,
    },
}

/// How the share of an endpoint that is new grows, for turns and for who is less busy. Envoy documents it of
/// `SlowStartConfig`: the weight times the larger of `min_weight_percent` and `time_factor ^ (1 / aggression)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowStart {
    /// How long an endpoint is new.
    pub window: Duration,
    /// How fast its share grows at first: 1 is steadily, more is faster.
    pub aggression: f64,
    /// The share in percent that it has at least.
    pub minimum_percent: f64,
}

impl SlowStart {
    fn of(written: &LoadBalancer, balancer: Balancer) -> Option<Self> {
        if !matches!(balancer, Balancer::RoundRobin | Balancer::LeastRequest) {
            return None;
        }
        let of_duration = |duration| Warmup {
            duration: Some(duration),
            ..Warmup::default()
        };
        let warmup = written.warmup.or(written.warmup_duration.map(of_duration))?;
        Some(Self {
            window: warmup.duration.filter(|window| !window.is_zero())?,
            aggression: warmup.aggression,
            minimum_percent: warmup.minimum_percent,
        })
    }

    /// The part of its weight that counts of an endpoint known for so long. Envoy: `applySlowStartFactor`, by which a
    /// millisecond has passed in any case.
    pub fn part(&self, known_for: Duration) -> f64 {
        if known_for >= self.window {
            return 1.0;
        }
        let time = known_for.max(Duration::from_millis(1)).div_duration_f64(self.window);
        time.powf(self.aggression.recip()).max(self.minimum_percent / 100.0)
    }
}

impl fmt::Display for SlowStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let window = self.window.as_millis();
        write!(
            f,
            "the share of one that is new grows from {} % for {window} ms",
            self.minimum_percent
        )
    }
}

/// Outlier detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlier {
    /// So many errors in a row eject; 0 is never.
    pub consecutive_5xx: u32,
    /// So many of 502, 503, 504.
    pub consecutive_gateway: u32,
    /// So many failures that the sidecar itself saw, where these are counted apart.
    pub consecutive_local: Option<u32>,
    /// How often it is looked who may return.
    pub interval: Duration,
    /// How long the first ejection lasts; each further one lasts as much longer.
    pub base_time: Duration,
    /// No ejection lasts longer.
    pub max_time: Duration,
    /// No more of all endpoints are ejected at once.
    pub max_percent: u32,
}

impl Outlier {
    pub(super) fn of(written: &OutlierDetection) -> Self {
        // Envoy's default.
        let base_time = written.base_ejection_time.unwrap_or(Duration::from_secs(30));
        Self {
            consecutive_5xx: written.consecutive_5xx.unwrap_or(5),
            // Envoy counts five by itself, and acts on none.
            consecutive_gateway: written.consecutive_gateway.unwrap_or(0),
            consecutive_local: written
                .splits_local
                .then(|| written.consecutive_local.filter(|count| *count > 0).unwrap_or(5)),
            interval: written.interval.unwrap_or(Duration::from_secs(10)),
            base_time,
            max_time: base_time.max(Duration::from_secs(300)),
            max_percent: match written.max_ejection_percent {
                1.. => written.max_ejection_percent.unsigned_abs().min(100),
                _ => 10,
            },
        }
    }
}

impl Balancer {
    fn of(written: Option<&LoadBalancer>) -> Self {
        let Some(written) = written else {
            return Self::default();
        };
        match (&written.consistent_hash, written.simple) {
            (Some(hash), _) => Self::of_hash(hash),
            (None, SimpleBalancer::Random) => Self::Random,
            (None, SimpleBalancer::RoundRobin) => Self::RoundRobin,
            (None, SimpleBalancer::Unspecified | SimpleBalancer::LeastRequest | SimpleBalancer::Passthrough) => {
                Self::LeastRequest
            }
        }
    }

    fn of_hash(hash: &ConsistentHash) -> Self {
        let or = |size: u64, default| if size == 0 { default } else { size };
        match hash.algorithm {
            HashAlgorithm::Maglev(size) => Self::Maglev {
                // What Istio does not take would have no table, or one that is never full.
                size: match (2..table::MAGLEV_SIZES_END).contains(&size) && table::is_prime(size) {
                    true => size,
                    false => table::MAGLEV_SIZE,
                },
            },
            HashAlgorithm::Ring(minimum) => Self::Ring {
                minimum: or(minimum, 1024),
            },
            HashAlgorithm::Unspecified => Self::Ring {
                minimum: or(hash.minimum_ring_size, 1024),
            },
        }
    }

    /// True where a hash chooses.
    pub fn hashes(self) -> bool {
        matches!(self, Self::Ring { .. } | Self::Maglev { .. })
    }
}

/// What a policy and the endpoints' places come to; `None` where nothing is said and all endpoints are alike.
pub(in crate::policy) fn balance_of(policy: Option<&TrafficPolicy>, spread: Option<Spread>) -> Option<Box<Balance>> {
    let written = policy.and_then(|policy| policy.outlier_detection.as_ref());
    let load_balancer = policy.and_then(|policy| policy.load_balancer.as_ref());
    let balancer = Balancer::of(load_balancer);
    let balance = Balance {
        balancer,
        warmup: load_balancer.and_then(|written| SlowStart::of(written, balancer)),
        outlier: written.map(Outlier::of),
        // Without outlier detection nobody is ever missing.
        panic_percent: written.map_or(0, |written| written.min_health_percent.max(0).unsigned_abs()),
        spread,
    };
    (balance != Balance::default()).then(|| Box::new(balance))
}

impl fmt::Display for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeastRequest => f.write_str("LEAST_REQUEST, the less busy one of two that are drawn"),
            Self::RoundRobin => f.write_str("ROUND_ROBIN, each in its turn"),
            Self::Random => f.write_str("RANDOM, one that is drawn"),
            Self::Ring { minimum } => write!(f, "the next of at least {minimum} points on a ring"),
            Self::Maglev { size } => write!(f, "a Maglev table of {size} places"),
        }
    }
}

impl fmt::Display for Outlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (Some(self.consecutive_5xx), "errors (5xx)"),
            (Some(self.consecutive_gateway), "gateway errors (502, 503, 504)"),
            (self.consecutive_local, "failures to reach it"),
        ];
        let counts: Vec<String> = counts
            .into_iter()
            .filter_map(|(count, of)| Some((count.filter(|count| *count > 0)?, of)))
            .map(|(count, of)| format!("{count} {of}"))
            .collect();
        if counts.is_empty() {
            return f.write_str("no endpoint is ejected");
        }
        write!(
            f,
            "{} in a row eject an endpoint, {} ms for each time so far, at most {} % of all at once",
            counts.join(" or "),
            self.base_time.as_millis(),
            self.max_percent
        )
    }
}
