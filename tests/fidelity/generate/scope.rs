//! DestinationRules, Sidecars and the mesh config.

use serde_json::{Value, json};

use super::{PORTS, balance, export_to};
use crate::seed::Seed;

pub fn destination_rule(seed: &mut Seed) -> Value {
    let hosts = [
        "a.com",
        "a.com",
        "b.com",
        "x.a.com",
        "*.a.com",
        "*.com",
        "c.org",
        "web",
        "web.shop.svc.cluster.local",
        "UP.com",
    ];
    let mut spec = json!({"host": seed.text(&hosts)});
    if seed.below(3) > 0 {
        spec["trafficPolicy"] = whole_policy(seed);
        if seed.once_in(3) {
            let mut own = policy(seed);
            own["port"] = json!({"number": seed.pick(&PORTS)});
            spec["trafficPolicy"]["portLevelSettings"] = json!([own]);
        }
    }
    if seed.once_in(2) {
        let count = seed.between(1, 2);
        spec["subsets"] = seed
            .texts(&["v1", "v2"], count)
            .into_iter()
            .map(|name| {
                let mut subset = json!({"name": name});
                if seed.below(3) > 0 {
                    subset["labels"] = json!({"version": name});
                }
                if seed.once_in(4) {
                    subset["trafficPolicy"] = whole_policy(seed);
                }
                subset
            })
            .collect();
    }
    if seed.once_in(8) {
        spec["workloadSelector"] = json!({"matchLabels": {"app": seed.text(&["cart", "web"])}});
    }
    export_to(seed, &mut spec);
    json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "spec": spec})
}

/// A traffic policy.
pub fn policy(seed: &mut Seed) -> Value {
    let mut policy = json!({});
    if seed.below(3) > 0 {
        let mut tls = json!({"mode": seed.text(&["SIMPLE", "SIMPLE", "DISABLE"])});
        if tls["mode"] == "SIMPLE" && seed.once_in(2) {
            tls["sni"] = json!("sni.example.com");
        }
        // Nothing that verifies may stand beside what keeps from it.
        match seed.below(12) {
            0 | 1 => tls["credentialName"] = json!(seed.text(&["secret", "configmap://shop/ca"])),
            2 => tls["insecureSkipVerify"] = json!(true),
            3 => {
                tls["mode"] = json!("MUTUAL");
                tls["clientCertificate"] = json!("/etc/client.pem");
                tls["privateKey"] = json!("/etc/key.pem");
                tls["caCertificates"] = json!(seed.text(&["/etc/ca.pem", "system"]));
            }
            4 => {
                tls["caCertificates"] = json!("/etc/ca.pem");
                tls["caCrl"] = json!("/etc/crl.pem");
            }
            _ => {}
        }
        if tls.get("insecureSkipVerify").is_none() && seed.once_in(4) {
            tls["subjectAltNames"] = json!(["san.example.com"]);
        }
        policy["tls"] = tls;
    }
    if seed.once_in(3) || policy.get("tls").is_none() {
        policy["connectionPool"] = connection_pool(seed);
    }
    if seed.once_in(3) {
        policy["loadBalancer"] = balance::load_balancer(seed);
    }
    if seed.once_in(4) {
        policy["outlierDetection"] = balance::outlier_detection(seed);
    }
    policy
}

/// A traffic policy with what that of a port cannot have.
pub fn whole_policy(seed: &mut Seed) -> Value {
    let mut policy = policy(seed);
    if seed.once_in(4) {
        let budgets = [
            json!({}),
            json!({"percent": 12.5, "budgetInterval": "1500ms"}),
            json!({"percent": 0, "minRetryConcurrency": 7}),
        ];
        policy["retryBudget"] = seed.pick(&budgets).clone();
    }
    if seed.once_in(6) {
        let versions = [json!({}), json!({"version": "V1"}), json!({"version": "V2"})];
        policy["proxyProtocol"] = seed.pick(&versions).clone();
    } else if seed.once_in(6) {
        let tunnels = [
            json!({"targetHost": "far.example.com", "targetPort": 443}),
            json!({"targetHost": "2001:db8::1", "targetPort": 5432, "protocol": "CONNECT"}),
            json!({"targetHost": "10.0.0.9", "targetPort": 80, "protocol": "POST"}),
        ];
        policy["tunnel"] = seed.pick(&tunnels).clone();
    }
    policy
}

fn connection_pool(seed: &mut Seed) -> Value {
    let mut pool = json!({});
    if seed.below(3) > 0 {
        pool["tcp"] = json!({"connectTimeout": seed.text(&["2s", "300ms"])});
        if seed.once_in(3) {
            pool["tcp"]["maxConnections"] = json!(seed.pick(&[0, 1, 100]));
        }
        for (setting, value) in [
            ("idleTimeout", json!(seed.text(&["0s", "20s"]))),
            ("maxConnectionDuration", json!("90s")),
            ("tcpKeepalive", balance::keepalive(seed)),
        ] {
            if seed.once_in(6) {
                pool["tcp"][setting] = value;
            }
        }
    }
    if seed.once_in(6) {
        pool["http"]["idleTimeout"] = json!("40s");
    }
    for setting in [
        "maxConcurrentStreams",
        "http1MaxPendingRequests",
        "http2MaxRequests",
        "maxRetries",
        "maxRequestsPerConnection",
    ] {
        if seed.once_in(6) || setting == "maxRetries" && pool == json!({}) {
            pool["http"][setting] = json!(seed.pick(&[0, 1, 7]));
        }
    }
    // Which HTTP the cluster speaks.
    if seed.once_in(4) {
        pool["http"]["h2UpgradePolicy"] = json!(seed.text(&["UPGRADE", "UPGRADE", "DO_NOT_UPGRADE", "DEFAULT"]));
    }
    if seed.once_in(4) {
        pool["http"]["useClientProtocol"] = json!(seed.below(4) > 0);
    }
    pool
}

