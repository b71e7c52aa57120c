//! What is offered to change a verdict changes it: under policies of all kinds, scopes and modes.

use super::*;
use crate::lint::{self, Level};

const HOSTS: [&str; 9] = [
    "a.com",
    "b.com",
    "*.com",
    "*.x.org",
    "w.x.org",
    "n.x.org",
    "UP.com",
    "s.default.svc.cluster.local",
    "s.shop.svc.cluster.local",
];
const NAMESPACES: [&str; 4] = ["default", "default", "shop", "istio-system"];
const EXPORTS: [&str; 7] = ["", "", "'*'", "'.'", "shop", "default", "'~'"];

/// One object: its kind, namespace and spec, as YAML.
type Written = (&'static str, &'static str, String);

fn export() -> impl Strategy<Value = String> {
    pick(&EXPORTS).prop_map(|scope| match scope {
        "" => String::new(),
        scope => format!(", exportTo: [{scope}]"),
    })
}

fn service_entry() -> impl Strategy<Value = Written> {
    let ports = prop::collection::vec((pick(&PORTS), pick(&PROTOCOLS)), 1..3);
    let resolutions = pick(&["NONE", "NONE", "DNS", "STATIC", "DYNAMIC_DNS"]);
    let addresses = pick(&["", "", "10.1.2.3", "10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "fd00::1"]);
    let endpoints = pick(&["", "1.2.3.4", "10.2.0.1"]);
    (
        pick(&HOSTS),
        ports,
        resolutions,
        addresses,
        endpoints,
        pick(&NAMESPACES),
        export(),
    )
        .prop_map(|(host, ports, resolution, address, endpoint, namespace, export)| {
            let ports: Vec<String> = ports
                .iter()
                .enumerate()
                .map(|(index, (number, protocol))| {
                    format!("{{number: {number}, name: p{index}, protocol: '{protocol}'}}")
                })
                .collect();
            let mut spec = format!(
                "hosts: ['{host}'], resolution: {resolution}, ports: [{}]{export}",
                ports.join(", ")
            );
            if !address.is_empty() {
                spec.push_str(&format!(", addresses: ['{address}']"));
            }
            if !endpoint.is_empty() {
                spec.push_str(&format!(", endpoints: [{{address: {endpoint}}}]"));
            }
            ("ServiceEntry", namespace, spec)
        })
}

fn kubernetes_service() -> impl Strategy<Value = Written> {
    (
        pick(&["10.1.2.3", "10.2.0.1", "None"]),
        pick(&PORTS),
        pick(&["http", "tcp", "tls", "web"]),
        pick(&["default", "shop"]),
    )
        .prop_map(|(address, port, name, namespace)| {
            let spec = format!("clusterIP: {address}, selector: {{app: s}}, ports: [{{port: {port}, name: {name}}}]");
            ("Service", namespace, spec)
        })
}

fn wide_sidecar() -> impl Strategy<Value = Written> {
    let policies = pick(&[
        "",
        "",
        ", outboundTrafficPolicy: {mode: ALLOW_ANY}",
        ", outboundTrafficPolicy: {mode: REGISTRY_ONLY}",
        ", outboundTrafficPolicy: {}",
        ", outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: b.com, port: {number: 80}}}",
    ]);
    let hosts = &[
        "'*/*'",
        "'./*'",
        "'shop/*'",
        "'*/*', '~default/a.com'",
        "'~/*'",
        "'*/a.com', './b.com'",
        "'./*.x.org'",
    ];
    let own = (
        pick(&PORTS),
        pick(&["HTTP", "TCP", "TLS", "HTTPS"]),
        pick(&["", "", ", bind: 10.1.2.3", ", bind: 0.0.0.0"]),
        pick(hosts),
    );
    let selectors = pick(&["", "", "workloadSelector: {labels: {app: web}}, "]);
    (
        selectors,
        prop::option::of(own),
        pick(hosts),
        policies,
        pick(&NAMESPACES),
    )
        .prop_map(|(selector, own, hosts, policy, namespace)| {
            let own = own.map_or_else(String::new, |(port, protocol, bind, hosts)| {
                format!("{{port: {{number: {port}, name: e, protocol: {protocol}}}{bind}, hosts: [{hosts}]}}, ")
            });
            let spec = format!("{selector}egress: [{own}{{hosts: [{hosts}]}}]{policy}");
            ("Sidecar", namespace, spec)
        })
}

fn virtual_service() -> impl Strategy<Value = Written> {
    let to = |host: &str| format!("route: [{{destination: {{host: '{host}'}}}}]");
    let rules = pick(&["http", "matched", "reply", "redirect", "tls", "tcp"]);
    (
        pick(&HOSTS),
        pick(&["a.com", "b.com", "gone.com"]),
        rules,
        pick(&NAMESPACES),
        export(),
    )
        .prop_map(move |(host, target, rule, namespace, export)| {
            let export = export.replace("'~'", "'.'");
            let rule = match rule {
                "http" => format!("http: [{{{}}}]", to(target)),
                "matched" => format!("http: [{{match: [{{uri: {{prefix: /api}}}}], {}}}]", to(target)),
                "reply" => "http: [{directResponse: {status: 503}}]".to_string(),
                "redirect" => "http: [{match: [{uri: {exact: /}}], redirect: {uri: /x}}]".to_string(),
                "tls" => format!("tls: [{{match: [{{sniHosts: ['{host}']}}], {}}}]", to(target)),
                _ => format!("tcp: [{{match: [{{port: 5432}}], {}}}]", to(target)),
            };
            (
                "VirtualService",
                namespace,
                format!("hosts: ['{host}'], {rule}{export}"),
            )
        })
}

fn destination_rule() -> impl Strategy<Value = Written> {
    (pick(&HOSTS), pick(&["SIMPLE", "DISABLE"]), pick(&NAMESPACES)).prop_map(|(host, mode, namespace)| {
        let spec = format!("host: '{host}', trafficPolicy: {{tls: {{mode: {mode}}}}}");
        ("DestinationRule", namespace, spec)
    })
}

/// Mesh configs of the default revision and of a canary, injectors, and the namespace that may ask for the canary.
fn settings() -> impl Strategy<Value = String> {
    let modes = || pick(&["ALLOW_ANY", "REGISTRY_ONLY", "REGISTRY_ONLY", "ALLOW_ANY_DYNAMIC_DNS"]);
    let more = pick(&[
        "",
        "",
        "defaultServiceExportTo: ['.']",
        "defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}}",
    ]);
    let labels = pick(&["istio-injection: enabled", "istio.io/rev: canary"]);
    let ranges = pick(&["{}", "{excludeIPRanges: 10.0.0.0/8}", "{includeIPRanges: 10.0.0.0/8}"]);
    (modes(), modes(), more, labels, ranges).prop_map(|(one, two, more, labels, ranges)| {
        let mut text = String::new();
        for (name, mode) in [("istio", one), ("istio-canary", two)] {
            text.push_str(&format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: istio-system}}\ndata:\n  mesh: |\n    \
                 outboundTrafficPolicy: {{mode: {mode}}}\n    {more}\n---\n"
            ));
        }
        text.push_str(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio-sidecar-injector, namespace: istio-system}}\ndata:\n  \
             values: |\n    {{global: {{proxy: {ranges}}}}}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: default, \
             labels: {{{labels}}}}}\n"
        ));
        text
    })
}

