//! VirtualService: Istio's validation of one object, then HTTP routes for ports that are not HTTP.

use std::sync::Arc;

use super::{
    Finding, Level, export_to,
    finding::Report,
    hosts::{is_generated_sni, is_wildcard_domain, labels},
    http_route::{gateways, http, is_claim, weights},
    registry::Registry,
    unused_rules,
};
use crate::{
    model::{HttpMatch, HttpRoute, L4Match, L4Route, Object, ProtocolClass, TextMatch, VirtualService, World},
    policy::{covers, overlap},
};

pub(super) fn check(world: &World, registry: &Registry<'_>, findings: &mut Vec<Finding>) {
    for service in &world.virtual_services {
        let mut report = Report::new(findings, "VirtualService", service);
        let is_delegate = service.spec.hosts.is_empty();
        hosts(&mut report, &service.spec);
        for (index, route) in service.spec.http.iter().enumerate() {
            http(&mut report, &format!("spec.http[{index}]"), route, is_delegate);
        }
        claims(&mut report, &service.spec);
        layer4(&mut report, &service.spec);
        export_to::check(&mut report, &service.spec.export_to, &service.meta.namespace, false);
        unused_rules::check(&mut report, &service.spec);
        if in_mesh(&service.spec) && !is_delegate {
            catch_all(&mut report, &service.spec);
            not_http(&mut report, registry, service);
        }
    }
}

/// Sidecars follow it.
pub(super) fn in_mesh(spec: &VirtualService) -> bool {
    is_of_sidecars(&spec.gateways)
}

/// What is written for these gateways is for sidecars too.
fn is_of_sidecars(gateways: &[String]) -> bool {
    gateways.is_empty() || gateways.iter().any(|gateway| gateway == "mesh")
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
    let by_sni = spec.tls.iter().flat_map(|route| &route.matches);
    let by_sni = by_sni.into_iter().any(|condition| !condition.sni_hosts.is_empty());
    let named = |host: &str| is_wildcard_domain(host) || !in_mesh(spec) && by_sni && is_generated_sni(host);
    let good = |host: &Arc<str>| {
        let wrong_wildcard = &**host == "*" && in_mesh(spec);
        host.parse::<std::net::IpAddr>().is_ok() || !wrong_wildcard && named(host)
    };
    let all_good = spec.hosts.iter().all(good);
    for (index, host) in spec.hosts.iter().enumerate() {
        let field = format!("spec.hosts[{index}]");
        if &**host == "*" && in_mesh(spec) {
            report.rejected(
                &field,
                "wildcard host * is not allowed for virtual services bound to the mesh gateway",
            );
        } else if host.parse::<std::net::IpAddr>().is_err() && !named(host) {
            report.rejected(&field, format!("domain name {host:?} invalid"));
        }
        if all_good && spec.hosts[..index].iter().any(|earlier| overlap(earlier, host)) {
            report.rejected(&field, format!("duplicate hosts in virtual service: {host}"));
        }
    }
}

/// Only gateways ask for tokens.
fn claims(report: &mut Report<'_>, spec: &VirtualService) {
    if !in_mesh(spec) {
        return;
    }
    for (index, route) in spec.http.iter().enumerate() {
        for (position, condition) in route.matches.iter().enumerate() {
            let maps = [
                ("headers", &condition.headers),
                ("withoutHeaders", &condition.without_headers),
            ];
            for (map, values) in maps {
                for name in values.keys().filter(|name| is_claim(name)) {
                    report.rejected(
                        format!("spec.http[{index}].match[{position}].{map}[{name}]"),
                        format!("JWT claim based routing (key: {name}) is only supported for gateway"),
                    );
                }
            }
        }
    }
}

fn layer4(report: &mut Report<'_>, spec: &VirtualService) {
    let names_mesh = spec.gateways.iter().any(|gateway| gateway == "mesh");
    let named = |sni: &str| is_wildcard_domain(sni) || !names_mesh && is_generated_sni(sni);
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
                if is_address {
                    report.warned(
                        &field,
                        format!(
                            "using an IP address ({sni:?}) goes against SNI spec and most clients do not support this"
                        ),
                    );
                }
                if !is_address && !named(sni) {
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

/// A gateway serves the paths that it lists, and what a delegate leaves goes on to its root's next route; but callers of a
/// host in the mesh mean the service.
fn catch_all(report: &mut Report<'_>, spec: &VirtualService) {
    let all = |condition: &HttpMatch| {
        let uri = match &condition.uri {
            None => true,
            Some(TextMatch::Prefix(prefix)) => matches!(prefix.as_str(), "" | "/"),
            // It is held against the whole path, which begins with a slash.
            Some(TextMatch::Regex(regex)) => {
                let inner = regex.strip_prefix('^').unwrap_or(regex);
                matches!(inner.strip_suffix('$').unwrap_or(inner), ".*" | "/.*")
            }
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

fn not_http(report: &mut Report<'_>, registry: &Registry<'_>, service: &Object<VirtualService>) {
    // Routes that only gateways take are not meant for sidecars.
    let of_sidecars = |route: &HttpRoute| {
        route.matches.is_empty()
            || route
                .matches
                .iter()
                .any(|condition| is_of_sidecars(&condition.gateways))
    };
    if !service.spec.http.iter().any(of_sidecars) {
        return;
    }
    for (index, host) in service.spec.hosts.iter().enumerate() {
        let declared = registry.find(&service.meta.namespace, &service.spec.export_to, host);
        let ports: Vec<_> = declared.iter().flat_map(|one| one.ports()).collect();
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
