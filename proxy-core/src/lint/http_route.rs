//! One `http[]` entry of a VirtualService, and what the entries for streams have in common with it: Istio's validation.

use super::{
    Level,
    finding::Report,
    hosts::{is_domain, is_label, is_wildcard_domain, labels},
};
use crate::{
    model::{Fault, HttpMatch, HttpRoute, RouteDestination, TextMatch},
    policy::{is_status, unknown_operators},
};

/// Words that `retryOn` takes beside status codes.
const RETRY_ON: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// Bytes of a direct response above which Istio warns, and above which it refuses (`validateHTTPDirectResponse`).
const LARGE_BODY: usize = 100 * 1024;
const LARGEST_BODY: usize = 1024 * 1024;

pub(super) fn http(report: &mut Report<'_>, field: &str, route: &HttpRoute, is_delegate: bool) {
    actions(report, field, route, is_delegate);
    if let Some(mirror) = &route.mirror {
        destination(report, &format!("{field}.mirror"), mirror);
    }
    for (index, mirror) in route.mirrors.iter().enumerate() {
        destination(
            report,
            &format!("{field}.mirrors[{index}].destination"),
            &mirror.destination,
        );
    }
    weights(report, field, &route.route);
    if let Some(redirect) = &route.redirect {
        let written = [
            &redirect.uri,
            &redirect.authority,
            &redirect.scheme,
            &redirect.prefix_rewrite,
        ];
        if written.iter().all(|text| text.is_none()) && !redirect.has_port {
            report.rejected(
                format!("{field}.redirect"),
                "redirect must specify URI, authority, scheme, or port",
            );
        }
        if let Some(scheme) = redirect
            .scheme
            .as_deref()
            .filter(|scheme| !matches!(*scheme, "http" | "https"))
        {
            report.rejected(
                format!("{field}.redirect.scheme"),
                format!("redirect scheme must be http or https, found {scheme:?}"),
            );
        }
        let by_prefix = |condition: &HttpMatch| matches!(condition.uri, None | Some(TextMatch::Prefix(_)));
        if redirect.prefix_rewrite.is_some() && redirect.uri.is_some() {
            report.rejected(
                format!("{field}.redirect"),
                "redirect may only specify one of uri or prefix_rewrite",
            );
        } else if redirect.prefix_rewrite.is_some() && !route.matches.iter().all(by_prefix) {
            report.rejected(
                format!("{field}.redirect.prefixRewrite"),
                "redirect prefix_rewrite requires all URI matches to use prefix match type",
            );
        }
        if redirect.code != 0 && !(300..=399).contains(&redirect.code) {
            report.rejected(
                format!("{field}.redirect.redirectCode"),
                format!("redirect code {} must be 3xx", redirect.code),
            );
        }
    }
    if let Some(response) = route
        .direct_response
        .as_ref()
        .filter(|response| !(200..=600).contains(&response.status))
    {
        report.rejected(
            format!("{field}.directResponse.status"),
            format!("status must be between 200 and 599, found {}", response.status),
        );
    }
    if let Some(response) = &route.direct_response {
        let field = format!("{field}.directResponse.body");
        let bytes = response.body.len();
        if bytes > LARGEST_BODY {
            report.rejected(
                field,
                "large direct_responses may impact control plane performance, must be less than 1MB",
            );
        } else if bytes > LARGE_BODY {
            report.warned(field, "large direct_responses may impact control plane performance");
        }
    }
    for (index, condition) in route.matches.iter().enumerate() {
        conditions(report, &format!("{field}.match[{index}]"), condition);
    }
    retries(report, &format!("{field}.retries"), route);
    if route.mirror_percent.is_some() {
        report.warned(
            format!("{field}.mirrorPercent"),
            "using deprecated setting \"mirrorPercent\", use \"mirrorPercentage\" instead",
        );
    }
    if let Some(fault) = &route.fault {
        for_nobody(report, &format!("{field}.fault"), fault);
    }
    let of_destinations = route.route.iter().filter_map(|one| one.headers.as_deref());
    let headers = route.headers.as_deref().into_iter().chain(of_destinations);
    for operator in headers.flat_map(unknown_operators) {
        report.add(
            "EGR06",
            Level::Info,
            format!("{field}.headers"),
            format!("Egret's sidecar leaves {operator} in header values empty; Envoy does not"),
            None,
        );
        report.at(route.line);
    }
}

