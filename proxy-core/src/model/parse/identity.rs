//! Workloads and Kubernetes Services.

use super::cursor::Cursor;
use crate::{
    model::{Labels, Protocol, Service, ServicePort, WorkloadManifest},
    yaml::Node,
};

/// The sidecar's container.
const SIDECAR: &str = "istio-proxy";
/// The user that it runs under, and whose traffic is not redirected.
const SIDECAR_USER: i64 = 1337;

/// A Deployment, StatefulSet or DaemonSet: identity is the pod template's.
pub fn template(kind: &'static str, root: Cursor<'_>) -> WorkloadManifest {
    let Some(spec) = root.mapping("spec") else {
        root.error("expected spec.template with the pods' labels");
        return WorkloadManifest::default();
    };
    match spec.mapping("template") {
        Some(template) => workload(kind, template, template),
        None => {
            spec.error("expected template with the pods' labels");
            WorkloadManifest::default()
        }
    }
}

/// Identity and capture settings from a pod or pod template.
pub fn workload(kind: &'static str, pod: Cursor<'_>, spec_owner: Cursor<'_>) -> WorkloadManifest {
    let (pod_labels, pod_annotations) = match pod.mapping("metadata") {
        Some(metadata) => (metadata.labels("labels"), metadata.labels("annotations")),
        None => (Labels::new(), Labels::new()),
    };
    let spec = spec_owner.mapping("spec");
    let containers = ["containers", "initContainers"].into_iter().flat_map(|list| {
        let node = spec.as_ref().and_then(|spec| spec.node.get(list));
        node.map(Node::items).unwrap_or_default()
    });
    let is_sidecar = |container: &Node| container.get("name").and_then(Node::text) == Some(SIDECAR);
    WorkloadManifest {
        kind,
        pod_labels,
        pod_annotations,
        service_account: spec
            .as_ref()
            .and_then(|spec| spec.text("serviceAccountName").map(str::to_string))
            .unwrap_or_else(|| "default".into()),
        has_sidecar: containers.into_iter().any(is_sidecar),
        sidecar_user: spec.as_ref().and_then(|spec| sidecar_user(spec.node)),
        exempt_line: spec.as_ref().and_then(|spec| exempt_line(spec.node)),
        host_network: spec.and_then(|spec| spec.boolean("hostNetwork")).unwrap_or_default(),
    }
}

/// The field that says that a pod, or one of its containers, runs under the sidecar's user.
fn sidecar_user(spec: &Node) -> Option<String> {
    let is_it = |owner: &Node| {
        let user = owner
            .get("securityContext")
            .and_then(|context| context.get("runAsUser"));
        user.and_then(Node::as_integer) == Some(SIDECAR_USER)
    };
    if is_it(spec) {
        return Some("securityContext.runAsUser".into());
    }
    let containers = spec.get("containers").map(Node::items).unwrap_or_default();
    let index = containers
        .iter()
        .position(|container| !is_istios(container) && is_it(container))?;
    Some(format!("containers[{index}].securityContext.runAsUser"))
}

fn is_istios(container: &Node) -> bool {
    let name = container.get("name").and_then(Node::text);
    name == Some(SIDECAR) || name == Some("istio-operator")
}

/// Where it is said that all containers run under the sidecar's user or group. What a container says goes before the pod.
fn exempt_line(spec: &Node) -> Option<u32> {
    let containers = spec.get("containers").map(Node::items).unwrap_or_default();
    let mut own = containers.iter().filter(|container| !is_istios(container)).peekable();
    own.peek()?;
    let line = |container: &Node| {
        let set = |key| {
            let of = |owner: &'_ Node| {
                let value = owner.get("securityContext")?.get(key)?;
                Some((value.as_integer()?, value.span.line))
            };
            let (id, line) = of(container).or_else(|| of(spec))?;
            (id == SIDECAR_USER).then_some(line)
        };
        set("runAsUser").or_else(|| set("runAsGroup"))
    };
    let lines: Option<Vec<u32>> = own.map(line).collect();
    lines?.first().copied()
}

/// A Service.
pub fn service(root: Cursor<'_>) -> Service {
    let Some(spec) = root.mapping("spec") else {
        return Service::default();
    };
    let mut addresses = spec.texts("clusterIPs");
    if addresses.is_empty() {
        addresses.extend(spec.text("clusterIP").map(str::to_string));
    }
    Service {
        headless: addresses.iter().any(|address| address == "None"),
        cluster_ips: addresses.iter().filter_map(|address| address.parse().ok()).collect(),
        external_name: spec.text("externalName").map(str::to_string),
        ports: spec.list("ports", port),
        selector: spec.labels("selector"),
    }
}

fn port(port: Cursor<'_>) -> Option<ServicePort> {
    let name = port.text("name").unwrap_or_default().to_string();
    let number = port.port("port")?;
    let transport = port.text("protocol").unwrap_or("TCP");
    let declared = port.text("appProtocol");
    let protocol = match (transport, declared) {
        ("UDP" | "SCTP", _) => Protocol::Udp,
        (_, Some("kubernetes.io/h2c")) => Protocol::Http2,
        (_, Some("kubernetes.io/ws")) => Protocol::Http,
        (_, Some("kubernetes.io/wss")) => Protocol::Https,
        _ => by_name(declared.unwrap_or(&name), number),
    };
    Some(ServicePort {
        name,
        number,
        protocol,
        line: port.line(),
    })
}

/// Istio: the port's `appProtocol` or name is a protocol, alone or before a dash; some well-known ports default to TCP.
fn by_name(name: &str, number: u16) -> Protocol {
    let lower = name.to_ascii_lowercase();
    let prefix = if lower.starts_with("grpc-web") {
        "grpc-web"
    } else {
        lower.split('-').next().unwrap_or_default()
    };
    match Protocol::parse(prefix) {
        Some(protocol) if !prefix.is_empty() => protocol,
        _ if matches!(number, 25 | 53 | 3306 | 27017) => Protocol::Tcp,
        _ => Protocol::Auto,
    }
}
