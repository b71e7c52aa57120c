//! Ports of Kubernetes Services whose names tell no protocol (IST0118, IST0150). As Istio's `service.PortNameAnalyzer`.

use super::{Finding, finding::Report, istio};
use crate::model::{Object, Protocol, Service, World};

/// Who makes Services for gateways, as their label `gateway.istio.io/managed` says.
const GATEWAY_CONTROLLERS: [&str; 3] = [
    "istio.io-gateway-controller",
    "istio.io-mesh-controller",
    "istio.io-eastwest-controller",
];

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    for service in world.services.iter().filter(|service| is_users(service)) {
        let mut report = Report::new(findings, "Service", service);
        let external = service.spec.external_name.is_some();
        for (index, port) in service.spec.ports.iter().enumerate() {
            if port.protocol != Protocol::Auto && !(external && port.name == "tcp") {
                continue;
            }
            let field = format!("spec.ports[{index}].name");
            let fix = Some("begin the name with the protocol, such as http or https-web, or set appProtocol".into());
            if external {
                let message = "this port of an ExternalName Service is TCP for Istio: it takes every connection to its \
                               number that nothing else matches";
                report.analyzed("IST0150", field, message, fix);
            } else {
                let message = format!(
                    "Port name {:?} doesn't follow the naming convention of Istio port",
                    port.name
                );
                report.analyzed("IST0118", field, message, fix);
            }
            report.at(port.line);
        }
    }
}

/// Neither of the control plane nor made by it for a gateway.
fn is_users(service: &Object<Service>) -> bool {
    let labels = &service.meta.labels;
    let made_for = labels.get("gateway.istio.io/managed");
    !istio::is_control_plane(labels) && !made_for.is_some_and(|by| GATEWAY_CONTROLLERS.contains(&by.as_str()))
}
