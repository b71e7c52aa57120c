//! Who calls and what is called inside the cluster: namespaces, workloads, Kubernetes Services.

use std::net::IpAddr;

use super::Labels;

/// A Namespace; its labels are in the object's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespace;

/// A Deployment, StatefulSet, DaemonSet or Pod, as far as identity and capture go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkloadManifest {
    /// `Deployment`, `StatefulSet`, `DaemonSet` or `Pod`.
    pub kind: &'static str,
    /// Labels of the pods.
    pub pod_labels: Labels,
    /// Annotations of the pods.
    pub pod_annotations: Labels,
    /// `serviceAccountName`, default `default`.
    pub service_account: String,
    /// `hostNetwork: true`: never captured.
    pub host_network: bool,
    /// A container `istio-proxy` is among its own: injected, or written by hand.
    pub has_sidecar: bool,
    /// The field of the pod's spec that has it, or a container, run under the sidecar's own user, which is never captured.
    pub sidecar_user: Option<String>,
    /// Line that has all of its containers run under the sidecar's user or group: nothing of it is captured.
    pub exempt_line: Option<u32>,
}

/// A Kubernetes Service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// `clusterIPs`, without `None`.
    pub cluster_ips: Vec<IpAddr>,
    /// Headless (`clusterIP: None`).
    pub headless: bool,
    /// `externalName`, for that type.
    pub external_name: Option<String>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Pod selector.
    pub selector: Labels,
}

/// One port of a Kubernetes Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Name, may be empty.
    pub name: String,
    /// Port that clients use.
    pub number: u16,
    /// Protocol after Kubernetes' rules: `appProtocol`, else the name's prefix, else well-known TCP ports, else sniffed.
    pub protocol: super::Protocol,
    /// Line of the port.
    pub line: u32,
}
