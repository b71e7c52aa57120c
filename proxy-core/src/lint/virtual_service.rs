//! VirtualService: Istio's validation of one object, then what only shows beside the others: unknown destinations, two
//! owners of one host, HTTP routes for ports that are not HTTP.

use std::sync::Arc;

use super::{
    Finding, Level, export_to,
    finding::Report,
    hosts::{is_wildcard_domain, labels},
    http_route::{gateways, http, weights},
};
use crate::{
    model::{HttpMatch, HttpRoute, L4Match, L4Route, Object, ProtocolClass, TextMatch, VirtualService, World},
    policy::{covers, overlap, qualify},
};

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    for (index, service) in world.virtual_services.iter().enumerate() {
        let mut report = Report::new(findings, "VirtualService", service);
        let is_delegate = service.spec.hosts.is_empty();
        hosts(&mut report, &service.spec);
        for (index, route) in service.spec.http.iter().enumerate() {
            http(&mut report, &format!("spec.http[{index}]"), route, is_delegate);
        }
        layer4(&mut report, &service.spec);
        export_to::check(&mut report, &service.spec.export_to, &service.meta.namespace, false);
        catch_all(&mut report, &service.spec);
        destinations(&mut report, world, service);
        if !in_mesh(&service.spec) {
            continue;
        }
        not_http(&mut report, world, service);
        for other in world.virtual_services[..index]
            .iter()
            .filter(|other| in_mesh(&other.spec))
        {
            same_host(&mut report, service, other);
        }
    }
}

fn in_mesh(spec: &VirtualService) -> bool {
    spec.gateways.is_empty() || spec.gateways.iter().any(|gateway| gateway == "mesh")
}

fn hosts(report: &mut Report<'_>, spec: &VirtualService) {
    if spec.http.is_empty() && spec.tls.is_empty() && spec.tcp.is_empty() {
        report.rejected("spec", "http, tcp or tls must be provided in virtual service");
    }
    // Without hosts it is a delegate, which only has HTTP routes.
    let more = !(spec.tls.is_empty() && spec.tcp.is_empty() && spec.gateways.is_empty());
    if spec.hosts.is_empty() && more {
        report.rejected(
            "spec.hosts",
            "delegate virtual service must have no gateways, tls or tcp routes specified; any other one has hosts",
        );
    }
    gateways(report, "spec.gateways", &spec.gateways);
    let good = |host: &Arc<str>| {
        let wrong_wildcard = &**host == "*" && in_mesh(spec);
        host.parse::<std::net::IpAddr>().is_ok() || !wrong_wildcard && is_wildcard_domain(host)
    };
    let all_good = spec.hosts.iter().all(good);
    for (index, host) in spec.hosts.iter().enumerate() {
        let field = format!("spec.hosts[{index}]");
        if &**host == "*" && in_mesh(spec) {
            report.rejected(
                &field,
                "wildcard host * is not allowed for virtual services bound to the mesh gateway",
            );
        } else if host.parse::<std::net::IpAddr>().is_err() && !is_wildcard_domain(host) {
            report.rejected(&field, format!("domain name {host:?} invalid"));
        }
        if all_good && spec.hosts[..index].iter().any(|earlier| overlap(earlier, host)) {
            report.rejected(&field, format!("duplicate hosts in virtual service: {host}"));
        }
    }
}

fn layer4(report: &mut Report<'_>, spec: &VirtualService) {
    let no_route = |route: &L4Route| route.route.is_empty();
    for (index, route) in spec.tls.iter().enumerate() {
        let field = format!("spec.tls[{index}]");
        if route.matches.is_empty() {
            report.rejected(&field, "TLS route must have at least one match condition");
        }
        if no_route(route) {
            report.rejected(&field, "TLS route is required");
        }
        for (match_index, condition) in route.matches.iter().enumerate() {
            layer4_match(report, &format!("{field}.match[{match_index}]"), condition);
            let field = format!("{field}.match[{match_index}].sniHosts");
            if condition.sni_hosts.is_empty() {
                report.rejected(&field, "TLS match must have at least one SNI host");
            }
            for sni in &condition.sni_hosts {
                let is_address = sni.parse::<std::net::IpAddr>().is_ok();
                if !is_address && !is_wildcard_domain(sni) {
                    report.rejected(&field, format!("domain name {sni:?} invalid"));
                } else if !is_address && !spec.hosts.iter().any(|host| covers(host, sni)) {
                    report.rejected(
                        &field,
                        format!("SNI host {sni:?} is not a compatible subset of any of the virtual service hosts"),
                    );
                }
            }
        }
        weights(report, &field, &route.route);
    }
    for (index, route) in spec.tcp.iter().enumerate() {
        let field = format!("spec.tcp[{index}]");
        if no_route(route) {
            report.rejected(&field, "TCP route is required");
        }
        for (match_index, condition) in route.matches.iter().enumerate() {
            layer4_match(report, &format!("{field}.match[{match_index}]"), condition);
        }
        weights(report, &field, &route.route);
    }
}

fn layer4_match(report: &mut Report<'_>, field: &str, condition: &L4Match) {
    labels(report, &format!("{field}.sourceLabels"), &condition.source_labels);
    gateways(report, &format!("{field}.gateways"), &condition.gateways);
}

