mod analyzed;
mod balanced;
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
    locate(&mut findings, "f.yaml", &documents);
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
fn service_entries_are_rejected_as_by_istio() {
    let rejected = |field: &str, words: &str, fires: &str, silent: &str| {
        holds("ServiceEntry", "IST0106", field, words, fires, silent);
    };
    let good = format!("  hosts: [a.com]\n  resolution: DNS\n  ports:\n{HTTP}");
    rejected("spec.hosts", "at least one host", "  hosts: []", &good);
    rejected(
        "spec.hosts[0]",
        "invalid host *",
        "  hosts: ['*']",
        "  hosts: ['*.a.com']",
    );
    for host in ["a_b.com", "1.2.3.4", "a..com", "-a.com", "a.*.com"] {
        rejected(
            "spec.hosts[0]",
            "invalid",
            &format!("  hosts: ['{host}']"),
            "  hosts: [internet, A.com, a.com.]",
        );
    }
    rejected(
        "spec.workloadSelector",
        "only one of WorkloadSelector or Endpoints",
        "  hosts: [a.com]\n  resolution: STATIC\n  workloadSelector: {labels: {a: b}}\n  endpoints: [{address: 1.1.1.1}]",
        "  hosts: [a.com]\n  resolution: STATIC\n  endpoints: [{address: 1.1.1.1}]",
    );
    rejected(
        "spec.workloadSelector.labels",
        "wildcard",
        "  hosts: [a.com]\n  resolution: STATIC\n  workloadSelector: {labels: {a: 'b*'}}",
        "  hosts: [a.com]\n  resolution: STATIC\n  workloadSelector: {labels: {a: b}}",
    );
    rejected(
        "spec.addresses[0]",
        "only for NONE/STATIC",
        "  hosts: [a.com]\n  resolution: DNS\n  addresses: [10.0.0.0/8]",
        "  hosts: [a.com]\n  resolution: NONE\n  addresses: [10.0.0.0/8]",
    );
    let twice = |second: &str| format!("  hosts: [a.com]\n  ports:\n{HTTP}\n  - {second}");
    let fine = twice("{number: 81, name: http-2, protocol: HTTP}");
    rejected(
        "spec.ports[1].name",
        "\"http\" already defined",
        &twice("{number: 81, name: http, protocol: HTTP}"),
        &fine,
    );
    rejected(
        "spec.ports[1].number",
        "port 80 already defined",
        &twice("{number: 80, name: b, protocol: HTTP}"),
        &fine,
    );
    rejected(
        "spec.ports[1].name",
        "invalid port name: A_b",
        &twice("{number: 81, name: A_b}"),
        &fine,
    );
    rejected(
        "spec.endpoints",
        "no endpoints should be provided",
        "  hosts: [a.com]\n  endpoints: [{address: 1.1.1.1}]",
        "  hosts: [a.com]\n  resolution: STATIC\n  endpoints: [{address: 1.1.1.1}]",
    );
    rejected(
        "spec.endpoints[0]",
        "address is required",
        "  hosts: [a.com]\n  resolution: STATIC\n  endpoints: [{weight: 1}]",
        "  hosts: [a.com]\n  resolution: STATIC\n  endpoints: [{network: other}]",
    );
    rejected(
        "spec.endpoints[0].address",
        "is not a valid IP address",
        "  hosts: [a.com]\n  resolution: STATIC\n  endpoints: [{address: b.com}]",
        "  hosts: [a.com]\n  resolution: DNS\n  endpoints: [{address: b.com}]",
    );
    rejected(
        "spec.endpoints[0].ports",
        "is not defined by the service entry",
        &format!("{good}\n  endpoints: [{{address: b.com, ports: {{other: 1}}}}]"),
        &format!("{good}\n  endpoints: [{{address: b.com, ports: {{http: 1}}}}]"),
    );
    rejected(
        "spec.hosts[0]",
        "must be FQDN",
        "  hosts: ['*.a.com']\n  resolution: DNS",
        "  hosts: ['*.a.com']\n  resolution: DNS\n  endpoints: [{address: b.com}]",
    );
    rejected(
        "spec.endpoints",
        "0 or 1 endpoint",
        "  hosts: [a.com]\n  resolution: DNS_ROUND_ROBIN\n  endpoints: [{address: b.com}, {address: c.com}]",
        "  hosts: [a.com]\n  resolution: DNS\n  endpoints: [{address: b.com}, {address: c.com}]",
    );
    rejected(
        "spec.endpoints[0].address",
        "neither an IP",
        "  hosts: [a.com]\n  resolution: DNS\n  endpoints: [{address: unix:///a}]",
        "  hosts: [a.com]\n  resolution: DNS\n  endpoints: [{address: 1.1.1.1}]",
    );
    rejected(
        "spec.hosts[0]",
        "must be wildcarded",
        "  hosts: [a.com]\n  resolution: DYNAMIC_DNS",
        "  hosts: ['*.a.com']\n  resolution: DYNAMIC_DNS",
    );
    rejected(
        "spec.ports[0].protocol",
        "only HTTP, TLS, GRPC, and HTTP2",
        "  hosts: ['*.a.com']\n  resolution: DYNAMIC_DNS\n  ports: [{number: 443, name: a, protocol: HTTPS}]",
        "  hosts: ['*.a.com']\n  resolution: DYNAMIC_DNS\n  ports: [{number: 443, name: a, protocol: TLS}]",
    );
    rejected(
        "spec.hosts",
        "multiple hosts provided with non-HTTP",
        "  hosts: [a.com, b.com]\n  resolution: DNS\n  ports: [{number: 1, name: a, protocol: TCP}]",
        "  hosts: [a.com, b.com]\n  resolution: DNS\n  ports: [{number: 1, name: a, protocol: TLS}]",
    );
    rejected(
        "spec.exportTo[1]",
        "duplicate entries in exportTo for entry n",
        &format!("{good}\n  exportTo: ['.', n]"),
        &format!("{good}\n  exportTo: ['.', m]"),
    );
    rejected(
        "spec.exportTo",
        "both public (*) and non-public",
        &format!("{good}\n  exportTo: ['*', n]"),
        &format!("{good}\n  exportTo: ['*']"),
    );
}

