//! Rules of our own: each fires on the first objects and is silent on the second; a patch that is offered mends what it is
//! offered for.

use serde_json::Value as Json;

use super::*;

fn text(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{namespace: n, name: {name}}}\nspec: {spec}\n"
    )
}

fn of(code: &str, objects: &[String]) -> Vec<Finding> {
    let found = findings(&objects.join("---\n")).into_iter();
    found.filter(|finding| finding.code == code).collect()
}

fn row(code: &str, fires: &[String], silent: &[String]) {
    assert_eq!(
        of(code, fires).len(),
        1,
        "{code} on {fires:?}: {:?}",
        findings(&fires.join("---\n"))
    );
    assert_eq!(of(code, silent), [], "{code} on {silent:?}");
}

fn entry(name: &str, spec: &str) -> String {
    text("ServiceEntry", name, spec)
}

fn capturing_dns() -> String {
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: '{defaultConfig: \
     {proxyMetadata: {ISTIO_META_DNS_CAPTURE: \"true\"}}}'}\n"
        .into()
}

#[test]
fn destination_rules_that_do_otherwise_than_they_read_are_named() {
    let a = entry(
        "a",
        "{hosts: [a.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}",
    );
    let rule = |policy: &str| {
        text(
            "DestinationRule",
            "d",
            &format!("{{host: a.com, trafficPolicy: {policy}}}"),
        )
    };
    let (whole, port) = (
        rule("{tls: {mode: SIMPLE}}"),
        rule("{portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}"),
    );
    let route = text(
        "VirtualService",
        "v",
        "{hosts: [a.com], http: [{match: [{port: 80}], route: [{destination: {host: a.com, port: {number: 443}}}]}]}",
    );
    let level = |objects: &[String]| of("EGR07", objects)[0].level;
    assert_eq!(level(&[a.clone(), whole.clone()]), Level::Warning);
    assert_eq!(
        level(&[a.clone(), whole.clone(), route]),
        Level::Info,
        "it is meant for what is routed there"
    );
    row("EGR07", &[a.clone(), whole], &[a.clone(), port]);
    let secret = rule("{tls: {mode: SIMPLE, credentialName: s}}");
    let selected = text(
        "DestinationRule",
        "d",
        "{host: a.com, workloadSelector: {matchLabels: {a: b}}, trafficPolicy: {tls: {mode: SIMPLE, credentialName: s}}}",
    );
    row("EGR08", &[secret], &[selected]);
    let tunnel = |protocol: &str| rule(&format!("{{tunnel: {{{protocol}targetHost: b.com, targetPort: 443}}}}"));
    row(
        "EGR19",
        &[tunnel("protocol: POST, ")],
        &[tunnel(""), tunnel("protocol: CONNECT, ")],
    );
    let of_subset = |more: &str| {
        let subset = "{name: s, labels: {v: one}, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: \
                      SIMPLE, credentialName: s}}]}}";
        text(
            "DestinationRule",
            "d",
            &format!("{{host: a.com, {more}subsets: [{subset}]}}"),
        )
    };
    let selected = of_subset("workloadSelector: {matchLabels: {a: b}}, ");
    row("EGR08", &[of_subset("")], std::slice::from_ref(&selected));
    let field = "spec.subsets[0].trafficPolicy.portLevelSettings[0].tls.credentialName";
    assert_eq!(of("EGR06", &[selected])[0].field, *field);
    let dropping = rule(
        "{connectionPool: {tcp: {connectTimeout: 1s}}, portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}",
    );
    let keeping = rule(
        "{tls: {mode: DISABLE}, portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}, connectionPool: {tcp: {connectTimeout: 1s}}}]}",
    );
    row("EGR10", &[dropping], &[keeping]);
    let of_subset = |more: &str| {
        let policy = format!("{{tls: {{mode: SIMPLE}}, portLevelSettings: [{{port: {{number: 80}}, {more}}}]}}");
        let subsets = format!("[{{name: s, labels: {{v: one}}, trafficPolicy: {policy}}}]");
        text("DestinationRule", "d", &format!("{{host: a.com, subsets: {subsets}}}"))
    };
    let keeping = of_subset("tls: {mode: DISABLE}, connectionPool: {tcp: {connectTimeout: 1s}}");
    row(
        "EGR10",
        &[of_subset("connectionPool: {tcp: {connectTimeout: 1s}}")],
        &[keeping],
    );
}

