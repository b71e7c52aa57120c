//! ServiceEntry: an external (or internal) service put into the registry.

use std::{fmt, sync::Arc};

use ipnet::IpNet;

use super::Labels;

/// Spec of a ServiceEntry. There may be very many, and so its lists are of no more than their items.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServiceEntry {
    /// Host names, lower or upper case as written.
    pub hosts: Box<[Arc<str>]>,
    /// Line of each host.
    pub host_lines: Box<[u32]>,
    /// Virtual addresses; a bare address is a full-length prefix.
    pub addresses: Box<[IpNet]>,
    /// Which of them is the first that is written as a range, even if of one address.
    pub range: Option<u16>,
    /// Ports; shared with what is compiled from them.
    pub ports: Arc<[Port]>,
    /// `location: MESH_INTERNAL`.
    pub mesh_internal: bool,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// Fixed endpoints.
    pub endpoints: Box<[Endpoint]>,
    /// `workloadSelector.labels`, where present.
    pub workload_selector: Option<Box<Labels>>,
    /// `exportTo`; empty means the mesh's default.
    pub export_to: Box<[String]>,
    /// `subjectAltNames`.
    pub subject_alt_names: Box<[String]>,
    /// Addresses allocated by the controller (`status.addresses`).
    pub allocated: Box<[Allocated]>,
}

/// An address that the control plane has allocated to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocated {
    /// The host.
    pub host: Arc<str>,
    /// Its address.
    pub address: std::net::IpAddr,
}

/// One port of a ServiceEntry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Number that clients use.
    pub number: u16,
    /// Name.
    pub name: Box<str>,
    /// Protocol class.
    pub protocol: Protocol,
    /// Port on the endpoint, where it differs.
    pub target_port: Option<u16>,
    /// Line of the port.
    pub line: u32,
}

/// Declared protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// HTTP/1.
    Http,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// gRPC.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
    /// Explicit proxy, only meaningful on Sidecar egress ports.
    HttpProxy,
    /// TLS, passed through by SNI; HTTP inside is not seen.
    Https,
    /// TLS, passed through by SNI.
    Tls,
    /// Plain TCP.
    Tcp,
    /// MongoDB over TCP.
    Mongo,
    /// MySQL over TCP.
    MySql,
    /// Redis over TCP.
    Redis,
    /// UDP: accepted, generates nothing.
    Udp,
    /// Not declared: sniffed.
    #[default]
    Auto,
}

/// What a protocol means for listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolClass {
    /// Routed by Host.
    Http,
    /// Routed by SNI, address or port; TLS passthrough.
    Tls,
    /// Routed by address or port.
    Tcp,
    /// Decided by the first bytes.
    Auto,
    /// Nothing is generated.
    None,
}

impl Protocol {
    /// Parses a declared protocol, case-insensitively; `None` when Istio does not know it.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "" => Self::Auto,
            "http" => Self::Http,
            "http2" => Self::Http2,
            "grpc" => Self::Grpc,
            "grpc-web" => Self::GrpcWeb,
            "http_proxy" => Self::HttpProxy,
            "https" => Self::Https,
            "tls" => Self::Tls,
            "tcp" => Self::Tcp,
            "mongo" => Self::Mongo,
            "mysql" => Self::MySql,
            "redis" => Self::Redis,
            "udp" => Self::Udp,
            _ => return None,
        })
    }

    /// True where services are spoken to in HTTP/2.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc | Self::GrpcWeb)
    }

    /// Class of this protocol.
    pub fn class(self) -> ProtocolClass {
        match self {
            Self::Http | Self::Http2 | Self::Grpc | Self::GrpcWeb | Self::HttpProxy => ProtocolClass::Http,
            Self::Https | Self::Tls => ProtocolClass::Tls,
            Self::Tcp | Self::Mongo | Self::MySql | Self::Redis => ProtocolClass::Tcp,
            Self::Udp => ProtocolClass::None,
            Self::Auto => ProtocolClass::Auto,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Http2 => "HTTP2",
            Self::Grpc => "GRPC",
            Self::GrpcWeb => "GRPC-Web",
            Self::HttpProxy => "HTTP_PROXY",
            Self::Https => "HTTPS",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
            Self::Mongo => "Mongo",
            Self::MySql => "MySQL",
            Self::Redis => "Redis",
            Self::Udp => "UDP",
            Self::Auto => "sniffed",
        })
    }
}

/// How a ServiceEntry's endpoints are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resolution {
    /// The connection's own destination address.
    #[default]
    None,
    /// The endpoints as written.
    Static,
    /// All addresses of the host or the endpoints' names.
    Dns,
    /// One address of the host for each new connection.
    DnsRoundRobin,
    /// The Host or SNI of each request is resolved.
    DynamicDns,
}

/// One endpoint of a ServiceEntry (a WorkloadEntry).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoint {
    /// Address, host name, or `unix://` path.
    pub address: String,
    /// Port by port name.
    pub ports: std::collections::BTreeMap<String, u16>,
    /// Labels.
    pub labels: Labels,
    /// Network, where set.
    pub network: Option<String>,
    /// Load-balancing weight, 0 when unset.
    pub weight: u32,
    /// `locality`, empty when unset: `region/zone/subzone`.
    pub locality: String,
}