#[test]
fn service_entries_are_warned_about_as_by_istio() {
    let warned = |code: &str, field: &str, words: &str, fires: &str, silent: &str| {
        holds("ServiceEntry", code, field, words, fires, silent);
    };
    let tcp = "  hosts: [a.com]\n  ports: [{number: 5432, name: db, protocol: TCP}]";
    let with_address = format!("{tcp}\n  addresses: [10.1.1.1]");
    warned(
        "IST0134",
        "spec.addresses",
        "addresses are required",
        tcp,
        &with_address,
    );
    warned(
        "EGR02",
        "spec.ports[0]",
        "every connection to port 5432",
        tcp,
        &with_address,
    );
    warned(
        "IST0133",
        "spec.workloadSelector",
        "without labels",
        "  hosts: [a.com]\n  resolution: STATIC\n  workloadSelector: {labels: {}}",
        "  hosts: [a.com]\n  resolution: STATIC\n  workloadSelector: {labels: {a: b}}",
    );
    warned(
        "IST0133",
        "spec.hosts[0]",
        "partial wildcard",
        "  hosts: ['*-api.a.com']",
        "  hosts: ['*.a.com']",
    );
    warned(
        "EGR05",
        "spec.hosts[0]",
        "upper-case",
        "  hosts: [A.com]",
        "  hosts: [a.com]",
    );
    let mesh = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    defaultConfig:\n      proxyMetadata: {ISTIO_META_DNS_CAPTURE: \"true\", ISTIO_META_DNS_AUTO_ALLOCATE: \"true\"}\n---\n";
    let by_name = format!("{tcp}\n  resolution: DNS");
    assert_eq!(
        findings(&format!("{mesh}{}", object("ServiceEntry", &by_name))),
        [],
        "addresses that are allocated need not be written"
    );
}

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
    assert_eq!(codes(with(http, &matched.replace("/a", "/"))), [] as [&str; 0]);
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

fn short_entry(spec: &str) -> String {
    format!("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a}}\nspec: {{{spec}}}\n")
}

fn codes(text: &str) -> Vec<(&'static str, Level)> {
    findings(text)
        .into_iter()
        .map(|finding| (finding.code, finding.level))
        .collect()
}

#[test]
fn entries_that_istio_takes_are_silent() {
    for spec in [
        "hosts: [a.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS",
        "hosts: ['*.a.com'], ports: [{number: 443, name: tls, protocol: TLS}], resolution: NONE",
        "hosts: [db], addresses: [10.0.0.0/8], ports: [{number: 5432, name: pg, protocol: TCP}], resolution: NONE",
        "hosts: ['*.a.com'], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DYNAMIC_DNS",
        "hosts: [a.com.], ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 1.2.3.4, ports: {http: 8080}}], resolution: STATIC",
    ] {
        assert_eq!(codes(&short_entry(spec)), [], "{spec}");
    }
}

#[test]
fn entries_that_istio_refuses_are_errors() {
    for spec in [
        "ports: []",
        "hosts: ['*']",
        "hosts: [1.2.3.4]",
        "hosts: [a_b.com]",
        "hosts: [a.com], addresses: [10.0.0.0/8], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS",
        "hosts: [a.com], ports: [{number: 80, name: a, protocol: HTTP}, {number: 81, name: a, protocol: HTTP}]",
        "hosts: [a.com], ports: [{number: 80, name: a, protocol: HTTP}, {number: 80, name: b, protocol: HTTP}]",
        "hosts: [a.com], ports: [{number: 80, name: A_b, protocol: HTTP}]",
        "hosts: [a.com], endpoints: [{address: 1.2.3.4}], resolution: NONE",
        "hosts: [a.com], endpoints: [{address: b.com}], resolution: STATIC",
        "hosts: ['*.a.com'], resolution: DNS",
        "hosts: [a.com], endpoints: [{address: b.com}, {address: c.com}], resolution: DNS_ROUND_ROBIN",
        "hosts: [a.com], resolution: DYNAMIC_DNS",
        "hosts: ['*.a.com'], ports: [{number: 443, name: s, protocol: HTTPS}], resolution: DYNAMIC_DNS",
        "hosts: [a.com, b.com], addresses: [1.2.3.4], ports: [{number: 1, name: t, protocol: TCP}], resolution: DNS",
        "hosts: [a.com], exportTo: [., default]",
        "hosts: [a.com], exportTo: ['*', b]",
    ] {
        let mut found = codes(&short_entry(spec));
        found.retain(|(_, level)| *level == Level::Error);
        assert_eq!(found.len(), 1, "{spec}: {found:?}");
        assert_eq!((found[0].0, found[0].1), ("IST0106", Level::Error), "{spec}");
    }
}