/// Istio: one of route, redirect and direct response; a route that hands over to another VirtualService has no route or
/// redirect of its own.
fn actions(report: &mut Report<'_>, field: &str, route: &HttpRoute, is_delegate: bool) {
    let (has_route, redirects, responds) = (
        !route.route.is_empty(),
        route.redirect.is_some(),
        route.direct_response.is_some(),
    );
    let delegates = route.delegate.is_some();
    if delegates && !is_delegate {
        if has_route || redirects {
            report.rejected(
                field,
                "root HTTP route must not specify route or redirect beside delegate",
            );
        }
        return;
    }
    if delegates {
        report.rejected(field, "delegate HTTP route cannot contain delegate");
    }
    match [has_route, redirects, responds]
        .iter()
        .filter(|present| **present)
        .count()
    {
        0 => report.rejected(field, "HTTP route, redirect or direct_response is required"),
        1 => {}
        _ => report.rejected(
            field,
            "HTTP route cannot contain more than one of route, redirect and direct_response",
        ),
    }
    for (part, present) in [("fault", route.fault.is_some()), ("rewrite", route.rewrite.is_some())] {
        if (redirects || responds) && present {
            report.rejected(
                format!("{field}.{part}"),
                format!("HTTP route cannot contain {part} beside a redirect or direct_response"),
            );
        }
    }
}

pub(super) fn weights(report: &mut Report<'_>, field: &str, route: &[RouteDestination]) {
    if route.len() > 1 && route.iter().all(|destination| destination.weight == 0) {
        report.rejected(format!("{field}.route"), "total destination weight = 0");
    }
    for (index, one) in route.iter().enumerate() {
        destination(report, &format!("{field}.route[{index}].destination"), one);
    }
}

fn destination(report: &mut Report<'_>, field: &str, destination: &RouteDestination) {
    if &*destination.host == "*" {
        report.rejected(format!("{field}.host"), "invalid destination host *");
    } else if !is_wildcard_domain(&destination.host) {
        report.rejected(
            format!("{field}.host"),
            format!("domain name {:?} invalid", destination.host),
        );
    }
    if let Some(subset) = destination.subset.as_deref().filter(|subset| !is_label(subset)) {
        report.rejected(format!("{field}.subset"), format!("subset name is invalid: {subset}"));
    }
}

/// Names of gateways: `mesh`, a name, or `namespace/name`.
pub(super) fn gateways(report: &mut Report<'_>, field: &str, names: &[String]) {
    for name in names {
        let Some((namespace, own)) = name.split_once('/') else {
            if name.contains('.') {
                report.warned(
                    field,
                    format!("using legacy gatewayName format {name:?}; prefer the <namespace>/<name> format"),
                );
            }
            if !is_domain(name) {
                report.rejected(field, format!("invalid value for gateway name: {name:?}"));
            }
            // Istio looks at none behind a name without a namespace.
            return;
        };
        if !is_label(namespace) || !is_label(own) {
            report.rejected(field, format!("invalid value for gateway name: {name:?}"));
        }
    }
}

/// A header's name as a condition, where pseudo headers and claims of a token stand too.
fn is_header(name: &str) -> bool {
    let pseudo = [":method", ":scheme", ":authority", ":path", ":status"];
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    pseudo.contains(&name) || !name.is_empty() && name.bytes().all(letter)
}

/// The name of a token's claim in the place of a header's, in lower case as all of them: `@request.auth.claims.name` or `@request.auth.claims[name]`
/// (`jwt.ToRoutingClaim`).
pub(super) fn is_claim(name: &str) -> bool {
    let Some(claim) = name.strip_prefix("@request.auth.claims") else {
        return false;
    };
    let bracketed = || claim.strip_prefix('[')?.strip_suffix(']');
    let claim = claim.strip_prefix('.').or_else(bracketed);
    claim.is_some_and(|claim| !claim.is_empty())
}