/// Manifests; shown as they are written.
struct Manifests(String);

impl std::fmt::Debug for Manifests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Policies that Istio takes.
fn manifests() -> impl Strategy<Value = Manifests> {
    let objects = prop::collection::vec(
        prop_oneof![
            8 => service_entry(),
            2 => kubernetes_service(),
            3 => wide_sidecar(),
            3 => virtual_service(),
            1 => destination_rule(),
        ],
        0..7,
    );
    (settings(), objects).prop_map(|(settings, objects)| {
        let mut manifests = settings;
        for (index, (kind, namespace, spec)) in objects.iter().enumerate() {
            let (version, name) = match *kind {
                "Service" => ("v1", "s".to_string()),
                _ => ("networking.istio.io/v1", format!("o{index}")),
            };
            let year = 2020 + index % 3;
            let text = format!(
                "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}, creationTimestamp: \
                 '{year}-01-01T00:00:00Z'}}\nspec: {{{spec}}}\n"
            );
            let own = read(&text);
            let is_error = |finding: &lint::Finding| finding.level == Level::Error;
            if !lint::check(&own).iter().any(is_error) {
                manifests.push_str(&format!("---\n{text}"));
            }
        }
        Manifests(manifests)
    })
}

fn any_workload() -> impl Strategy<Value = Workload> {
    (workload(), any::<bool>(), any::<bool>()).prop_map(|(mut workload, labelled, canary)| {
        if labelled {
            workload.labels.insert("app".into(), "web".into());
        }
        if canary {
            workload.labels.insert("istio.io/rev".into(), "canary".into());
        }
        workload
    })
}

fn outcomes(explanation: &Explanation) -> String {
    let steps = explanation.trace.iter().map(|step| step.outcome.as_str());
    steps.collect::<Vec<_>>().join("; ")
}

fn anywhere() -> impl Strategy<Value = (SocketAddr, Spoken)> {
    (connection(), any::<bool>()).prop_map(|((destination, spoken), six)| {
        let address = if six {
            "fd00::1".parse().unwrap()
        } else {
            destination.ip()
        };
        (SocketAddr::new(address, destination.port()), spoken)
    })
}

proptest! {
    #[test]
    fn every_change_that_is_offered_changes_the_verdict(
        manifests in manifests(), workload in any_workload(), (destination, spoken) in anywhere()
    ) {
        let (world, facts) = (read(&manifests.0), Facts { destination, claims: spoken.claims(), draw: 0 });
        let before = explain_in(&world, &compile(&world, &workload), &facts);
        for change in &before.changes {
            let (world, workload) = change.apply(&world, &workload);
            let after = explain(&compile(&world, &workload), &facts);
            let (steps, then) = (outcomes(&before), outcomes(&after));
            prop_assert_ne!(before.verdict, after.verdict, "{}: {} then {}", change, steps, then);
            if matches!(change, Change::Register { .. }) {
                prop_assert_eq!((after.verdict, after.response), (Verdict::Registered, None), "{}", change);
            }
        }
    }

    /// Only a connection to the caller's own loopback stays what it is.
    #[test]
    fn every_verdict_carries_a_change(
        manifests in manifests(), workload in any_workload(), (destination, spoken) in anywhere()
    ) {
        let (world, facts) = (read(&manifests.0), Facts { destination, claims: spoken.claims(), draw: 0 });
        let snapshot = compile(&world, &workload);
        let loopback = destination.ip().is_loopback() && destination.port() != OUTBOUND_PORT;
        prop_assert_eq!(explain_in(&world, &snapshot, &facts).changes.is_empty(), loopback);
    }
}
