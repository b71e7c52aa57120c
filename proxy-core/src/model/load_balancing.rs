//! The parts of a DestinationRule's traffic policy that say which of a service's endpoints is called: load balancing and
//! outlier detection.

use std::{collections::BTreeMap, time::Duration};

/// `loadBalancer`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LoadBalancer {
    /// `simple`.
    pub simple: SimpleBalancer,
    /// `consistentHash`.
    pub consistent_hash: Option<ConsistentHash>,
    /// `localityLbSetting`.
    pub locality: Option<LocalitySetting>,
    /// `zoneAwareLbSetting`, which says the same of regions alone, and distributes nothing.
    pub zone_aware: Option<LocalitySetting>,
    /// `warmup`.
    pub warmup: Option<Warmup>,
    /// `warmupDurationSecs`, which `warmup` goes before.
    pub warmup_duration: Option<Duration>,
}

/// `loadBalancer.warmup`: an endpoint that is new gets its share little by little.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Warmup {
    /// How long that takes; `None` where it is not written, which Istio refuses.
    pub duration: Option<Duration>,
    /// How fast the share grows at first: 1 is steadily, more is faster.
    pub aggression: f64,
    /// The share in percent that it has at least.
    pub minimum_percent: f64,
}

impl Default for Warmup {
    /// Istio: `setWarmup`, with Envoy's own defaults.
    fn default() -> Self {
        Self {
            duration: None,
            aggression: 1.0,
            minimum_percent: 10.0,
        }
    }
}

/// `loadBalancer.simple`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SimpleBalancer {
    /// Nothing is said: LEAST_REQUEST.
    #[default]
    Unspecified,
    /// The less busy one of two that are drawn; also LEAST_CONN.
    LeastRequest,
    /// One that is drawn.
    Random,
    /// Each in its turn.
    RoundRobin,
    /// The address that the caller asked for.
    Passthrough,
}

/// `loadBalancer.consistentHash`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsistentHash {
    /// What is hashed; `None` where nothing is said.
    pub key: Option<HashKey>,
    /// How a hash becomes an endpoint.
    pub algorithm: HashAlgorithm,
    /// `minimumRingSize` beside the key, which is deprecated; 0 where it is not written.
    pub minimum_ring_size: u64,
}

/// What is hashed of a request, or of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// `httpHeaderName`.
    Header(String),
    /// `httpCookie`.
    Cookie(HashCookie),
    /// `useSourceIp: true`; written `false` it stands for no key.
    SourceIp(bool),
    /// `httpQueryParameterName`.
    QueryParameter(String),
}

/// `httpCookie`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HashCookie {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// With a lifetime it is set for who has none; zero is until the browser ends.
    pub ttl: Option<Duration>,
    /// Further attributes of one that is set.
    pub attributes: Vec<(String, String)>,
}

/// How a hash becomes an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashAlgorithm {
    /// Neither is written: a ring.
    #[default]
    Unspecified,
    /// `ringHash`; a size of 0 is not written.
    Ring(u64),
    /// `maglev`; a size of 0 is not written.
    Maglev(u64),
}

/// `localityLbSetting`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalitySetting {
    /// `enabled`, where written.
    pub enabled: Option<bool>,
    /// `distribute`.
    pub distribute: Vec<Distribution>,
    /// `failover`: from a region to another one.
    pub failover: Vec<(String, String)>,
    /// `failoverPriority`: names of labels, some with the value that counts for the caller's.
    pub failover_priority: Vec<String>,
}

/// Where the calls of some callers go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Distribution {
    /// Locality of the callers.
    pub from: String,
    /// Localities of endpoints with their share in percent.
    pub to: BTreeMap<String, u32>,
}

/// `outlierDetection`: endpoints that fail are left out for a while. What is absent takes Envoy's default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutlierDetection {
    /// `consecutive5xxErrors`; 0 is never.
    pub consecutive_5xx: Option<u32>,
    /// `consecutiveGatewayErrors`; 0 is never.
    pub consecutive_gateway: Option<u32>,
    /// `splitExternalLocalOriginErrors`: what the sidecar itself saw fail is counted apart.
    pub splits_local: bool,
    /// `consecutiveLocalOriginFailures`.
    pub consecutive_local: Option<u32>,
    /// `interval`.
    pub interval: Option<Duration>,
    /// `baseEjectionTime`.
    pub base_ejection_time: Option<Duration>,
    /// `maxEjectionPercent`; 0 is not written.
    pub max_ejection_percent: i32,
    /// `minHealthPercent`.
    pub min_health_percent: i32,
    /// `consecutiveErrors`, which Istio only warns about, is written.
    pub has_deprecated_errors: bool,
}

/// `connectionPool.tcp.tcpKeepalive`, and the mesh config's own. What is absent is left to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keepalive {
    /// How many probes stay without an answer before the connection is dead; 0 is not written.
    pub probes: u32,
    /// How long a connection is idle before the first probe; to the second.
    pub time: Option<Duration>,
    /// Between two probes; to the second.
    pub interval: Option<Duration>,
}