#[test]
fn entries_that_do_otherwise_than_they_read_are_named() {
    let wildcard = |host: &str, resolution: &str| {
        entry(
            "w",
            &format!(
                "{{hosts: ['{host}'], resolution: {resolution}, ports: [{{number: 80, name: http, protocol: HTTP}}]}}"
            ),
        )
    };
    row("EGR11", &[wildcard("*.com", "NONE")], &[wildcard("*.a.com", "NONE")]);
    row(
        "EGR11",
        &[wildcard("*.com", "NONE")],
        &[wildcard("*.com", "DYNAMIC_DNS")],
    );
    let service =
        "apiVersion: v1\nkind: Service\nmetadata: {namespace: n, name: web}\nspec: {ports: [{port: 80, name: http}]}\n";
    let same = entry("w", "{hosts: [web.n.svc.cluster.local]}");
    let other = entry("w", "{hosts: [web.m.svc.cluster.local]}");
    row("EGR16", &[service.into(), same], &[service.into(), other]);
    let tcp = |address: &str| {
        entry(
            "t",
            &format!("{{hosts: [t.com], {address} ports: [{{number: 80, name: tcp, protocol: TCP}}]}}"),
        )
    };
    row(
        "EGR14",
        &[service.into(), tcp("")],
        &[service.into(), tcp("addresses: [10.0.0.1],")],
    );
    row("EGR14", &[service.into(), tcp("")], &[tcp("")]);
    // Nobody sees both.
    let http = |export: &str| {
        let text = entry(
            "h",
            "{hosts: [h.com], EXPORT resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}",
        );
        text.replace("namespace: n", "namespace: m").replace("EXPORT", export)
    };
    row(
        "EGR14",
        &[http("exportTo: [n],"), tcp("exportTo: [.],")],
        &[http("exportTo: [.],"), tcp("exportTo: [.],")],
    );
    row(
        "EGR14",
        &[http("exportTo: [.],"), tcp("")],
        &[http("exportTo: [o],"), tcp("exportTo: [p],")],
    );
    // Sidecars that do not answer in DNS know nothing of an address that the control plane gives.
    let given = format!("{}status: {{addresses: [{{value: 240.240.0.1}}]}}\n", tcp(""));
    row(
        "EGR14",
        &[service.into(), given.clone()],
        &[service.into(), capturing_dns(), given.clone()],
    );
    row("EGR02", std::slice::from_ref(&given), &[capturing_dns(), given.clone()]);
}

#[test]
fn a_sidecar_past_its_namespaces_mode_is_named() {
    let default = text("Sidecar", "d", "{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}");
    let own = |policy: &str| {
        text(
            "Sidecar",
            "s",
            &format!("{{workloadSelector: {{labels: {{a: b}}}}, egress: [{{hosts: ['*/*']}}]{policy}}}"),
        )
    };
    let said = own(", outboundTrafficPolicy: {mode: ALLOW_ANY}");
    row("EGR12", &[default.clone(), own("")], &[default, said]);
    let same = text("Sidecar", "d", "{outboundTrafficPolicy: {mode: ALLOW_ANY}}");
    assert_eq!(of("EGR12", &[same, own("")]), [], "the mesh's mode is the same");
}

#[test]
fn a_fault_for_no_request_is_named() {
    let service = |fault: &str| {
        let rule = format!("{{fault: {fault}, route: [{{destination: {{host: a.com}}}}]}}");
        text("VirtualService", "v", &format!("{{hosts: [a.com], http: [{rule}]}}"))
    };
    let waits = "{delay: {fixedDelay: 1s, percentage: {value: 50}}}";
    row("EGR09", &[service("{delay: {fixedDelay: 1s}}")], &[service(waits)]);
    for nothing in ["{abort: {}}", "{delay: {percentage: {value: 50}}}"] {
        row("EGR09", &[service(nothing)], &[service(waits)]);
        // Istio's webhook and analyzer are silent about these.
        assert_eq!(of("IST0133", &[service(nothing)]), []);
    }
}

