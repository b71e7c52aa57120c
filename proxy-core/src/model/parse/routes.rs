//! VirtualService.

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{cursor::Cursor, route_actions as actions, service_entry::choice};
use crate::{
    model::{
        Delegate, DirectResponse, Headers, HttpMatch, HttpRoute, L4Match, L4Route, Redirect, Retries, RouteDestination,
        TextMatch, VirtualService,
    },
    yaml::Value,
};

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
        http: spec.mappings("http", |route| Some(http_route(route))),
        tls: spec.mappings("tls", |route| Some(l4_route(route))),
        tcp: spec.mappings("tcp", |route| Some(l4_route(route))),
    }
}

fn http_route(route: Cursor<'_>) -> HttpRoute {
    HttpRoute {
        name: route.some_text("name").map(Into::into),
        line: route.line(),
        matches: route.mappings("match", |condition| Some(http_match(condition))),
        route: route.mappings("route", |entry| {
            Some(RouteDestination {
                headers: actions::headers(entry).map(Box::new),
                ..destination(entry)?
            })
        }),
        redirect: route.mapping("redirect").map(redirect).map(Box::new),
        direct_response: route.mapping("directResponse").map(|response| DirectResponse {
            status: response
                .count("status")
                .and_then(|status| u16::try_from(status).ok())
                .unwrap_or_default(),
            body: response.mapping("body").map(body).unwrap_or_default().into(),
        }),
        delegate: route.mapping("delegate").map(|delegate| Delegate {
            name: delegate.text("name").unwrap_or_default().into(),
            namespace: delegate.some_text("namespace").map(Into::into),
        }),
        timeout: route.duration("timeout"),
        timeout_line: route.line_of("timeout"),
        retries: route.mapping("retries").map(retries),
        rewrite: actions::rewrite(route).map(Box::new),
        headers: headers(route).map(Box::new),
        fault: actions::fault(route).map(Box::new),
        mirror: route.mapping("mirror").and_then(destination_of).map(Box::new),
        mirror_percentage: actions::mirrored(route, "mirrorPercentage"),
        mirror_percent: actions::mirror_percent(route),
        mirrors: actions::mirrors(route),
        mirror_line: route.line_of("mirror").max(route.line_of("mirrors")),
        cors: actions::cors(route).map(Box::new),
    }
}

/// `body` of a direct response.
fn body(body: Cursor<'_>) -> Vec<u8> {
    let Some(encoded) = body.text("bytes") else {
        return body.text("string").unwrap_or_default().into();
    };
    // As protobuf's JSON has it: either alphabet, with padding or without.
    let settings = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = [STANDARD, URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, settings).decode(encoded).ok());
    decoded.unwrap_or_else(|| {
        body.error_at("bytes", "expected bytes in base64");
        Vec::new()
    })
}

/// `retries` of a route, or those of the mesh for all.
pub fn retries(retries: Cursor<'_>) -> Retries {
    Retries {
        attempts: retries.count("attempts").unwrap_or_default(),
        per_try_timeout: retries.duration("perTryTimeout"),
        retry_on: retries.some_text("retryOn").map(str::to_string),
        ignore_previous_hosts: retries.boolean("retryIgnorePreviousHosts"),
        back_off: retries.duration("backoff"),
        remote_localities: retries.boolean("retryRemoteLocalities"),
    }
}

fn redirect(redirect: Cursor<'_>) -> Redirect {
    if redirect.has("port") && redirect.has("derivePort") {
        redirect.error("redirect may only specify one of port or derivePort");
    }
    Redirect {
        uri: redirect.some_text("uri").map(str::to_string),
        authority: redirect.some_text("authority").map(str::to_string),
        scheme: redirect.some_text("scheme").map(str::to_string),
        port: redirect.any_port("port"),
        has_port: redirect.has("port") || redirect.has("derivePort"),
        prefix_rewrite: redirect.some_text("prefixRewrite").map(str::to_string),
        matched: String::new(),
        to_request_port: choice(
            redirect,
            "derivePort",
            &[("FROM_PROTOCOL_DEFAULT", false), ("FROM_REQUEST_PORT", true)],
        )
        .unwrap_or_default(),
        code: redirect
            .count("redirectCode")
            .filter(|code| *code > 0)
            .map_or(301, |code| u16::try_from(code).unwrap_or(u16::MAX)),
    }
}

