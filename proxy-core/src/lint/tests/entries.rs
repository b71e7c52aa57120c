//! What is said of ServiceEntries alone.

use super::*;

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