#[test]
fn what_no_workload_sees_is_named() {
    let pod = |namespace: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{namespace: {namespace}, name: p, labels: {{a: b}}}}\n")
    };
    let hidden = entry("a", "{hosts: [a.com], exportTo: ['.']}");
    row("EGR13", &[pod("m"), hidden.clone()], &[pod("n"), hidden.clone()]);
    assert_eq!(of("EGR13", &[hidden]), [], "where no workload is known");
    assert_eq!(of("EGR13", &[pod("m"), entry("a", "{hosts: [a.com]}")]), []);
}

/// `document` after `patch`.
fn patched(mut document: Json, patch: &Patch) -> Json {
    let (parent, key) = patch.path.rsplit_once('/').unwrap();
    match (document.pointer_mut(parent).unwrap(), patch.op) {
        (Json::Object(fields), "add" | "replace") => {
            let was = fields.insert(key.into(), patch.value.clone().unwrap());
            assert_eq!(was.is_some(), patch.op == "replace", "{patch:?}");
        }
        (Json::Object(fields), "remove") => assert!(fields.remove(key).is_some(), "{patch:?}"),
        (Json::Array(items), "replace") => items[key.parse::<usize>().unwrap()] = patch.value.clone().unwrap(),
        (Json::Array(items), "remove") => drop(items.remove(key.parse().unwrap())),
        (parent, op) => panic!("{op} in {parent}"),
    }
    document
}

#[test]
fn a_patch_mends_what_it_is_offered_for() {
    let rules = "{hosts: [a.com], http: [{match: [{uri: {prefix: /a}}, {uri: {prefix: /ab}}], directResponse: {status: 200}}, \
                 {directResponse: {status: 200}}, {directResponse: {status: 201}}]}";
    let default = text("Sidecar", "d", "{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}");
    let rows = [
        ("EGR05", vec![entry("a", "{hosts: [A.com], resolution: DNS}")]),
        ("EGR01", vec![text("Sidecar", "s", "{outboundTrafficPolicy: {}}")]),
        (
            "EGR12",
            vec![
                text(
                    "Sidecar",
                    "s",
                    "{workloadSelector: {labels: {a: b}}, egress: [{hosts: ['*/*']}]}",
                ),
                default,
            ],
        ),
        (
            "EGR18",
            vec![
                text(
                    "DestinationRule",
                    "d",
                    "\n  host: '*.a.com'\n  trafficPolicy:\n    tls: {mode: DISABLE}\n    outlierDetection: {interval: 1s}\n",
                ),
                entry(
                    "a",
                    "{hosts: ['*.a.com'], resolution: DYNAMIC_DNS, ports: [{number: 80, name: http, protocol: HTTP}]}",
                ),
            ],
        ),
        (
            "EGR19",
            vec![text(
                "DestinationRule",
                "d",
                "\n  host: a.com\n  trafficPolicy:\n    tunnel: {protocol: POST, targetHost: b.com, targetPort: 443}\n",
            )],
        ),
        (
            "IST0128",
            vec![text(
                "DestinationRule",
                "d",
                "{host: a.com, trafficPolicy: {tls: {mode: SIMPLE}}}",
            )],
        ),
        (
            "IST0129",
            vec![text(
                "DestinationRule",
                "d",
                "{host: a.com, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}}",
            )],
        ),
        ("IST0130", vec![text("VirtualService", "v", rules)]),
        ("IST0131", vec![text("VirtualService", "v", rules)]),
        (
            "IST0133",
            vec![text("Sidecar", "s", "{egress: [{hosts: [./a.com, ./a.com]}]}")],
        ),
    ];
    for (code, objects) in rows {
        let found = of(code, &objects);
        let patch = found[0].patch.as_ref().unwrap_or_else(|| panic!("{code} has a patch"));
        let meaning = |text: &str| yaml::read(text.as_bytes()).unwrap()[0].to_json();
        let edited = yaml::patch(&objects[0], &patch.path, &patch.change()).unwrap();
        assert_eq!(meaning(&edited), patched(meaning(&objects[0]), patch), "{code}");
        let mut mended = vec![edited];
        mended.extend_from_slice(&objects[1..]);
        assert_eq!(of(code, &mended).len(), found.len() - 1, "{code} after {patch:?}");
        let refused = findings(&mended.join("---\n"))
            .into_iter()
            .find(|finding| finding.level == Level::Error);
        assert_eq!(refused, None, "{code} after {patch:?}");
    }
}

