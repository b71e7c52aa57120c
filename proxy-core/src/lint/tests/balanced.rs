//! Istio's validation of load balancing and outlier detection.

use super::{findings, holds, object};

#[test]
fn load_balancing_is_rejected_as_by_istio() {
    let locality = |setting: &str| format!("loadBalancer: {{localityLbSetting: {{{setting}}}}}");
    let hash = |key: &str| format!("loadBalancer: {{consistentHash: {{{key}}}}}");
    let share = |from: &str, to: &str| format!("{{from: {from}, to: {{{to}}}}}");
    let rows = [
        (
            "outlierDetection.maxEjectionPercent",
            "percentage 101 is not in range 0..100",
            "outlierDetection: {maxEjectionPercent: 101}".to_string(),
            "outlierDetection: {maxEjectionPercent: 100}".to_string(),
        ),
        (
            "outlierDetection.minHealthPercent",
            "percentage -1 is not in range 0..100",
            "outlierDetection: {minHealthPercent: -1}".into(),
            "outlierDetection: {minHealthPercent: 0}".into(),
        ),
        (
            "outlierDetection.consecutiveLocalOriginFailures",
            "split external local origin errors is set to false",
            "outlierDetection: {consecutiveLocalOriginFailures: 2}".into(),
            "outlierDetection: {consecutiveLocalOriginFailures: 2, splitExternalLocalOriginErrors: true}".into(),
        ),
        (
            "loadBalancer.consistentHash.httpCookie.name",
            "name required",
            hash("httpCookie: {name: ''}"),
            hash("httpCookie: {name: a}"),
        ),
        (
            "loadBalancer.consistentHash.httpCookie.attributes[1].name",
            "duplicate cookie attribute name: b",
            hash("httpCookie: {name: a, attributes: [{name: b}, {name: b}]}"),
            hash("httpCookie: {name: a, attributes: [{name: b}, {name: c}]}"),
        ),
        (
            "loadBalancer.consistentHash.minimumRingSize",
            "only one of MinimumRingSize",
            hash("useSourceIp: true, minimumRingSize: 4, ringHash: {}"),
            hash("useSourceIp: true, minimumRingSize: 4"),
        ),
        (
            "loadBalancer.consistentHash.maglev.tableSize",
            "must be a prime",
            hash("useSourceIp: true, maglev: {tableSize: 9}"),
            hash("useSourceIp: true, maglev: {tableSize: 251}"),
        ),
        (
            "loadBalancer.consistentHash.maglev.tableSize",
            "must be less than",
            hash("useSourceIp: true, maglev: {tableSize: 5000011}"),
            hash("useSourceIp: true, maglev: {tableSize: 1}"),
        ),
        (
            "loadBalancer.localityLbSetting",
            "can not simultaneously specify 'distribute' and 'failover'",
            locality("distribute: [{from: a, to: {b: 100}}], failover: [{from: a, to: b}]"),
            locality("distribute: [{from: a, to: {b: 100}}]"),
        ),
        (
            "loadBalancer.localityLbSetting.failoverPriority",
            "topology label",
            locality("failover: [{from: a, to: b}], failoverPriority: [topology.kubernetes.io/zone]"),
            locality("failover: [{from: a, to: b}], failoverPriority: [version]"),
        ),
        (
            "loadBalancer.localityLbSetting.failover[0]",
            "must specify different regions",
            locality("failover: [{from: a, to: a}]"),
            locality("failover: [{from: a, to: b}]"),
        ),
        (
            "loadBalancer.localityLbSetting.failover[0]",
            "only specify region",
            locality("failover: [{from: a, to: b/c}]"),
            locality("failover: [{from: a, to: b}]"),
        ),
        (
            "loadBalancer.localityLbSetting.distribute[0].to",
            "total locality weight 90 != 100",
            locality(&format!("distribute: [{}]", share("a", "b: 60, c: 30"))),
            locality(&format!("distribute: [{}]", share("a", "b: 60, c: 40"))),
        ),
        (
            "loadBalancer.localityLbSetting.distribute[0].to",
            "must be in range [1, 100]",
            locality(&format!("distribute: [{}]", share("a", "b: 100, c: 0"))),
            locality(&format!("distribute: [{}]", share("a", "b: 99, c: 1"))),
        ),
        (
            "loadBalancer.localityLbSetting.distribute",
            "locality a/b overlap",
            locality(&format!(
                "distribute: [{}, {}]",
                share("a", "b: 100"),
                share("a/b", "b: 100")
            )),
            locality(&format!(
                "distribute: [{}, {}]",
                share("a/c", "b: 100"),
                share("a/b", "b: 100")
            )),
        ),
        (
            "loadBalancer.localityLbSetting.distribute",
            "wildcard '*' number",
            locality(&format!("distribute: [{}]", share("'*/a'", "b: 100"))),
            locality(&format!("distribute: [{}]", share("a/*", "b: 100"))),
        ),
        (
            "",
            "tunnel and proxyProtocol",
            "tunnel: {targetHost: a.com, targetPort: 80}, proxyProtocol: {version: V1}".into(),
            "proxyProtocol: {version: V1}".into(),
        ),
    ];
    for (field, words, fires, silent) in rows {
        let spec = |policy: &str| format!("  host: a.com\n  trafficPolicy: {{{policy}}}");
        let field = format!("spec.trafficPolicy.{field}");
        let field = field.trim_end_matches('.');
        holds(
            "DestinationRule",
            "IST0106",
            field,
            words,
            &spec(&fires),
            &spec(&silent),
        );
    }
}

