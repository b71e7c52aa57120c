mod analyzed;
mod balanced;
mod entries;
mod injected;
mod rejected;
mod traps;

use std::sync::Arc;

use super::*;
use crate::{model, yaml};

/// Findings of one file, with their places.
fn findings(text: &str) -> Vec<Finding> {
    let (mut world, mut errors, mut order) = (World::default(), Vec::new(), 0);
    let documents = yaml::read(text.as_bytes()).unwrap();
    for document in &documents {
        model::add_document(document, &Arc::from("f.yaml"), &mut order, &mut world, &mut errors);
    }
    assert_eq!(errors, [], "the text must parse: {text}");
    let mut findings = check(&world);
    locate(&mut findings, |_| Some(documents.clone()));
    findings
}

fn object(kind: &str, spec: &str) -> String {
    format!("apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: a, namespace: n}}\nspec:\n{spec}\n")
}

/// The rule fires on the first text, at the field, with the words; and not on the second.
fn holds(kind: &str, code: &str, field: &str, words: &str, fires: &str, silent: &str) {
    let found = findings(&object(kind, fires));
    let is = |finding: &&Finding| finding.code == code && finding.message.contains(words);
    let hit = found
        .iter()
        .find(is)
        .unwrap_or_else(|| panic!("{code} {words:?} is missing for {fires}: {found:?}"));
    assert_eq!(hit.field, field, "{fires}");
    let other = findings(&object(kind, silent));
    assert!(
        !other.iter().any(|finding| is(&finding)),
        "{code} {words:?} fires on {silent}"
    );
}

const HTTP: &str = "  - {number: 80, name: http, protocol: HTTP}";

#[test]
fn a_finding_stands_at_its_field() {
    let found = findings(&object("ServiceEntry", "  hosts:\n  - a.com\n  - '*'\n"));
    assert_eq!((found[0].line, found[0].column), (7, 5));
    assert_eq!(found[0].object.as_ref().map(|object| object.name.as_str()), Some("a"));
}

#[test]
fn virtual_services_are_rejected_as_by_istio() {
    let rejected = |field: &str, words: &str, fires: &str, silent: &str| {
        holds("VirtualService", "IST0106", field, words, fires, silent);
    };
    let to = "route: [{destination: {host: a.com}}]";
    let good = format!("  hosts: [a.com]\n  http: [{{{to}}}]");
    rejected("spec", "http, tcp or tls must be provided", "  hosts: [a.com]", &good);
    rejected(
        "spec.hosts[0]",
        "wildcard host *",
        &format!("  hosts: ['*']\n  http: [{{{to}}}]"),
        &good,
    );
    rejected(
        "spec.hosts[1]",
        "duplicate hosts",
        &format!("  hosts: ['*.a.com', b.a.com]\n  http: [{{{to}}}]"),
        &format!("  hosts: ['*.a.com', a.com]\n  http: [{{{to}}}]"),
    );
    rejected(
        "spec.http[0]",
        "is required",
        "  hosts: [a.com]\n  http: [{timeout: 1s}]",
        &good,
    );
    rejected(
        "spec.http[0]",
        "more than one of route",
        &format!("  hosts: [a.com]\n  http: [{{{to}, redirect: {{uri: /x}}}}]"),
        &good,
    );
    rejected(
        "spec.http[0].route",
        "total destination weight = 0",
        "  hosts: [a.com]\n  http: [{route: [{destination: {host: a.com}}, {destination: {host: b.com}}]}]",
        "  hosts: [a.com]\n  http: [{route: [{destination: {host: a.com}, weight: 1}, {destination: {host: b.com}}]}]",
    );
    rejected(
        "spec.http[0].directResponse.status",
        "between 200 and 599",
        "  hosts: [a.com]\n  http: [{directResponse: {status: 99}}]",
        "  hosts: [a.com]\n  http: [{directResponse: {status: 503}}]",
    );
    rejected(
        "spec.http[0].retries.retryOn",
        "\" reset\" is not a valid",
        &format!("  hosts: [a.com]\n  http: [{{{to}, retries: {{attempts: 1, retryOn: '5xx, reset'}}}}]"),
        &format!("  hosts: [a.com]\n  http: [{{{to}, retries: {{attempts: 1, retryOn: '5xx,reset,503'}}}}]"),
    );
    rejected(
        "spec.http[0].retries",
        "attempts are set to 0",
        &format!("  hosts: [a.com]\n  http: [{{{to}, retries: {{attempts: 0, perTryTimeout: 1s}}}}]"),
        &format!("  hosts: [a.com]\n  http: [{{{to}, retries: {{attempts: 0}}}}]"),
    );
    let tls = |sni: &str| format!("  hosts: ['*.a.com']\n  tls: [{{match: [{{sniHosts: [{sni}]}}], {to}}}]");
    rejected(
        "spec.tls[0].match[0].sniHosts",
        "not a compatible subset",
        &tls("b.com"),
        &tls("x.a.com"),
    );
    rejected(
        "spec.tcp[0]",
        "TCP route is required",
        "  hosts: [a.com]\n  tcp: [{}]",
        &good,
    );
    rejected(
        "spec.exportTo[0]",
        "invalid value \"~\"",
        &format!("{good}\n  exportTo: ['~']"),
        &format!("{good}\n  exportTo: ['.']"),
    );
}