pub fn sidecar(seed: &mut Seed) -> Value {
    let mut spec = json!({});
    if seed.once_in(2) {
        spec["workloadSelector"] = json!({"labels": {"app": seed.text(&["cart", "web"])}});
    }
    if seed.once_in(2) {
        let modes = [
            json!({"mode": "REGISTRY_ONLY"}),
            json!({"mode": "ALLOW_ANY"}),
            json!({}),
        ];
        spec["outboundTrafficPolicy"] = seed.pick(&modes).clone();
    }
    let listeners = *seed.pick(&[0, 1, 1, 1, 2, 3]);
    if listeners > 0 {
        let mut ports: Vec<u16> = Vec::new();
        spec["egress"] = (0..listeners)
            .map(|index| {
                let mut listener = json!({"hosts": egress_hosts(seed)});
                let port = *seed.pick(&PORTS);
                if (index + 1 < listeners || seed.once_in(3)) && !ports.contains(&port) {
                    ports.push(port);
                    let protocol = seed.text(&["HTTP", "HTTP", "HTTPS", "TLS", "TCP"]);
                    listener["port"] = json!({"number": port, "protocol": protocol, "name": format!("e{index}")});
                    if seed.once_in(6) {
                        listener["bind"] = json!(seed.text(&["10.1.0.1", "0.0.0.0"]));
                    }
                }
                listener
            })
            .collect();
    }
    json!({"apiVersion": "networking.istio.io/v1", "kind": "Sidecar", "spec": spec})
}

fn egress_hosts(seed: &mut Seed) -> Value {
    let hosts = [
        "*/*",
        "./*",
        "~/*",
        "other/*",
        "shop/*",
        "*/a.com",
        "*/*.com",
        "./*.a.com",
        "istio-system/*",
        "*/x.a.com",
        "~other/a.com",
        "~/b.com",
        "*/*.svc.cluster.local",
    ];
    let count = *seed.pick(&[1, 1, 2, 3]);
    json!(seed.texts(&hosts, count))
}

/// Mesh config as YAML.
pub fn mesh(seed: &mut Seed) -> String {
    let policies = [
        "",
        "outboundTrafficPolicy: {mode: ALLOW_ANY}\n",
        "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n",
        "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n",
        "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}\n",
        "outboundTrafficPolicy: {}\n",
    ];
    let mut mesh = seed.text(&policies);
    if mesh.contains("DYNAMIC_DNS") && seed.once_in(2) {
        let tls = seed.text(&[
            "{mode: DISABLE}",
            "{mode: SIMPLE}",
            "{mode: SIMPLE, sni: x.com, subjectAltNames: [y.com]}",
            "{mode: SIMPLE, insecureSkipVerify: true}",
            "{mode: MUTUAL, clientCertificate: /c, privateKey: /k}",
        ]);
        mesh = format!("outboundTrafficPolicy: {{mode: ALLOW_ANY_DYNAMIC_DNS, tls: {tls}}}\n");
    }
    for (text, times) in [
        ("connectTimeout: 4s\n", 6),
        ("h2UpgradePolicy: UPGRADE\n", 12),
        ("defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}}\n", 3),
        (
            "defaultHttpRetryPolicy: {attempts: 5, retryOn: '5xx,503', perTryTimeout: 1s}\n",
            12,
        ),
        ("defaultHttpRetryPolicy: {attempts: 0}\n", 12),
        ("tcpKeepalive: {time: 60s, probes: 4}\n", 12),
        ("localityLbSetting: {enabled: false}\n", 12),
        ("zoneAwareLbSetting: {failover: [{from: r1, to: r2}]}\n", 12),
        (
            "defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: 9, connectTimeout: 7s, idleTimeout: 3s}, http: {maxRetries: 2, maxRequestsPerConnection: 5, h2UpgradePolicy: UPGRADE}}}\n",
            12,
        ),
        (
            "defaultTrafficPolicy: {outlierDetection: {consecutive5xxErrors: 4, maxEjectionPercent: 60, minHealthPercent: 30}}\n",
            12,
        ),
        (
            "localityLbSetting: {distribute: [{from: 'r1/*', to: {r1: 60, r2: 40}}]}\n",
            12,
        ),
        ("defaultServiceExportTo: ['.']\n", 12),
        ("defaultVirtualServiceExportTo: ['.']\n", 12),
        ("defaultDestinationRuleExportTo: ['.']\n", 12),
    ] {
        let key = text.split(':').next().unwrap_or_default();
        if seed.once_in(times) && !mesh.contains(key) {
            mesh.push_str(text);
        }
    }
    mesh
}