fn conditions(report: &mut Report<'_>, field: &str, condition: &HttpMatch) {
    let mut text = |name: String, value: &TextMatch, prefix_may_be_empty: bool| match value {
        TextMatch::Regex(regex) if regex == "*" && !name.starts_with("withoutHeaders") => report.rejected(
            format!("{field}.{name}"),
            "error parsing regexp: missing argument to repetition operator: `*`",
        ),
        TextMatch::Regex(regex) if regex.is_empty() => {
            report.rejected(format!("{field}.{name}"), "regex string match may not be empty");
        }
        TextMatch::Regex(regex) if regex.len() > 1024 => {
            report.rejected(
                format!("{field}.{name}"),
                "regex is too large, max length allowed is 1024",
            );
        }
        TextMatch::Prefix(prefix) if prefix.is_empty() && !prefix_may_be_empty => {
            report.rejected(format!("{field}.{name}"), "prefix string match may not be empty");
        }
        _ => {}
    };
    for (name, value, empty) in [
        ("uri", &condition.uri, true),
        ("method", &condition.method, false),
        ("scheme", &condition.scheme, false),
        ("authority", &condition.authority, false),
    ] {
        if let Some(value) = value {
            text(name.to_string(), value, empty);
        }
    }
    for (map, values) in [
        ("headers", &condition.headers),
        ("withoutHeaders", &condition.without_headers),
        ("queryParams", &condition.query_params),
    ] {
        for (name, value) in values {
            text(format!("{map}[{name}]"), value, false);
        }
    }
    for (map, values) in [
        ("headers", &condition.headers),
        ("withoutHeaders", &condition.without_headers),
    ] {
        for name in values.keys().filter(|name| !is_header(name) && !is_claim(name)) {
            report.rejected(
                format!("{field}.{map}"),
                format!("header name {name} is not a valid header name"),
            );
        }
    }
    labels(report, &format!("{field}.sourceLabels"), &condition.source_labels);
    gateways(report, &format!("{field}.gateways"), &condition.gateways);
    let namespace = condition.source_namespace.as_deref().unwrap_or_default();
    if !namespace.is_empty() && !is_label(namespace) {
        report.rejected(
            format!("{field}.sourceNamespace"),
            format!("sourceNamespace match {namespace} is invalid"),
        );
    }
}

/// A fault that holds for no request. Of an abort that says not with what, Istio's validation has a warning that no webhook
/// and no analyzer passes on (`validateHTTPFaultInjection` takes it for an error that there is none of).
fn for_nobody(report: &mut Report<'_>, field: &str, fault: &Fault) {
    if fault.delay.is_none() && fault.abort.is_none() {
        report.add(
            "EGR09",
            Level::Info,
            field,
            "it does nothing: neither a fixedDelay nor an httpStatus or grpcStatus is written",
            Some("write what is to be injected, or take it away".into()),
        );
        report.at(fault.line);
    }
    let parts = [
        ("delay", fault.delay.as_ref().map(|delay| delay.percentage)),
        ("abort", fault.abort.as_ref().map(|abort| abort.percentage)),
    ];
    for (part, percentage) in parts {
        if percentage.is_some_and(|percentage| percentage.is_none()) {
            report.add(
                "EGR09",
                Level::Info,
                format!("{field}.{part}"),
                "it holds for no request: a percentage that is not written is 0",
                Some("write percentage: {value: 100} for all requests, or take it away".into()),
            );
            report.at(fault.line);
        }
    }
}

fn retries(report: &mut Report<'_>, field: &str, route: &HttpRoute) {
    let Some(retries) = &route.retries else { return };
    let has_more =
        retries.per_try_timeout.is_some() || retries.retry_on.is_some() || retries.remote_localities.is_some();
    if retries.attempts == 0 && has_more {
        report.rejected(
            field,
            "http retry policy configured when attempts are set to 0 (disabled)",
        );
    }
    for word in retries.retry_on.iter().flat_map(|words| words.split(',')) {
        let status = word.parse().is_ok_and(is_status);
        if !status && !RETRY_ON.contains(&word) {
            report.rejected(
                format!("{field}.retryOn"),
                format!("{word:?} is not a valid retryOn policy (no spaces between the words)"),
            );
        }
    }
}
