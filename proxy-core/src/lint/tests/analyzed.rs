//! What Istio's analyzer says: each code fires on the first objects, at Istio's level, and is silent on the second.

use super::*;

/// Kind, namespace/name, spec.
type Written = (&'static str, &'static str, &'static str);

fn documents(objects: &[Written]) -> String {
    let text = |(kind, name, spec): &Written| {
        let (namespace, name) = name.split_once('/').unwrap();
        let (version, body) = match *kind {
            "Pod" => (
                "v1",
                format!("metadata: {{namespace: {namespace}, name: {name}, labels: {spec}}}"),
            ),
            "Service" => (
                "v1",
                format!("metadata: {{namespace: {namespace}, name: {name}}}\nspec: {spec}"),
            ),
            _ => (
                "networking.istio.io/v1",
                format!("metadata: {{namespace: {namespace}, name: {name}}}\nspec: {spec}"),
            ),
        };
        format!("apiVersion: {version}\nkind: {kind}\n{body}\n")
    };
    objects.iter().map(text).collect::<Vec<_>>().join("---\n")
}

/// Names of the objects that `code` is said about, in order.
fn said(code: &str, objects: &[Written]) -> Vec<(String, Level)> {
    let found = findings(&documents(objects)).into_iter();
    let mut names: Vec<_> = found
        .filter(|finding| finding.code == code)
        .map(|finding| {
            let object = finding.object.unwrap();
            (
                format!("{}/{}", object.namespace, object.name),
                finding.istio_level.unwrap(),
            )
        })
        .collect();
    names.dedup();
    names
}

fn row(code: &str, level: Level, about: &[&str], fires: &[Written], silent: &[Written]) {
    let expected: Vec<_> = about.iter().map(|name| (name.to_string(), level)).collect();
    assert_eq!(said(code, fires), expected, "{code} on {fires:?}");
    assert_eq!(said(code, silent), [], "{code} on {silent:?}");
}

const A: Written = (
    "ServiceEntry",
    "n/a",
    "{hosts: [a.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}",
);
const ROUTED: Written = (
    "VirtualService",
    "n/v",
    "{hosts: [a.com], http: [{route: [{destination: {host: a.com}}]}]}",
);

#[test]
fn destinations_exist_with_their_ports_and_subsets() {
    row("IST0101", Level::Error, &["n/v"], &[ROUTED], &[A, ROUTED]);
    let hidden = ("ServiceEntry", "m/a", "{hosts: [a.com], exportTo: ['.']}");
    row(
        "IST0101",
        Level::Error,
        &["n/v"],
        &[hidden, ROUTED],
        &[A, hidden, ROUTED],
    );
    let wildcard = ("ServiceEntry", "m/w", "{hosts: ['*.com']}");
    row("IST0101", Level::Error, &["n/v"], &[ROUTED], &[wildcard, ROUTED]);
    let mirrored = (
        "VirtualService",
        "n/v",
        "{hosts: [a.com], http: [{route: [{destination: {host: a.com}}], mirror: {host: b.com}}]}",
    );
    row("IST0101", Level::Error, &["n/v"], &[A, mirrored], &[A, ROUTED]);
    let subset = (
        "VirtualService",
        "n/v",
        "{hosts: [a.com], http: [{route: [{destination: {host: a.com, subset: v1}}]}]}",
    );
    let rule = ("DestinationRule", "n/d", "{host: a.com, subsets: [{name: v1}]}");
    row("IST0101", Level::Error, &["n/v"], &[A, subset], &[A, subset, rule]);
    let two_ports = (
        "ServiceEntry",
        "n/a",
        "{hosts: [a.com], resolution: DNS, ports: [{number: 80, name: a, protocol: HTTP}, {number: 81, name: b, protocol: HTTP}]}",
    );
    row("IST0112", Level::Error, &["n/v"], &[two_ports, ROUTED], &[A, ROUTED]);
    let service = ("Service", "n/web", "{ports: [{port: 80, name: http}]}");
    let inside = (
        "VirtualService",
        "n/v",
        "{hosts: [web], http: [{route: [{destination: {host: web}}]}]}",
    );
    row("IST0101", Level::Error, &["n/v"], &[inside], &[service, inside]);
}

#[test]
fn one_virtual_service_has_a_host() {
    let other = ("VirtualService", "m/w", ROUTED.2);
    let own = (
        "VirtualService",
        "m/w",
        "{hosts: [a.com], exportTo: ['.'], http: [{directResponse: {status: 200}}]}",
    );
    row("IST0109", Level::Error, &["n/v", "m/w"], &[ROUTED, other], &[ROUTED]);
    row("IST0109", Level::Error, &["n/v", "m/w"], &[ROUTED, own], &[own]);
    let far = (
        "VirtualService",
        "n/v",
        "{hosts: [a.com], exportTo: ['.'], http: [{directResponse: {status: 200}}]}",
    );
    row("IST0109", Level::Error, &["n/v", "m/w"], &[ROUTED, other], &[far, own]);
}

#[test]
fn gateways_that_are_named_exist_and_take_a_host() {
    let through = (
        "VirtualService",
        "n/v",
        "{hosts: [a.com], gateways: [m/edge], http: [{directResponse: {status: 200}}]}",
    );
    let gateway = |hosts: &'static str| ("Gateway", "m/edge", hosts);
    let takes = gateway("{servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: ['*.com']}]}");
    let other = gateway("{servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: ['./a.com']}]}");
    row("IST0101", Level::Error, &["n/v"], &[through], &[through, takes]);
    row(
        "IST0132",
        Level::Warning,
        &["n/v"],
        &[through, other],
        &[through, takes],
    );
    let generated = (
        "VirtualService",
        "n/v",
        "{hosts: [a.com], gateways: [m/x~istio-autogenerated-k8s-gateway~y], http: [{directResponse: {status: 200}}]}",
    );
    row("IST0165", Level::Warning, &["n/v"], &[generated], &[through]);
    let subset = (
        "VirtualService",
        "n/s",
        "{hosts: [a.com], http: [{route: [{destination: {host: a.com, subset: v1}}]}]}",
    );
    let at_edge = (
        "VirtualService",
        "n/v",
        "{hosts: [b.com], gateways: [m/edge], http: [{route: [{destination: {host: a.com}}]}]}",
    );
    row(
        "IST0140",
        Level::Warning,
        &["n/v"],
        &[subset, at_edge],
        &[ROUTED, at_edge],
    );
}

#[test]
fn rules_behind_what_takes_everything_are_named() {
    let rules = |rules: &'static str| ("VirtualService", "n/v", rules);
    let behind = rules("{hosts: [a.com], http: [{directResponse: {status: 200}}, {directResponse: {status: 201}}]}");
    let before = rules(
        "{hosts: [a.com], http: [{match: [{uri: {prefix: /a}}], directResponse: {status: 200}}, {directResponse: {status: 201}}]}",
    );
    row("IST0130", Level::Warning, &["n/v"], &[behind], &[before]);
    let narrower = rules(
        "{hosts: [a.com], http: [{match: [{uri: {prefix: /a}}], directResponse: {status: 200}}, \
         {match: [{uri: {prefix: /ab}}], directResponse: {status: 201}}]}",
    );
    let wider = rules(
        "{hosts: [a.com], http: [{match: [{uri: {prefix: /ab}}], directResponse: {status: 200}}, \
         {match: [{uri: {prefix: /a}}], directResponse: {status: 201}}]}",
    );
    row("IST0131", Level::Info, &["n/v"], &[narrower], &[wider]);
}

#[test]
fn pods_are_selected_once() {
    let (pod, other) = (("Pod", "n/p", "{app: web}"), ("Pod", "n/q", "{app: other}"));
    let first = (
        "Sidecar",
        "n/s",
        "{workloadSelector: {labels: {app: web}}, egress: [{hosts: ['*/*']}]}",
    );
    let second = (
        "Sidecar",
        "n/t",
        "{workloadSelector: {labels: {app: web}}, egress: [{hosts: ['./*']}]}",
    );
    row("IST0101", Level::Error, &["n/s"], &[other, first], &[pod, first]);
    // Where no pod is known, nothing is known of selectors.
    row("IST0101", Level::Error, &["n/s"], &[other, first], &[first]);
    row(
        "IST0110",
        Level::Error,
        &["n/s", "n/t"],
        &[pod, first, second],
        &[pod, first],
    );
    let all = ("Sidecar", "n/s", "{egress: [{hosts: ['*/*']}]}");
    let again = ("Sidecar", "n/t", "{egress: [{hosts: ['./*']}]}");
    let elsewhere = ("Sidecar", "m/t", "{egress: [{hosts: ['./*']}]}");
    row(
        "IST0111",
        Level::Error,
        &["n/s", "n/t"],
        &[all, again],
        &[all, elsewhere],
    );
    let subsets = (
        "DestinationRule",
        "n/d",
        "{host: a.com, subsets: [{name: v1, labels: {version: v1}}]}",
    );
    let versioned = ("Pod", "n/p", "{version: v1}");
    row(
        "IST0173",
        Level::Error,
        &["n/d"],
        &[A, pod, subsets],
        &[A, versioned, subsets],
    );
    row("IST0174", Level::Warning, &["n/d"], &[subsets], &[A, subsets]);
}

#[test]
fn protocols_and_names_of_ports_agree() {
    let tls = (
        "ServiceEntry",
        "m/b",
        "{hosts: [a.com], resolution: DNS, ports: [{number: 80, name: tls, protocol: TLS}]}",
    );
    let own = (
        "ServiceEntry",
        "m/b",
        "{hosts: [a.com], resolution: DNS, exportTo: ['.'], ports: [{number: 80, name: http, protocol: HTTP}]}",
    );
    row("IST0177", Level::Warning, &["n/a", "m/b"], &[A, tls], &[A, own]);
    let unnamed = ("Service", "n/web", "{ports: [{port: 80}]}");
    let named = ("Service", "n/web", "{ports: [{port: 80, name: http-web}]}");
    row("IST0118", Level::Info, &["n/web"], &[unnamed], &[named]);
    let external = (
        "Service",
        "n/web",
        "{type: ExternalName, externalName: b.com, ports: [{port: 80, name: tcp}]}",
    );
    row("IST0150", Level::Warning, &["n/web"], &[external], &[named]);
}

#[test]
fn nothing_is_analyzed_in_the_namespaces_of_kubernetes_but_validation_holds_there() {
    let unnamed = ("Service", "kube-system/web", "{ports: [{port: 80}]}");
    let named = ("Service", "n/web", "{ports: [{port: 80}]}");
    row("IST0118", Level::Info, &["n/web"], &[named], &[unnamed]);
    let refused = ("ServiceEntry", "kube-system/a", "{hosts: ['*']}");
    row("IST0106", Level::Error, &["kube-system/a"], &[refused], &[A]);
}

#[test]
fn certificates_of_servers_are_verified() {
    let rule = |policy: &'static str| ("DestinationRule", "n/d", policy);
    let bare = rule("{host: a.com, trafficPolicy: {tls: {mode: SIMPLE}}}");
    let system = rule("{host: a.com, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: system}}}");
    row("IST0128", Level::Warning, &["n/d"], &[A, bare], &[A, system]);
    let port = rule("{host: a.com, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}}");
    row("IST0129", Level::Warning, &["n/d"], &[A, port], &[A, system]);
}

#[test]
fn an_owner_can_suppress_codes_but_not_what_istio_rejects() {
    let text = |codes: &str, spec: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: v\n  annotations: \
             {{galley.istio.io/analyze-suppress: '{codes}'}}\nspec: {spec}\n"
        )
    };
    let codes = |text: &str| {
        findings(text)
            .into_iter()
            .map(|finding| finding.code)
            .collect::<Vec<_>>()
    };
    assert_eq!(codes(&text("IST0101", ROUTED.2)), [] as [&str; 0]);
    assert_eq!(codes(&text("IST0109", ROUTED.2)), ["IST0101"]);
    assert_eq!(codes(&text("*", "{hosts: [a.com]}")), ["IST0106"]);
}