#[test]
fn routes_that_do_nothing_or_lead_nowhere_are_warned_about() {
    let service = |ports: &str| {
        object(
            "ServiceEntry",
            &format!("  hosts: [a.com]\n  resolution: DNS\n  ports: [{ports}]"),
        )
    };
    let with =
        |ports: &str, spec: &str| findings(&format!("{}---\n{}", service(ports), object("VirtualService", spec)));
    let codes = |found: Vec<Finding>| found.into_iter().map(|finding| finding.code).collect::<Vec<_>>();
    let routed = "  hosts: [a.com]\n  http: [{timeout: 3s, route: [{destination: {host: a.com}}]}]";
    let (tls, http) = (
        "{number: 443, name: tls, protocol: TLS}",
        "{number: 80, name: http, protocol: HTTP}",
    );
    assert_eq!(codes(with(tls, routed)), ["EGR03"]);
    assert_eq!(codes(with(http, routed)), [] as [&str; 0]);
    let of_gateways = routed.replace(
        "  http: [{",
        "  gateways: [mesh, edge]\n  http: [{match: [{gateways: [edge]}], ",
    );
    assert!(!codes(with(tls, &of_gateways)).contains(&"EGR03"));
    // Of two ports Istio's analyzer wants one named, though the sidecar keeps to the one that was called.
    assert_eq!(codes(with(&format!("{tls}, {http}"), routed)), ["IST0112"]);

    let matched = "  hosts: [a.com]\n  http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: a.com}}]}]";
    assert_eq!(codes(with(http, matched)), ["EGR04"]);
    for all in ["{prefix: /}", "{regex: '.*'}", "{regex: '/.*'}", "{regex: '^/.*$'}"] {
        assert_eq!(
            codes(with(http, &matched.replace("{prefix: /a}", all))),
            [] as [&str; 0],
            "{all}"
        );
    }
    assert_eq!(
        codes(with(http, &matched.replace("{prefix: /a}", "{regex: '/a.*'}"))),
        ["EGR04"]
    );
    // A gateway serves the paths that it lists, and behind a delegate its root's routes go on.
    for silent in [
        matched.replace("  hosts: [a.com]", "  hosts: [a.com]\n  gateways: [edge]"),
        matched.replace("  hosts: [a.com]\n", ""),
    ] {
        assert!(!codes(with(http, &silent)).contains(&"EGR04"), "{silent}");
    }

    let elsewhere = routed.replace("{host: a.com}", "{host: b.com}");
    assert_eq!(codes(with(http, &elsewhere)), ["IST0101"]);
    let other_port = routed.replace("{host: a.com}", "{host: a.com, port: {number: 81}}");
    assert_eq!(codes(with(http, &other_port)), ["IST0101"]);
}

#[test]
fn two_virtual_services_of_one_host_are_named() {
    let one = object(
        "VirtualService",
        "  hosts: [a.com]\n  http: [{directResponse: {status: 200}}]",
    );
    let two = one.replace("name: a,", "name: b,");
    let found = findings(&format!("{one}---\n{two}"));
    let lines: Vec<_> = found.iter().map(|finding| (finding.code, finding.line)).collect();
    assert_eq!(lines, [("IST0109", 5), ("IST0109", 12)]);
    assert_eq!(findings(&format!("{one}---\n{}", two.replace("a.com", "b.com"))), []);
    let gateway = two.replace("  hosts:", "  gateways: [g]\n  hosts:");
    let found = findings(&format!("{one}---\n{gateway}"));
    assert!(!found.iter().any(|finding| finding.code == "IST0109"), "{found:?}");
}

