//! What a decision says.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Balance, DestinationEdits, HttpVersion, StreamSettings, Treatment};
use crate::model::{HashKey, Keepalive, Limits, ObjectRef, ProxyProtocol};

/// The four verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Policy names the destination.
    Registered,
    /// Unknown, let through.
    Passthrough,
    /// Refused.
    Blocked,
    /// The sidecar never sees it.
    Bypassed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registered => "registered",
            Self::Passthrough => "passthrough",
            Self::Blocked => "blocked",
            Self::Bypassed => "bypassed",
        })
    }
}

/// One decision. Borrows from the snapshot: making it allocates nothing.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'s> {
    /// The verdict.
    pub verdict: Verdict,
    /// Listener that took the connection, such as `0.0.0.0_80` or `virtualOutbound`; empty when bypassed.
    pub listener: &'s str,
    /// Whether the connection is handled as HTTP (decide again for each request) or as a byte stream.
    pub layer: Layer,
    /// Virtual host that was chosen, such as `httpbin.org:80` or `block_all`; `None` where no HTTP is read.
    pub virtual_host: Option<&'s str>,
    /// Route name for the access log: `default`, `allow_any`, `block_all`, a VirtualService's name; `None` prints `-`.
    pub route: Option<&'s str>,
    /// What to do.
    pub action: Action<'s>,
    /// What the route does beside it; `None` where that is nothing.
    pub treatment: Option<&'s Treatment>,
    /// A call of gRPC-Web is made into one of gRPC on the way.
    pub grpc_web: bool,
}

/// How a connection is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// HTTP connection manager.
    Http,
    /// tcp_proxy.
    Tcp,
}

/// What to do with a connection or request.
#[derive(Debug, Clone, Copy)]
pub enum Action<'s> {
    /// It never reaches the sidecar.
    Bypass,
    /// Send it to a cluster.
    Forward(Forward<'s>),
    /// Answer it here (HTTP only).
    Reply(Reply<'s>),
    /// Close it: BlackHoleCluster (flag `UH`), or a cluster that does not exist (flag `NC`).
    Cut {
        /// `BlackHoleCluster`, or `None` where the cluster column is `-`.
        cluster: Option<&'static str>,
        /// Response flags.
        flags: &'static str,
    },
}

/// How to forward.
#[derive(Debug, Clone, Copy)]
pub struct Forward<'s> {
    /// The upstream group.
    pub cluster: &'s Cluster,
    /// Limit from the end of the request to the end of the response; `None` is no limit.
    pub timeout: Option<Duration>,
    /// Retries (HTTP only).
    pub retries: Option<&'s RetryPolicy>,
    /// Value of `x-envoy-decorator-operation`, such as `httpbin.org:80/*`; `None` on the catch-all route.
    pub operation: Option<&'s str>,
    /// Edits of this destination, where it is one of several.
    pub edits: Option<&'s DestinationEdits>,
    /// What of a request is hashed, for a cluster that is balanced by it.
    pub hash: &'s [HashKey],
    /// How a stream is kept, where something is said of it.
    pub stream: Option<&'s StreamSettings>,
}

impl<'s> Forward<'s> {
    /// To a cluster, without anything that a route could ask for.
    pub fn plain(cluster: &'s Cluster) -> Self {
        Self {
            cluster,
            timeout: None,
            retries: None,
            operation: None,
            edits: None,
            hash: &[],
            stream: None,
        }
    }
}

/// A local reply.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'s> {
    /// Status code.
    pub status: u16,
    /// Response flags, `-` for none.
    pub flags: &'static str,
    /// Response code details.
    pub details: &'static str,
    /// Body; empty for most.
    pub body: &'s [u8],
    /// `location` header of a redirect.
    pub redirect: Option<&'s crate::model::Redirect>,
    /// The caller's connection ends with it.
    pub closes: bool,
}

/// An upstream group.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// `outbound|80||httpbin.org`, `PassthroughCluster`, ...
    pub name: Arc<str>,
    /// The service's host, for metrics; empty for the special clusters.
    pub host: Arc<str>,
    /// Where its endpoints come from.
    pub endpoints: Endpoints,
    /// How it is called: most clusters share one and the same.
    pub settings: Arc<ClusterSettings>,
    /// The object that declares it; `None` for the special clusters.
    pub object: Option<ObjectRef>,
    /// The DestinationRule whose policy holds for it, where one does; few have one.
    pub rule: Option<Box<ObjectRef>>,
}

impl Cluster {
    /// Namespace of the object that declares it, for metrics; `unknown` of the special clusters.
    pub fn namespace(&self) -> &str {
        self.object.as_ref().map_or("unknown", |object| &object.namespace)
    }
}

