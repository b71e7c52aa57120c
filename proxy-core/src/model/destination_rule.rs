//! DestinationRule, as far as this engine acts on it: which host it is for, its subsets, how it connects, which endpoint
//! is called and whether it originates TLS.

use std::{sync::Arc, time::Duration};

use super::{Keepalive, Labels, LoadBalancer, OutlierDetection, Percentage};

/// Spec of a DestinationRule.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DestinationRule {
    /// Host as written.
    pub host: Arc<str>,
    /// `exportTo`; empty means the mesh's default.
    pub export_to: Vec<String>,
    /// `workloadSelector.matchLabels`, where present: the rule is for these callers of its namespace alone.
    pub workload_selector: Option<Labels>,
    /// `trafficPolicy`, where present.
    pub policy: Option<PolicySet>,
    /// Subsets.
    pub subsets: Vec<Subset>,
}

/// A traffic policy with those of single ports.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PolicySet {
    /// Where it is written.
    pub line: u32,
    /// For all ports that have none of their own.
    pub policy: TrafficPolicy,
    /// Policies by port; they replace the other one entirely.
    pub ports: Vec<(u16, TrafficPolicy)>,
}

/// A named part of a service's endpoints.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Subset {
    /// Name.
    pub name: Arc<str>,
    /// Labels that its endpoints have.
    pub labels: Labels,
    /// Its own policy.
    pub policy: Option<PolicySet>,
}

/// A traffic policy; a block that is absent takes what is written further out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrafficPolicy {
    /// `tls`.
    pub tls: Option<ClientTls>,
    /// `connectionPool`.
    pub connection_pool: Option<ConnectionPool>,
    /// `loadBalancer`.
    pub load_balancer: Option<LoadBalancer>,
    /// `outlierDetection`.
    pub outlier_detection: Option<OutlierDetection>,
    /// `retryBudget`.
    pub retry_budget: Option<RetryBudget>,
    /// `proxyProtocol`.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// `tunnel`.
    pub tunnel: Option<Tunnel>,
    /// Further blocks, and parts of blocks, that this engine does not act on: said in traces and checks.
    pub unapplied: Vec<&'static str>,
}

/// TLS towards the upstream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClientTls {
    /// Mode as written (`DISABLE`, `SIMPLE`, `MUTUAL`, `ISTIO_MUTUAL`).
    pub mode: String,
    /// Explicit SNI.
    pub sni: Option<String>,
    /// Name of a secret with the certificates.
    pub credential_name: Option<String>,
    /// A file of the authorities' certificates, or `system`.
    pub ca_certificates: Option<String>,
    /// A file of the certificates that they revoked.
    pub ca_crl: Option<String>,
    /// A file of the client's certificate.
    pub client_certificate: Option<String>,
    /// A file of the client's key.
    pub private_key: Option<String>,
    /// Names that the server's certificate must have.
    pub subject_alt_names: Vec<String>,
    /// The server's certificate is not verified.
    pub insecure_skip_verify: bool,
}

/// Limits of connections.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConnectionPool {
    /// `tcp.connectTimeout`.
    pub connect_timeout: Option<Duration>,
    /// `tcp.idleTimeout`; zero is never.
    pub idle_timeout: Option<Duration>,
    /// `tcp.maxConnectionDuration`.
    pub max_connection_duration: Option<Duration>,
    /// `tcp.tcpKeepalive`.
    pub keepalive: Option<Keepalive>,
    /// `http.idleTimeout`.
    pub http_idle_timeout: Option<Duration>,
    /// How much may go on at once.
    pub limits: Limits,
    /// `http.h2UpgradePolicy`, where it is not DEFAULT: whether requests go out in HTTP/2.
    pub h2_upgrade: Option<bool>,
    /// `http.useClientProtocol`: requests go out in the HTTP that the caller speaks.
    pub use_client_protocol: bool,
    /// Settings that this engine does not act on.
    pub unapplied: Vec<&'static str>,
    /// Neither `tcp` nor `http` is written.
    pub is_empty: bool,
}

/// `retryBudget`: how many retries may go on at once, as a part of the requests that do, or that have begun of late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// Of these requests.
    pub share: Percentage,
    /// So many in any case.
    pub minimum: u32,
    /// `budgetInterval`: where it is not zero, those requests count that have begun within it, whether they are under way or
    /// not, and no others.
    pub interval: Duration,
}

/// `proxyProtocol`: the header that tells an upstream who has called whom, before anything else is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Bytes.
    V2,
}

/// `tunnel`: the host is a proxy, which byte streams ask for the way to somewhere else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tunnel {
    /// `CONNECT` or `POST`, as written; empty is CONNECT.
    pub protocol: String,
    /// `targetHost`.
    pub host: String,
    /// `targetPort`.
    pub port: u32,
}

/// How much may go on at once with one cluster; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// `tcp.maxConnections`.
    pub connections: Option<u32>,
    /// `http.http1MaxPendingRequests`: requests that wait for a connection.
    pub pending: Option<u32>,
    /// `http.http2MaxRequests`, which holds for HTTP/1.1 too.
    pub requests: Option<u32>,
    /// `http.maxRetries`.
    pub retries: Option<u32>,
    /// `retryBudget`, which counts in the place of `http.maxRetries`.
    pub retry_budget: Option<RetryBudget>,
    /// `http.maxRequestsPerConnection`.
    pub requests_per_connection: Option<u32>,
    /// `http.maxConcurrentStreams`: requests at once on one connection that speaks HTTP/2.
    pub streams: Option<u32>,
}

impl PolicySet {
    /// The policy of a port, and whether it is that port's own.
    pub fn of_port(&self, port: u16) -> (&TrafficPolicy, bool) {
        let own = self.ports.iter().find(|(number, _)| *number == port);
        own.map_or((&self.policy, false), |(_, policy)| (policy, true))
    }
}

impl Limits {
    /// Those that count over all connections of a cluster.
    pub fn of_cluster(self) -> Self {
        Self {
            requests_per_connection: None,
            streams: None,
            ..self
        }
    }
}

impl RetryBudget {
    /// How many retries may go on at once beside so many `requests`. Envoy: `RetryBudgetImpl`.
    pub fn allows(&self, requests: u32) -> u32 {
        let share = self.share.percent() / 100.0 * f64::from(requests);
        // No more than there are requests.
        self.minimum.max(share as u32)
    }
}