#[test]
fn clusters_that_envoy_refuses_are_named_at_their_port() {
    let dynamic = |protocol: &str| {
        let ports = format!("[{{number: 80, name: p, protocol: {protocol}}}]");
        entry(
            "a",
            &format!("{{hosts: ['*.a.com'], resolution: DYNAMIC_DNS, ports: {ports}}}"),
        )
    };
    let rule = |policy: &str| {
        let spec = format!("{{host: '*.a.com', trafficPolicy: {policy}}}");
        text("DestinationRule", "d", &spec)
    };
    let tls = rule("{tls: {mode: SIMPLE}, connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}");
    let limits = rule("{connectionPool: {tcp: {maxConnections: 3, connectTimeout: 1s}}}");
    row("EGR17", &[dynamic("HTTP2")], &[dynamic("HTTP")]);
    let internal = dynamic("HTTP2").replace("resolution", "location: MESH_INTERNAL, resolution");
    row("EGR17", &[dynamic("HTTP2")], &[internal]);
    row("EGR17", &[dynamic("GRPC"), limits.clone()], &[dynamic("GRPC"), tls]);
    let upgrade = rule("{connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}");
    row("EGR17", &[dynamic("HTTP"), upgrade], &[dynamic("HTTP"), limits]);
    let idle = rule("{portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {idleTimeout: 1m}}}]}");
    let elsewhere = rule("{portLevelSettings: [{port: {number: 81}, connectionPool: {tcp: {idleTimeout: 1m}}}]}");
    row("EGR17", &[dynamic("TLS"), idle], &[dynamic("TLS"), elsewhere]);
}

#[test]
fn outlier_detection_that_fells_istiod_is_named() {
    let resolved = |resolution: &str| {
        let ports = "[{number: 80, name: http, protocol: HTTP}]";
        entry(
            "a",
            &format!("{{hosts: ['*.a.com'], resolution: {resolution}, ports: {ports}}}"),
        )
    };
    let dynamic = resolved("DYNAMIC_DNS");
    let rule = |name: &str, host: &str, policy: &str| {
        let spec = format!("{{host: '{host}', trafficPolicy: {policy}}}");
        text("DestinationRule", name, &spec)
    };
    let detects = "{outlierDetection: {consecutive5xxErrors: 3}}";
    let own = rule("d", "*.a.com", detects);
    row(
        "EGR18",
        &[dynamic.clone(), own.clone()],
        &[resolved("NONE"), own.clone()],
    );
    // A rule for more than the entry's host holds where there is none for the host itself.
    let wide = rule("d", "*.com", detects);
    let narrow = rule("e", "*.a.com", "{connectionPool: {tcp: {maxConnections: 3}}}");
    row(
        "EGR18",
        &[dynamic.clone(), wide.clone()],
        &[dynamic.clone(), wide, narrow],
    );
    let of_port = |port: u16| format!("{{portLevelSettings: [{{port: {{number: {port}}}, outlierDetection: {{}}}}]}}");
    let (here, elsewhere) = (rule("d", "*.a.com", &of_port(80)), rule("d", "*.a.com", &of_port(81)));
    row("EGR18", &[dynamic.clone(), here], &[dynamic.clone(), elsewhere]);
    let of_mesh = |policy: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata: {{mesh: \
             '{{defaultTrafficPolicy: {policy}}}'}}\n"
        )
    };
    row(
        "EGR18",
        &[of_mesh(detects), dynamic.clone()],
        &[of_mesh("{connectionPool: {}}"), dynamic],
    );
}
