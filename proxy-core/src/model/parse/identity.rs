//! Workloads and Kubernetes Services.

use super::cursor::Cursor;
use crate::model::{Labels, Protocol, Service, ServicePort, WorkloadManifest};

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
    WorkloadManifest {
        kind,
        pod_labels,
        pod_annotations,
        service_account: spec
            .as_ref()
            .and_then(|spec| spec.text("serviceAccountName").map(str::to_string))
            .unwrap_or_else(|| "default".into()),
        host_network: spec.and_then(|spec| spec.boolean("hostNetwork")).unwrap_or_default(),
    }
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
