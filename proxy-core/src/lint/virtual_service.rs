//! VirtualService: validation, and routes that do not do what they seem to.

use super::{About, Finding, Level};
use crate::model::{Object, ProtocolClass, VirtualService, World};

pub(super) fn check(service: &Object<VirtualService>, world: &World, findings: &mut Vec<Finding>) {
    let spec = &service.spec;
    let mut about = About {
        kind: "VirtualService",
        object: service,
        findings,
    };
    if spec.http.is_empty() && spec.tls.is_empty() && spec.tcp.is_empty() {
        about.refuse(("spec", 0), "http, tcp or tls must be provided in virtual service");
    }
    if spec.hosts.is_empty() {
        about.refuse(("spec.hosts", 0), "virtual service must have at least one host");
    }
    for (index, route) in spec.http.iter().enumerate() {
        let field = format!("spec.http[{index}]");
        if route.route.is_empty()
            && route.redirect.is_none()
            && route.direct_response.is_none()
            && !route.unsupported.contains(&"delegate")
        {
            about.refuse(
                (&field, route.line),
                "HTTP route, redirect or direct_response is required",
            );
        }
    }
    if spec.http.is_empty() {
        return;
    }
    without_effect(service, world, &mut about);
    if spec
        .http
        .iter()
        .all(|route| !route.matches.is_empty() && route.matches.iter().all(|condition| condition.uri.is_some()))
    {
        let line = spec.http.last().map_or(0, |route| route.line);
        let message =
            "no route takes what matches none of these: other paths of the host get 404, in ALLOW_ANY too".to_string();
        about.add(
            "EGR04",
            Level::Warning,
            ("spec.http", line),
            message,
            Some("add a last route without match".into()),
        );
    }
}

/// HTTP rules on a host that only speaks TLS or TCP: the sidecar cannot see requests there.
fn without_effect(service: &Object<VirtualService>, world: &World, about: &mut About<'_, VirtualService>) {
    for host in &service.spec.hosts {
        let mut ports = world
            .service_entries
            .iter()
            .filter(|entry| entry.spec.hosts.iter().any(|own| own.eq_ignore_ascii_case(host)))
            .flat_map(|entry| &entry.spec.ports)
            .peekable();
        let streams_only = ports.peek().is_some()
            && ports.all(|port| matches!(port.protocol.class(), ProtocolClass::Tls | ProtocolClass::Tcp));
        if streams_only {
            let line = service.spec.http.first().map_or(0, |route| route.line);
            let message =
                format!("{host} is declared as TLS or TCP, so http routes, timeouts and retries have no effect on it");
            let fix = "let the application speak HTTP to port 80 and originate TLS with a DestinationRule";
            about.add("EGR03", Level::Warning, ("spec.http", line), message, Some(fix.into()));
        }
    }
}
