//! What is registered beside ServiceEntries, and how it is reached: Kubernetes Services, DestinationRules, Gateways.

use serde::Serialize;
use ts_rs::TS;

use super::{ObjectRef, ServicePort};

/// One Kubernetes Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesServiceRow {
    pub object: ObjectRef,
    /// The name that sidecars know it by.
    pub host: String,
    pub addresses: Vec<String>,
    pub ports: Vec<ServicePort>,
    pub headless: bool,
    /// Another name that it stands for in DNS: it is no host of the registry.
    pub external_name: Option<String>,
    /// Empty where the mesh's default holds.
    pub export_to: Vec<String>,
}

/// One DestinationRule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct DestinationRuleRow {
    pub object: ObjectRef,
    pub host: String,
    pub export_to: Vec<String>,
    pub tls_mode: Option<String>,
    /// TLS modes of single ports.
    pub port_tls_modes: Vec<(u16, String)>,
    pub subsets: Vec<String>,
    /// The first of the services whose hosts it names.
    pub applies_to: Vec<ObjectRef>,
    /// How many there are.
    pub applies_to_all: usize,
}

/// Everything that is registered beside ServiceEntries, and the DestinationRules for all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct RegistryView {
    pub services: Vec<KubernetesServiceRow>,
    pub rules: Vec<DestinationRuleRow>,
}

/// One port that a Gateway listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct GatewayServerRow {
    pub port: u16,
    pub protocol: String,
    pub tls_mode: Option<String>,
    pub hosts: Vec<String>,
    pub line: u32,
}

/// One host that a VirtualService routes through a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRouteRow {
    pub host: String,
    pub virtual_service: ObjectRef,
    /// Ports of the servers that take it; none where the Gateway does not listen for it.
    pub ports: Vec<u16>,
    /// Sidecars are told to send it there.
    pub from_mesh: bool,
    /// Where the Gateway sends it; nowhere where no rule is for the Gateway.
    pub onward: Vec<String>,
}

/// One Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRow {
    pub object: ObjectRef,
    /// Sidecars are told to send something there.
    pub egress: bool,
    pub selector: Vec<(String, String)>,
    pub servers: Vec<GatewayServerRow>,
    /// `namespace/name` of those whose pods serve it.
    pub workloads: Vec<String>,
    /// Services that lead to them.
    pub services: Vec<ObjectRef>,
    pub routes: Vec<GatewayRouteRow>,
}

/// An object as it is written, to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct ObjectText {
    pub object: ObjectRef,
    pub yaml: String,
    /// DestinationRules for its hosts.
    pub rules: Vec<DestinationRuleRow>,
}