/// How the endpoints of a cluster are called.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterSettings {
    /// Limit for connecting.
    pub connect_timeout: Duration,
    /// TLS to originate, where a DestinationRule says so.
    pub tls: Option<OriginateTls>,
    /// The header that each of its connections begins with.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// The HTTP that its requests are sent in.
    pub http: UpstreamHttp,
    /// How much may go on at once.
    pub limits: Limits,
    /// How one of its endpoints is chosen, where they are not all alike or something is said of it.
    pub balance: Option<Box<Balance>>,
    /// How its connections are kept, where something is said of it.
    pub upkeep: Option<Box<Upkeep>>,
    /// What its DestinationRule asks for that this engine does not do.
    pub unapplied: Vec<&'static str>,
}

impl ClusterSettings {
    /// Those of a service without a DestinationRule.
    pub fn plain(http: UpstreamHttp, connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            http,
            tls: None,
            proxy_protocol: None,
            limits: Limits::default(),
            balance: None,
            upkeep: None,
            unapplied: Vec::new(),
        }
    }
}

/// How connections to a cluster are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Upkeep {
    /// A connection that no request uses for so long is closed; zero is never.
    pub idle_timeout: Option<Duration>,
    /// One that is older takes no further request.
    pub max_duration: Option<Duration>,
    /// Probes of the system's that notice who is gone.
    pub keepalive: Option<Keepalive>,
}

/// Where a cluster's endpoints come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoints {
    /// The connection's original destination, with another port where `targetPort` says so.
    OriginalDst(Option<u16>),
    /// Fixed addresses.
    Static(Box<[SocketAddr]>),
    /// All addresses of the cluster's own host, at this port.
    Host(u16),
    /// Names to resolve, with their port; all addresses count.
    Dns(Box<[(Arc<str>, u16)]>),
    /// The Host or SNI of each request, at this port where the authority names none.
    DynamicDns(u16),
}

/// The HTTP that a cluster's requests are sent in. Source: `setUpstreamProtocol` and `shouldH2Upgrade` of Istio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpstreamHttp {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, with prior knowledge where TLS does not agree on it.
    Http2,
    /// What the caller speaks.
    AsCaller,
}

impl UpstreamHttp {
    /// What a request of a caller that speaks `caller` is sent in.
    pub fn spoken(self, caller: HttpVersion) -> HttpVersion {
        match self {
            Self::Http1 => HttpVersion::Http11,
            Self::Http2 => HttpVersion::H2c,
            Self::AsCaller => caller,
        }
    }
}

/// TLS towards the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OriginateTls {
    /// SNI to send; `None` takes the request's host.
    pub sni: Option<Arc<str>>,
    /// What its certificate is asked for.
    pub checks: CertificateChecks,
    /// Names of which it must have one; none asks for none of them.
    pub names: Arc<[Arc<str>]>,
    /// Certificates of the sidecar's own file system, where any are named.
    pub files: Option<Box<TlsFiles>>,
}

/// Files with what TLS is spoken with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TlsFiles {
    /// Certificates of the authorities that are trusted in the place of the system's.
    pub authorities: Option<Arc<str>>,
    /// What these have revoked.
    pub revoked: Option<Arc<str>>,
    /// Certificate and key of the client.
    pub identity: Option<[Arc<str>; 2]>,
}

/// What the certificate of a server is asked for, beside names that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateChecks {
    /// Nothing: `insecureSkipVerify`.
    None,
    /// A trusted authority has signed it.
    Authority,
    /// That, and it is for the host of the request. A byte stream has none.
    AuthorityAndHost,
}

/// When to try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Retries after the first attempt.
    pub attempts: u32,
    /// Limit of one attempt.
    pub per_try_timeout: Option<Duration>,
    /// Envoy's `retry_on`, as Istio writes it; the conditions below are what it means.
    pub retry_on: String,
    /// Retry when connecting fails.
    pub connect_failure: bool,
    /// Retry when an upstream that speaks HTTP/2 refuses the request's stream.
    pub refused_stream: bool,
    /// Retry on a reset before the response.
    pub reset: bool,
    /// Retry on any 5xx.
    pub server_error: bool,
    /// Retry on 502, 503, 504.
    pub gateway_error: bool,
    /// Retry on 409.
    pub conflict: bool,
    /// Further statuses to retry on.
    pub statuses: Vec<u16>,
    /// Statuses of gRPC in a response's head to retry on.
    pub grpc_statuses: Vec<u8>,
    /// Base of the wait between attempts.
    pub back_off: Duration,
    /// Prefer addresses that were not tried yet.
    pub avoid_previous_hosts: bool,
}

/// What a listener must know of the first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SniffNeeds {
    /// A TLS inspector is attached.
    pub tls: bool,
    /// An HTTP inspector is attached.
    pub http: bool,
    /// How long to wait for the client to speak; `None` waits for ever.
    pub timeout: Option<Duration>,
}
