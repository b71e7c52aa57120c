use super::*;
use crate::{model, yaml};

fn codes(text: &str) -> Vec<(&'static str, Level, u32)> {
    let (mut world, mut errors, mut order) = (World::default(), Vec::new(), 0);
    for document in yaml::read(text.as_bytes()).unwrap() {
        model::add_document(&document, &Arc::from("f.yaml"), &mut order, &mut world, &mut errors);
    }
    assert_eq!(errors, []);
    check(&world)
        .into_iter()
        .map(|finding| (finding.code, finding.level, finding.line))
        .collect()
}

fn entry(spec: &str) -> String {
    format!("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a}}\nspec: {{{spec}}}\n")
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
        assert_eq!(codes(&entry(spec)), [], "{spec}");
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
        let found = codes(&entry(spec));
        assert_eq!(found.len(), 1, "{spec}: {found:?}");
        assert_eq!((found[0].0, found[0].1), ("IST0106", Level::Error), "{spec}");
    }
}

#[test]
fn a_tcp_entry_without_address_is_warned_of_at_its_port() {
    let text = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec:\n  hosts: [a.com]\n  ports:\n  - {number: 443, name: t, protocol: TCP}\n  resolution: DNS\n";
    assert_eq!(codes(text), [("IST0134", Level::Warning, 7)]);
}

#[test]
fn http_rules_on_a_tls_host_are_warned_of() {
    let service = |host: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v}}\nspec: {{hosts: [{host}], http: [{{timeout: 3s, route: [{{destination: {{host: {host}}}}}]}}]}}\n"
        )
    };
    let tls = entry("hosts: [a.com], ports: [{number: 443, name: s, protocol: HTTPS}], resolution: DNS");
    assert_eq!(
        codes(&(tls.clone() + &service("a.com")))
            .iter()
            .map(|found| found.0)
            .collect::<Vec<_>>(),
        ["EGR03"]
    );
    assert_eq!(codes(&(tls + &service("b.com"))), []);
}

#[test]
fn two_virtual_services_for_one_host_and_routes_without_an_end_are_warned_of() {
    let service = |name: &str, condition: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\nspec: {{hosts: [a.com], http: [{{{condition}route: [{{destination: {{host: a.com}}}}]}}]}}\n"
        )
    };
    let both = service("one", "") + &service("two", "");
    assert_eq!(
        codes(&both).iter().map(|found| found.0).collect::<Vec<_>>(),
        ["IST0109"]
    );
    let partial = service("one", "match: [{uri: {prefix: /api}}], ");
    assert_eq!(
        codes(&partial).iter().map(|found| found.0).collect::<Vec<_>>(),
        ["EGR04"]
    );
}

#[test]
fn a_policy_without_a_mode_and_ranges_without_a_mask_are_warned_of() {
    let mesh = |mesh: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio}}\ndata:\n  mesh: |\n    {mesh}\n")
    };
    assert_eq!(
        codes(&mesh("outboundTrafficPolicy: {}")),
        [("EGR01", Level::Warning, 6)]
    );
    assert_eq!(codes(&mesh("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")), []);
    let injector = |ranges: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio-sidecar-injector}}\ndata:\n  values: '{{\"global\": {{\"proxy\": {{\"excludeIPRanges\": \"{ranges}\"}}}}}}'\n"
        )
    };
    assert_eq!(
        codes(&injector("10.0.0.0/8,8.8.8.8"))
            .iter()
            .map(|found| found.0)
            .collect::<Vec<_>>(),
        ["EGR15"]
    );
    assert_eq!(codes(&injector("10.0.0.0/8,8.8.8.8/32")), []);
}