/// The edits of a route, which may set the Host in one place.
fn headers(route: Cursor<'_>) -> Option<Headers> {
    let headers = actions::headers(route)?;
    let rewrite = route.mapping("rewrite");
    let mut current = rewrite
        .and_then(|rewrite| rewrite.text("authority"))
        .unwrap_or_default();
    for (name, value) in headers.request.set.iter().chain(&headers.request.add) {
        if actions::is_authority(name) {
            if !current.is_empty() {
                route.error_at("headers", "authority header cannot be set multiple times");
            }
            current = value;
        }
    }
    Some(headers)
}

fn destination(entry: Cursor<'_>) -> Option<RouteDestination> {
    let Some(destination) = entry.mapping("destination") else {
        entry.error("expected destination with a host");
        return None;
    };
    Some(RouteDestination {
        weight: entry.count("weight").unwrap_or_default(),
        ..destination_of(destination)?
    })
}

/// A destination without a weight.
pub fn destination_of(destination: Cursor<'_>) -> Option<RouteDestination> {
    let Some(host) = destination.text("host") else {
        destination.error("expected a host");
        return None;
    };
    let port = destination.mapping("port");
    if let Some(port) = port.filter(|port| !port.has("number")) {
        port.error("port number must be in the range 1..65535");
    }
    Some(RouteDestination {
        host: host.into(),
        subset: destination
            .text("subset")
            .filter(|name| !name.is_empty())
            .map(Into::into),
        port: port.and_then(|port| port.port("number")),
        weight: 0,
        headers: None,
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
        name: condition.some_text("name").map(Into::into),
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
        port: condition.any_port("port"),
        source_labels: condition.labels("sourceLabels"),
        source_namespace: condition.some_text("sourceNamespace").map(str::to_string),
        gateways: condition.texts("gateways"),
    }
}

/// A StringMatch.
pub fn text_match(value: Cursor<'_>) -> Option<TextMatch> {
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
        // No expression at all; where Istio takes it, it asks for presence.
        Some("*") => Some(TextMatch::Regex("*".into())),
        Some(text) => {
            // RE2 and this library share their syntax but for details neither uses in practice, and this limit.
            let wrong = match regex::Regex::new(text) {
                Err(error) => Some(error.to_string()),
                Ok(_) if repeats_too_often(text) => Some("a repeat count is at most 1000".into()),
                Ok(_) => None,
            };
            if let Some(wrong) = wrong {
                value.error_at("regex", format!("not a regular expression: {wrong}"));
                return None;
            }
            Some(TextMatch::Regex(text.to_string()))
        }
        None => Some(TextMatch::Present),
    }
}

/// True where a count in braces is beyond what RE2 takes.
fn repeats_too_often(text: &str) -> bool {
    let counts = text.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    counts
        .flat_map(|(counts, _)| counts.split(','))
        .any(|count| count.parse::<u32>().is_ok_and(|count| count > 1000))
}

fn l4_route(route: Cursor<'_>) -> L4Route {
    L4Route {
        line: route.line(),
        matches: route.mappings("match", |condition| {
            Some(L4Match {
                sni_hosts: condition.list("sniHosts", |host| host.as_text().map(Into::into)),
                destination_subnets: condition.list("destinationSubnets", |range| range.as_range()),
                port: condition.any_port("port"),
                source_labels: condition.labels("sourceLabels"),
                source_namespace: condition.some_text("sourceNamespace").map(str::to_string),
                gateways: condition.texts("gateways"),
            })
        }),
        route: route.mappings("route", destination),
    }
}
