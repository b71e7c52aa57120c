//! Further rules by which Istio rejects objects; each was found by comparing with its own code.

use super::{findings, holds, object};

const ROUTE: &str = "route: [{destination: {host: a.com}}]";

#[test]
fn routes_are_rejected_as_by_istio() {
    let rows = [
        (
            "redirect",
            "must specify URI",
            "redirect: {}",
            "redirect: {authority: b.com}",
        ),
        (
            "redirect.prefixRewrite",
            "prefix match type",
            "match: [{uri: {exact: /a}}], redirect: {prefixRewrite: /b}",
            "match: [{uri: {prefix: /a}}], redirect: {prefixRewrite: /b}",
        ),
        (
            "match[0].headers[x]",
            "missing argument to repetition operator",
            "match: [{headers: {x: {regex: '*'}}}], route: [{destination: {host: a.com}}]",
            "match: [{withoutHeaders: {x: {regex: '*'}}}], route: [{destination: {host: a.com}}]",
        ),
        (
            "match[0].headers",
            "not a valid header name",
            "match: [{headers: {'a b': {exact: x}}}], route: [{destination: {host: a.com}}]",
            "match: [{headers: {':path': {exact: x}}}], route: [{destination: {host: a.com}}]",
        ),
        (
            "match[0].sourceNamespace",
            "is invalid",
            "match: [{sourceNamespace: A_b}], route: [{destination: {host: a.com}}]",
            "match: [{sourceNamespace: shop}], route: [{destination: {host: a.com}}]",
        ),
        (
            "route[0].destination.host",
            "invalid destination host *",
            "route: [{destination: {host: '*'}}]",
            "route: [{destination: {host: '*.a.com'}}]",
        ),
        (
            "route[0].destination.subset",
            "subset name is invalid",
            "route: [{destination: {host: a.com, subset: a_b}}]",
            "route: [{destination: {host: a.com, subset: v-1}}]",
        ),
        (
            "retries",
            "attempts are set to 0",
            "route: [{destination: {host: a.com}}], retries: {retryRemoteLocalities: false}",
            "route: [{destination: {host: a.com}}], retries: {attempts: 1, retryRemoteLocalities: false}",
        ),
        (
            "match[0].headers[@request.auth.claims.sub]",
            "only supported for gateway",
            "match: [{headers: {'@request.auth.claims.sub': {exact: x}}}], route: [{destination: {host: a.com}}]",
            "match: [{headers: {sub: {exact: x}}}], route: [{destination: {host: a.com}}]",
        ),
        (
            "match[0].withoutHeaders[@request.auth.claims[sub]]",
            "only supported for gateway",
            "match: [{withoutHeaders: {'@Request.Auth.Claims[sub]': {exact: x}}}], route: [{destination: {host: a.com}}]",
            "match: [{withoutHeaders: {sub: {exact: x}}}], route: [{destination: {host: a.com}}]",
        ),
        (
            "match[0].headers",
            "not a valid header name",
            "match: [{headers: {'@request.auth.claims.': {exact: x}}}], route: [{destination: {host: a.com}}]",
            "match: [{headers: {'@request.auth.claims.a': {exact: x}}}], route: [{destination: {host: a.com}}]",
        ),
    ];
    for (field, words, fires, silent) in rows {
        let spec = |route: &str| format!("  hosts: [a.com]\n  http: [{{{route}}}]");
        let field = format!("spec.http[0].{field}");
        holds("VirtualService", "IST0106", &field, words, &spec(fires), &spec(silent));
    }
    let gateways = |names: &str| format!("  hosts: [a.com]\n  gateways: [{names}]\n  http: [{{{ROUTE}}}]");
    let (fires, silent) = (gateways("mesh/a/b"), gateways("mesh, shop/edge"));
    holds(
        "VirtualService",
        "IST0106",
        "spec.gateways",
        "invalid value for gateway",
        &fires,
        &silent,
    );
}