#[test]
fn istio_warns_about_the_policy_of_the_whole_rule_alone() {
    let rows = [
        (
            "outlierDetection.consecutiveErrors",
            "consecutive errors is deprecated",
            "outlierDetection: {consecutiveErrors: 2}",
            "outlierDetection: {consecutiveErrors: 0}",
        ),
        (
            "loadBalancer.consistentHash.minimumRingSize",
            "MinimumRingSize is deprecated",
            "loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 4}}",
            "loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 4}}}",
        ),
        (
            "loadBalancer.localityLbSetting",
            "outlier detection policy must be provided",
            "loadBalancer: {localityLbSetting: {failoverPriority: [version]}}",
            "outlierDetection: {}, loadBalancer: {localityLbSetting: {failoverPriority: [version]}}",
        ),
    ];
    for (field, words, fires, silent) in rows {
        let spec = |policy: &str| format!("  host: a.com\n  trafficPolicy: {{{policy}}}");
        let field = format!("spec.trafficPolicy.{field}");
        holds("DestinationRule", "IST0133", &field, words, &spec(fires), &spec(silent));
        let of_subset = format!("  host: a.com\n  subsets: [{{name: v1, trafficPolicy: {{{fires}}}}}]");
        let found = findings(&object("DestinationRule", &of_subset));
        assert!(found.iter().all(|finding| finding.code != "IST0133"), "{found:?}");
    }
}

#[test]
fn what_the_sidecar_does_is_no_finding_and_what_it_does_not_is() {
    let spec = |policy: &str| format!("  host: a.com\n  trafficPolicy: {{{policy}}}");
    let done = "outlierDetection: {interval: 1s}, loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 1m}, \
                zoneAwareLbSetting: {failover: [{from: a, to: b}]}}, connectionPool: \
                {tcp: {idleTimeout: 0s, maxConnectionDuration: 1h, tcpKeepalive: {probes: 3}}, http: {idleTimeout: 1m}}";
    let found = findings(&object("DestinationRule", &spec(done)));
    assert!(found.iter().all(|finding| finding.code != "EGR06"), "{found:?}");
    let done = "tls: {mode: MUTUAL, caCertificates: /etc/ca.pem, caCrl: /etc/crl.pem, clientCertificate: /etc/cert.pem, \
                privateKey: /etc/key.pem}, retryBudget: {percent: 5, budgetInterval: 1s}, \
                proxyProtocol: {version: V2}";
    let found = findings(&object("DestinationRule", &spec(done)));
    assert!(found.iter().all(|finding| finding.code != "EGR06"), "{found:?}");
    let not_done = "tls: {mode: SIMPLE, credentialName: 'configmap://default/ca'}, \
                    tunnel: {targetHost: a.com, targetPort: 80, protocol: POST}";
    let found = findings(&object("DestinationRule", &spec(not_done)));
    let fields: Vec<&str> = found
        .iter()
        .filter(|one| one.code == "EGR06")
        .map(|one| &*one.field)
        .collect();
    let parts = ["tunnel.protocol", "tls.credentialName"];
    assert_eq!(fields, parts.map(|part| format!("spec.trafficPolicy.{part}")));
}

#[test]
fn certificates_of_the_mesh_are_named_as_what_the_sidecar_has_not() {
    let named = |mode: &str| -> Vec<String> {
        let spec = format!("  host: a.com\n  trafficPolicy: {{tls: {{mode: {mode}}}}}");
        let found = findings(&object("DestinationRule", &spec));
        let found = found.into_iter().filter(|one| one.code == "EGR06");
        found.map(|one| one.field.to_string()).collect()
    };
    assert_eq!(named("ISTIO_MUTUAL"), ["spec.trafficPolicy.tls.mode"]);
    assert!(named("SIMPLE").is_empty());
}

#[test]
fn settings_of_the_mesh_that_the_sidecar_does_not_act_on_are_named_with_their_line() {
    let mesh = |settings: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n{settings}"
        )
    };
    let done = "    pathNormalization: {normalization: MERGE_SLASHES}\n    defaultTrafficPolicy: {outlierDetection: {}}\n    \
                serviceEntryVisibility: {applyToSidecars: false}\n";
    let found = findings(&mesh(done));
    assert!(found.iter().all(|finding| finding.code != "EGR06"), "{found:?}");
    let found = findings(&mesh("    connectTimeout: 1s\n    proxyHttpPort: 15080\n"));
    let found: Vec<(&str, u32)> = found
        .iter()
        .filter(|one| one.code == "EGR06")
        .map(|one| (&*one.field, one.line))
        .collect();
    assert_eq!(found, [("data.mesh.proxyHttpPort", 7)]);
}