fn catch_all(report: &mut Report<'_>, spec: &VirtualService) {
    let all = |condition: &HttpMatch| {
        let uri = match &condition.uri {
            None => true,
            Some(TextMatch::Prefix(prefix)) => matches!(prefix.as_str(), "" | "/"),
            Some(TextMatch::Regex(regex)) => regex == ".*",
            Some(_) => false,
        };
        let requests = [&condition.method, &condition.scheme, &condition.authority];
        let pairs = [&condition.headers, &condition.without_headers, &condition.query_params];
        uri && requests.iter().all(|text| text.is_none()) && pairs.iter().all(|map| map.is_empty())
    };
    let ends = |route: &HttpRoute| route.matches.is_empty() || route.matches.iter().any(all);
    if let Some(last) = spec.http.last().filter(|_| !spec.http.iter().any(ends)) {
        report.add(
            "EGR04",
            Level::Warning,
            "spec.http",
            "no route takes all requests: one that matches none of them gets 404, not the service",
            Some("add a last route without match".into()),
        );
        report.at(last.line);
    }
}

/// Ports that `host` is declared with in the registry, with their protocol classes; `None` when nothing declares it.
fn declared(world: &World, host: &str) -> Option<Vec<(u16, ProtocolClass)>> {
    let mut ports = None;
    for entry in &world.service_entries {
        if entry.spec.hosts.iter().any(|declared| covers(declared, host)) {
            let own = entry.spec.ports.iter().map(|port| (port.number, port.protocol.class()));
            ports.get_or_insert_with(Vec::new).extend(own);
        }
    }
    for service in &world.services {
        let name = format!("{}.{}.svc", service.meta.name, service.meta.namespace);
        let cluster_name = host.strip_suffix(".cluster.local").unwrap_or(host);
        let short = format!("{}.{}", service.meta.name, service.meta.namespace);
        if cluster_name == name || host == short {
            let own = service
                .spec
                .ports
                .iter()
                .map(|port| (port.number, port.protocol.class()));
            ports.get_or_insert_with(Vec::new).extend(own);
        }
    }
    ports
}

fn destinations(report: &mut Report<'_>, world: &World, service: &Object<VirtualService>) {
    let spec = &service.spec;
    let http = spec
        .http
        .iter()
        .enumerate()
        .map(|(index, route)| ("http", index, route.line, &route.route));
    let tls = spec
        .tls
        .iter()
        .enumerate()
        .map(|(index, route)| ("tls", index, route.line, &route.route));
    let tcp = spec
        .tcp
        .iter()
        .enumerate()
        .map(|(index, route)| ("tcp", index, route.line, &route.route));
    for (list, index, line, route) in http.chain(tls).chain(tcp) {
        for (position, destination) in route.iter().enumerate() {
            let field = format!("spec.{list}[{index}].route[{position}].destination");
            let host = qualify(&destination.host, &service.meta.namespace);
            let unknown = match (declared(world, &host), destination.port) {
                (None, _) => format!("Referenced host not found: {:?}", destination.host),
                (Some(ports), Some(port)) if !ports.iter().any(|(number, _)| *number == port) => {
                    format!("Referenced host:port not found: \"{}:{port}\"", destination.host)
                }
                _ => continue,
            };
            report.add(
                "IST0101",
                Level::Warning,
                format!("{field}.host"),
                unknown,
                Some("add a ServiceEntry for it; until then requests get 503".into()),
            );
            report.at(line);
        }
    }
}

fn not_http(report: &mut Report<'_>, world: &World, service: &Object<VirtualService>) {
    if service.spec.http.is_empty() {
        return;
    }
    for (index, host) in service.spec.hosts.iter().enumerate() {
        let Some(ports) = declared(world, &qualify(host, &service.meta.namespace)) else {
            continue;
        };
        let http = |class| matches!(class, ProtocolClass::Http | ProtocolClass::Auto);
        if ports.is_empty() || ports.iter().any(|(_, class)| http(*class)) {
            continue;
        }
        let numbers: Vec<String> = ports.iter().map(|(number, _)| number.to_string()).collect();
        report.add(
            "EGR03",
            Level::Warning,
            format!("spec.hosts[{index}]"),
            format!(
                "http routes (timeouts and retries too) have no effect on {host}: no port of it is HTTP (port {})",
                numbers.join(", ")
            ),
            Some(
                "the sidecar does not see inside TLS; to act on requests declare an HTTP port and originate TLS with a \
                 DestinationRule"
                    .into(),
            ),
        );
    }
}

fn same_host(report: &mut Report<'_>, service: &Object<VirtualService>, other: &Object<VirtualService>) {
    // Two that no caller sees together do not meet.
    let private = |one: &Object<VirtualService>| one.spec.export_to.iter().all(|entry| entry == ".");
    let both_private = !service.spec.export_to.is_empty() && !other.spec.export_to.is_empty();
    if both_private && private(service) && private(other) && service.meta.namespace != other.meta.namespace {
        return;
    }
    for (index, host) in service.spec.hosts.iter().enumerate() {
        let host = qualify(host, &service.meta.namespace);
        let same = |name: &std::sync::Arc<str>| qualify(name, &other.meta.namespace).eq_ignore_ascii_case(&host);
        if other.spec.hosts.iter().any(same) {
            report.add(
                "IST0109",
                Level::Warning,
                format!("spec.hosts[{index}]"),
                format!(
                    "The VirtualServices {}/{},{}/{} associated with mesh gateway define the same host {host}; sidecars \
                     use only the older one",
                    other.meta.namespace, other.meta.name, service.meta.namespace, service.meta.name
                ),
                Some("write the routes of one host in one VirtualService".into()),
            );
        }
    }
}