#[test]
fn sidecars_and_destination_rules_are_rejected_as_by_istio() {
    let sidecar = |field: &str, words: &str, fires: &str, silent: &str| {
        holds("Sidecar", "IST0106", field, words, fires, silent);
    };
    let good = "  egress: [{port: {number: 80, name: a, protocol: HTTP}, hosts: ['./*']}, {hosts: ['*/a.com']}]";
    sidecar("spec.egress[0]", "at least one host", "  egress: [{hosts: []}]", good);
    sidecar(
        "spec.egress[0].hosts[0]",
        "namespace/dnsName",
        "  egress: [{hosts: [a.com]}]",
        good,
    );
    sidecar(
        "spec.egress[0].hosts[0]",
        "short names",
        "  egress: [{hosts: [./a]}]",
        good,
    );
    sidecar(
        "spec.egress[0]",
        "should be the last",
        "  egress: [{hosts: ['./*']}, {hosts: ['*/*']}]",
        good,
    );
    holds(
        "DestinationRule",
        "IST0106",
        "spec.subsets[1].name",
        "duplicate subset names",
        "  host: a.com\n  subsets: [{name: x}, {name: x}]",
        "  host: a.com\n  subsets: [{name: x}, {name: y}]",
    );
    holds(
        "DestinationRule",
        "IST0106",
        "spec.host",
        "invalid",
        "  host: a_b",
        "  host: '*.a.com'",
    );
}

#[test]
fn a_policy_without_a_mode_is_named() {
    let field = "spec.outboundTrafficPolicy";
    holds(
        "Sidecar",
        "EGR01",
        field,
        "REGISTRY_ONLY",
        "  outboundTrafficPolicy: {}",
        "  outboundTrafficPolicy: {mode: REGISTRY_ONLY}",
    );
    let mesh = |policy: &str| {
        findings(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio}}\ndata:\n  mesh: |\n    {policy}\n"
        ))
    };
    let found = mesh("outboundTrafficPolicy: {}");
    assert_eq!((found[0].code, found[0].line), ("EGR01", 6));
    assert_eq!(mesh("outboundTrafficPolicy: {mode: ALLOW_ANY}"), []);
    assert_eq!(mesh("rootNamespace: x"), []);
}

#[test]
fn ranges_need_a_mask_and_ports_stand_alone() {
    let injector = |key: &str, value: &str| {
        findings(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio-sidecar-injector}}\ndata:\n  values: |\n    {{\"global\": {{\"proxy\": {{\n    \"{key}\": \"{value}\"}}}}}}\n"
        ))
    };
    for (key, value, fix) in [
        ("excludeIPRanges", "8.8.8.8", Some("write 8.8.8.8/32")),
        (
            "excludeIPRanges",
            "10.0.0.0/8, 10.1.0.0/16",
            Some("write the ranges with commas and no spaces"),
        ),
        ("excludeIPRanges", "*", None),
        ("includeIPRanges", "*,10.0.0.0/8", None),
        ("excludeOutboundPorts", "80-90", Some("name each port")),
    ] {
        let found = injector(key, value);
        assert_eq!(
            (found.len(), found[0].code, found[0].line),
            (1, "EGR15", 7),
            "{key} {value}"
        );
        assert_eq!(found[0].fix.as_deref(), fix, "{key} {value}");
    }
    for (key, value) in [
        ("excludeIPRanges", "10.0.0.1/24,::1/128"),
        ("includeIPRanges", "*"),
        ("excludeIPRanges", ""),
        ("excludeOutboundPorts", "80, 443"),
    ] {
        assert_eq!(injector(key, value), [], "{key} {value}");
    }
    let pod = |value: &str| {
        findings(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    traffic.sidecar.istio.io/excludeOutboundIPRanges: {value}\n"
        ))
    };
    let found = pod("8.8.8.8");
    assert_eq!((found[0].code, found[0].line, found[0].column), ("IST0125", 6, 55));
    assert_eq!(pod("8.8.8.8/32"), []);
}

#[test]
fn the_playground_is_clean() {
    for text in [
        include_str!("../../examples/playground/api.yaml"),
        include_str!("../../examples/playground/injector.yaml"),
        include_str!("../../examples/playground/mesh.yaml"),
        include_str!("../../examples/playground/sleep.yaml"),
    ] {
        assert_eq!(findings(text), []);
    }
}