#[test]
fn an_older_release_has_the_codes_of_its_own_analyzer() {
    let tls = (
        "ServiceEntry",
        "m/b",
        "{hosts: [a.com], resolution: DNS, ports: [{number: 80, name: tls, protocol: TLS}]}",
    );
    let mesh = |version: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system, annotations: \
             {{egret.dev/istio-version: '{version}'}}}}\ndata: {{mesh: '{{}}'}}\n---\n"
        )
    };
    let codes = |version: &str, objects: &[Written]| {
        let found = findings(&format!("{}{}", mesh(version), documents(objects))).into_iter();
        found.map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(codes("1.30", &[A, tls]), [] as [&str; 0]);
    assert_eq!(codes("1.31", &[A, tls]), ["IST0177", "IST0177"]);
    let sniffed = (
        "ServiceEntry",
        "n/a",
        "{hosts: [a.com], resolution: DNS, ports: [{number: 80, name: any}]}",
    );
    assert_eq!(codes("1.24", &[sniffed]), ["IST0133", "IST0134"]);
    assert_eq!(codes("1.25", &[sniffed]), ["IST0134"]);
}

#[test]
fn what_istio_takes_with_a_warning_is_named() {
    let route = |more: &str| format!("  hosts: [a.com]\n  http: [{{route: [{{destination: {{host: a.com}}}}]{more}}}]");
    let warned = |kind: &str, field: &str, words: &str, fires: &str, silent: &str| {
        holds(kind, "IST0133", field, words, fires, silent);
    };
    warned(
        "VirtualService",
        "spec.http[0].mirrorPercent",
        "deprecated",
        &route(", mirror: {host: a.com}, mirrorPercent: 10"),
        &route(", mirror: {host: a.com}, mirrorPercentage: {value: 10}"),
    );
    warned(
        "VirtualService",
        "spec.gateways",
        "legacy",
        &format!("{}\n  gateways: [edge.shop.svc.cluster.local]", route("")),
        &format!("{}\n  gateways: [shop/edge]", route("")),
    );
    warned(
        "VirtualService",
        "spec.tls[0].match[0].sniHosts",
        "IP address",
        "  hosts: [10.0.0.1]\n  tls: [{match: [{sniHosts: [10.0.0.1]}], route: [{destination: {host: a.com}}]}]",
        "  hosts: [a.com]\n  tls: [{match: [{sniHosts: [a.com]}], route: [{destination: {host: a.com}}]}]",
    );
    warned(
        "Sidecar",
        "spec.egress[0].hosts[1]",
        "duplicated egress host",
        "  egress: [{hosts: [./a.com, n/a.com]}]",
        "  egress: [{hosts: [./a.com, m/a.com]}]",
    );
    warned(
        "DestinationRule",
        "spec.workloadSelector",
        "without labels",
        "  host: a.com\n  workloadSelector: {}",
        "  host: a.com\n  workloadSelector: {matchLabels: {app: web}}",
    );
    warned(
        "ServiceEntry",
        "spec.hosts",
        "more than one host",
        "  hosts: [a.com, b.com]\n  addresses: [10.0.0.1]\n  resolution: DNS\n  ports: [{number: 443, name: tls, protocol: TLS}]",
        "  hosts: [a.com]\n  addresses: [10.0.0.1]\n  resolution: DNS\n  ports: [{number: 443, name: tls, protocol: TLS}]",
    );
}
