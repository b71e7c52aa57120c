//! Further rules by which Istio rejects objects; each was found by comparing with its own code.

use super::holds;

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