#[test]
fn rules_and_sidecars_are_rejected_as_by_istio() {
    let rows = [
        (
            "DestinationRule",
            "spec.trafficPolicy",
            "at least one field",
            "  host: a.com\n  trafficPolicy: {}",
            "  host: a.com\n  trafficPolicy: {loadBalancer: {simple: RANDOM}}",
        ),
        (
            "DestinationRule",
            "spec.trafficPolicy.connectionPool",
            "at least one field",
            "  host: a.com\n  trafficPolicy: {connectionPool: {}}",
            "  host: a.com\n  trafficPolicy: {connectionPool: {tcp: {}}}",
        ),
        (
            "DestinationRule",
            "spec.trafficPolicy.connectionPool.http",
            "must not be true",
            "  host: a.com\n  trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}}",
            "  host: a.com\n  trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: DO_NOT_UPGRADE, useClientProtocol: true}}}",
        ),
        (
            "DestinationRule",
            "spec.trafficPolicy.tls",
            "client certificate required",
            "  host: a.com\n  trafficPolicy: {tls: {mode: MUTUAL}}",
            "  host: a.com\n  trafficPolicy: {tls: {mode: MUTUAL, credentialName: c}}",
        ),
        (
            "DestinationRule",
            "spec.exportTo",
            "beyond current namespace",
            "  host: a.com\n  exportTo: ['*']\n  workloadSelector: {matchLabels: {app: a}}",
            "  host: a.com\n  exportTo: [n]\n  workloadSelector: {matchLabels: {app: a}}",
        ),
        (
            "DestinationRule",
            "spec.subsets[0].labels",
            "invalid tag key",
            "  host: a.com\n  subsets: [{name: v1, labels: {'a b': c}}]",
            "  host: a.com\n  subsets: [{name: v1, labels: {example.com/a: ''}}]",
        ),
        (
            "Sidecar",
            "spec",
            "empty configuration",
            "  workloadSelector: {labels: {app: a}}",
            "  egress: [{hosts: ['*/*']}]",
        ),
        (
            "Sidecar",
            "spec.outboundTrafficPolicy.egressProxy",
            "only with ALLOW_ANY",
            "  outboundTrafficPolicy: {mode: REGISTRY_ONLY, egressProxy: {host: a.com, port: {number: 80}}}",
            "  outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.com, port: {number: 80}}}",
        ),
    ];
    for (kind, field, words, fires, silent) in rows {
        holds(kind, "IST0106", field, words, fires, silent);
    }
}

#[test]
fn long_answers_are_warned_about_and_the_longest_refused() {
    let spec = |bytes: usize| {
        let body = "a".repeat(bytes);
        format!("  hosts: [a.com]\n  http: [{{directResponse: {{status: 200, body: {{string: {body}}}}}}}]")
    };
    let field = "spec.http[0].directResponse.body";
    let (large, largest) = (100 * 1024, 1024 * 1024);
    holds(
        "VirtualService",
        "IST0133",
        field,
        "large direct_responses",
        &spec(large + 1),
        &spec(large),
    );
    holds(
        "VirtualService",
        "IST0106",
        field,
        "less than 1MB",
        &spec(largest + 1),
        &spec(largest),
    );
}

#[test]
fn a_gateway_may_serve_the_names_that_istio_makes_for_traffic_between_gateways() {
    let spec = |gateway: &str, host: &str| {
        format!("  hosts: ['{host}']\n  gateways: [{gateway}]\n  tls: [{{match: [{{sniHosts: ['{host}']}}], {ROUTE}}}]")
    };
    let made = "outbound_.80_._.a.com";
    holds(
        "VirtualService",
        "IST0106",
        "spec.hosts[0]",
        "invalid",
        &spec("mesh", made),
        &spec("edge", made),
    );
    for host in [
        "inbound_.80_._.a.com",
        "outbound_.x_._.a.com",
        "outbound_.80_._.1",
        "outbound_.80",
    ] {
        let found = findings(&object("VirtualService", &spec("edge", host)));
        assert!(
            found.iter().any(|finding| finding.code == "IST0106"),
            "{host}: {found:?}"
        );
    }
}

#[test]
fn listeners_at_a_path_are_rejected_as_by_istio() {
    let spec = |listeners: &[&str]| {
        let listeners = listeners.iter().map(|listener| {
            format!("{{port: {{number: 0, protocol: HTTP, name: a}}, hosts: ['./a.com'], {listener}}}")
        });
        format!("  egress: [{}]", listeners.collect::<Vec<_>>().join(", "))
    };
    let good = "bind: unix:///run/a";
    let rows = [
        (
            "spec.egress[0].port.number",
            "must have a unix domain socket",
            vec!["bind: 127.0.0.1"],
        ),
        (
            "spec.egress[0].bind",
            "not an absolute path",
            vec!["bind: unix:///run/"],
        ),
        (
            "spec.egress[0].captureMode",
            "must be DEFAULT/NONE",
            vec!["bind: unix:///run/a, captureMode: IPTABLES"],
        ),
        ("spec.egress[1].bind", "must be unique", vec![good, good]),
    ];
    let silent = spec(&[good, "bind: unix://@a, captureMode: NONE"]);
    for (field, words, fires) in rows {
        holds("Sidecar", "IST0106", field, words, &spec(&fires), &silent);
    }
}
