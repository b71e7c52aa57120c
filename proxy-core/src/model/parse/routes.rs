//! VirtualService.

use super::{cursor::Cursor, service_entry::choice};
use crate::{
    model::{
        DirectResponse, HttpMatch, HttpRoute, L4Match, L4Route, Redirect, Retries, RouteDestination, TextMatch,
        VirtualService,
    },
    yaml::Value,
};

/// Parts of an `http[]` entry that the engine does not act on yet; named in traces and checks.
const UNSUPPORTED: [&str; 7] = [
    "rewrite",
    "fault",
    "mirror",
    "mirrors",
    "headers",
    "corsPolicy",
    "delegate",
];

/// Spec of a VirtualService.
pub fn virtual_service(root: Cursor<'_>) -> VirtualService {
    let Some(spec) = root.mapping("spec") else {
        root.error("expected spec with hosts and http, tls or tcp routes");
        return VirtualService::default();
    };
    VirtualService {
        hosts: spec.list("hosts", |host| host.as_text().map(Into::into)),
        gateways: spec.texts("gateways"),
        export_to: spec.texts("exportTo"),
        http: spec.list("http", |route| Some(http_route(route))),
        tls: spec.list("tls", |route| Some(l4_route(route))),
        tcp: spec.list("tcp", |route| Some(l4_route(route))),
    }
}

fn http_route(route: Cursor<'_>) -> HttpRoute {
    HttpRoute {
        name: route.text("name").map(Into::into),
        line: route.line(),
        matches: route.list("match", |condition| Some(http_match(condition))),
        route: route.list("route", destination),
        redirect: route.mapping("redirect").map(|redirect| Redirect {
            uri: redirect.text("uri").map(str::to_string),
            authority: redirect.text("authority").map(str::to_string),
            scheme: redirect.text("scheme").map(str::to_string),
            port: redirect.port("port"),
            to_request_port: choice(
                redirect,
                "derivePort",
                &[("FROM_PROTOCOL_DEFAULT", false), ("FROM_REQUEST_PORT", true)],
            )
            .unwrap_or_default(),
            code: redirect
                .count("redirectCode")
                .and_then(|code| u16::try_from(code).ok())
                .unwrap_or(301),
        }),
        direct_response: route.mapping("directResponse").map(|response| DirectResponse {
            status: response
                .count("status")
                .and_then(|status| u16::try_from(status).ok())
                .unwrap_or_default(),
            body: response
                .mapping("body")
                .and_then(|body| body.text("string"))
                .unwrap_or_default()
                .into(),
        }),
        timeout: route.duration("timeout"),
        timeout_line: route.line_of("timeout"),
        retries: route.mapping("retries").map(|retries| Retries {
            attempts: retries.count("attempts").unwrap_or_default(),
            per_try_timeout: retries.duration("perTryTimeout"),
            retry_on: retries.text("retryOn").map(str::to_string),
        }),
        unsupported: UNSUPPORTED.into_iter().filter(|key| route.has(key)).collect(),
    }
}

fn destination(entry: Cursor<'_>) -> Option<RouteDestination> {
    let Some(destination) = entry.mapping("destination") else {
        entry.error("expected destination with a host");
        return None;
    };
    let Some(host) = destination.text("host") else {
        destination.error("expected a host");
        return None;
    };
    Some(RouteDestination {
        host: host.into(),
        subset: destination.text("subset").map(Into::into),
        port: destination.mapping("port").and_then(|port| port.port("number")),
        weight: entry.count("weight").unwrap_or_default(),
    })
}

fn http_match(condition: Cursor<'_>) -> HttpMatch {
    let text = |key| condition.field(key, text_match);
    let texts = |key| {
        let pairs = condition.pairs(key, |_, value| text_match(value));
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect()
    };
    HttpMatch {
        name: condition.text("name").map(Into::into),
        uri: text("uri"),
        ignore_uri_case: condition.boolean("ignoreUriCase").unwrap_or_default(),
        method: text("method"),
        scheme: text("scheme"),
        authority: text("authority"),
        headers: texts("headers"),
        without_headers: texts("withoutHeaders"),
        query_params: condition
            .pairs("queryParams", |_, value| text_match(value))
            .into_iter()
            .collect(),
        port: condition.port("port"),
        source_labels: condition.labels("sourceLabels"),
        source_namespace: condition.text("sourceNamespace").map(str::to_string),
        gateways: condition.texts("gateways"),
    }
}

fn text_match(value: Cursor<'_>) -> Option<TextMatch> {
    if !matches!(value.node.value, Value::Mapping(_)) {
        value.error("expected exact, prefix or regex");
        return None;
    }
    if let Some(text) = value.text("exact") {
        return Some(TextMatch::Exact(text.to_string()));
    }
    if let Some(text) = value.text("prefix") {
        return Some(TextMatch::Prefix(text.to_string()));
    }
    match value.text("regex") {
        Some("*") => Some(TextMatch::Present),
        Some(text) => {
            // RE2 and this library share their syntax but for details neither uses in practice.
            if let Err(error) = regex::Regex::new(text) {
                value.error_at("regex", format!("not a regular expression: {error}"));
                return None;
            }
            Some(TextMatch::Regex(text.to_string()))
        }
        None => Some(TextMatch::Present),
    }
}

fn l4_route(route: Cursor<'_>) -> L4Route {
    L4Route {
        line: route.line(),
        matches: route.list("match", |condition| {
            Some(L4Match {
                sni_hosts: condition.list("sniHosts", |host| host.as_text().map(Into::into)),
                destination_subnets: condition.list("destinationSubnets", |range| range.as_range()),
                port: condition.port("port"),
                source_labels: condition.labels("sourceLabels"),
                source_namespace: condition.text("sourceNamespace").map(str::to_string),
                gateways: condition.texts("gateways"),
            })
        }),
        route: route.list("route", destination),
    }
}
