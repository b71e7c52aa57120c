//! DestinationRule, Gateway and Sidecar.

use super::{
    cursor::Cursor,
    load_balancing::{keepalive, load_balancer, outlier_detection},
    routes::destination_of,
    service_entry::choice,
};
use crate::model::{
    CaptureMode, ClientTls, ConnectionPool, DestinationRule, EgressListener, Gateway, GatewayServer, Limits,
    OutboundMode, Percentage, PolicySet, Protocol, ProxyProtocol, RetryBudget, Sidecar, Subset, TrafficPolicy, Tunnel,
};

/// Spec of a DestinationRule.
pub fn destination_rule(root: Cursor<'_>) -> DestinationRule {
    let Some(spec) = root.mapping("spec") else {
        root.error("expected spec with a host");
        return DestinationRule::default();
    };
    if !spec.has("host") {
        spec.error("expected a host");
    }
    DestinationRule {
        host: spec.text("host").unwrap_or_default().into(),
        export_to: spec.texts("exportTo"),
        workload_selector: spec
            .mapping("workloadSelector")
            .map(|selector| selector.labels("matchLabels")),
        policy: policy_set(spec),
        subsets: spec.mappings("subsets", |subset| {
            Some(Subset {
                name: subset.text("name").unwrap_or_default().into(),
                labels: subset.labels("labels"),
                policy: policy_set(subset),
            })
        }),
    }
}

/// `trafficPolicy` of a rule or a subset.
fn policy_set(owner: Cursor<'_>) -> Option<PolicySet> {
    let policy = owner.mapping("trafficPolicy")?;
    Some(PolicySet {
        line: policy.line(),
        policy: traffic_policy(policy),
        ports: policy.mappings("portLevelSettings", |setting| {
            let Some(port) = setting.mapping("port") else {
                setting.error("portTrafficPolicy must have valid port");
                return None;
            };
            // Istio takes any number; one that is no port is for none.
            let number = port.count("number").and_then(|number| u16::try_from(number).ok());
            Some((number.unwrap_or_default(), traffic_policy(setting)))
        }),
    })
}

/// `tls` of a policy, or of the mesh's.
pub fn client_tls(tls: Cursor<'_>) -> ClientTls {
    let modes = ["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"].map(|mode| (mode, mode));
    let text = |key| tls.some_text(key).map(str::to_string);
    ClientTls {
        // Absent is the enum's zero.
        mode: choice(tls, "mode", &modes).unwrap_or("DISABLE").to_string(),
        ca_certificates: text("caCertificates"),
        ca_crl: text("caCrl"),
        client_certificate: text("clientCertificate"),
        private_key: text("privateKey"),
        subject_alt_names: tls.texts("subjectAltNames"),
        insecure_skip_verify: tls.boolean("insecureSkipVerify").unwrap_or_default(),
        sni: text("sni"),
        credential_name: text("credentialName"),
    }
}

fn traffic_policy(policy: Cursor<'_>) -> TrafficPolicy {
    TrafficPolicy {
        tls: policy.mapping("tls").map(client_tls),
        load_balancer: policy.mapping("loadBalancer").map(load_balancer),
        retry_budget: policy.mapping("retryBudget").map(retry_budget),
        proxy_protocol: policy.mapping("proxyProtocol").map(proxy_protocol),
        tunnel: policy.mapping("tunnel").map(tunnel),
        unapplied: others(policy),
        ..mesh_policy(policy)
    }
}

/// What the mesh config's `defaultTrafficPolicy` has too.
pub fn mesh_policy(policy: Cursor<'_>) -> TrafficPolicy {
    TrafficPolicy {
        connection_pool: policy.mapping("connectionPool").map(connection_pool),
        outlier_detection: policy.mapping("outlierDetection").map(outlier_detection),
        ..TrafficPolicy::default()
    }
}

/// Istio: `applyRetryBudget`, with its defaults.
fn retry_budget(budget: Cursor<'_>) -> RetryBudget {
    let percent = budget.number("percent").unwrap_or(20.0);
    if !(0.0..=100.0).contains(&percent) {
        budget.error_at("percent", "expected a number from 0 to 100");
    }
    RetryBudget {
        share: Percentage::of(percent),
        minimum: budget
            .count("minRetryConcurrency")
            .filter(|minimum| *minimum > 0)
            .unwrap_or(3),
        interval: budget.any_duration("budgetInterval").unwrap_or_default(),
    }
}

fn tunnel(written: Cursor<'_>) -> Tunnel {
    Tunnel {
        protocol: written.text("protocol").unwrap_or_default().to_string(),
        host: written.text("targetHost").unwrap_or_default().to_string(),
        port: written.count("targetPort").unwrap_or_default(),
    }
}

fn proxy_protocol(written: Cursor<'_>) -> ProxyProtocol {
    let versions = [("V1", ProxyProtocol::V1), ("V2", ProxyProtocol::V2)];
    // Absent is the enum's zero.
    choice(written, "version", &versions).unwrap_or(ProxyProtocol::V1)
}

/// Istio requires both times of `http2KeepAlive`.
fn http2_keepalive(keepalive: Cursor<'_>) {
    for key in ["interval", "timeout"] {
        if keepalive.duration(key).is_none() && !keepalive.has(key) {
            keepalive.error(format!("http2 keepalive {key} is required"));
        }
    }
}

fn connection_pool(pool: Cursor<'_>) -> ConnectionPool {
    let (tcp, http) = (pool.mapping("tcp"), pool.mapping("http"));
    // Istio: 0 is no limit.
    let limit = |part: Option<Cursor<'_>>, key: &str| part?.count(key).filter(|limit| *limit > 0);
    let written = |part: Option<Cursor<'_>>, settings: &[(&str, &'static str)]| {
        let present = settings
            .iter()
            .filter(|(key, _)| part.is_some_and(|part| part.has(key)));
        present.map(|(_, name)| *name).collect::<Vec<_>>()
    };
    if let Some(http) = http {
        http.mapping("http2KeepAlive").map(http2_keepalive);
    }
    let of_http = [("http2KeepAlive", "connectionPool.http.http2KeepAlive")];
    let upgrades = [
        ("DEFAULT", None),
        ("UPGRADE", Some(true)),
        ("DO_NOT_UPGRADE", Some(false)),
    ];
    ConnectionPool {
        connect_timeout: tcp.and_then(|tcp| tcp.duration("connectTimeout")),
        idle_timeout: tcp.and_then(|tcp| tcp.any_duration("idleTimeout")),
        max_connection_duration: tcp.and_then(|tcp| tcp.duration("maxConnectionDuration")),
        keepalive: tcp.and_then(|tcp| tcp.mapping("tcpKeepalive").map(keepalive)),
        http_idle_timeout: http.and_then(|http| http.duration("idleTimeout")),
        limits: Limits {
            connections: limit(tcp, "maxConnections"),
            pending: limit(http, "http1MaxPendingRequests"),
            requests: limit(http, "http2MaxRequests"),
            retries: limit(http, "maxRetries"),
            retry_budget: None,
            requests_per_connection: limit(http, "maxRequestsPerConnection"),
            streams: limit(http, "maxConcurrentStreams"),
        },
        h2_upgrade: http
            .and_then(|http| choice(http, "h2UpgradePolicy", &upgrades))
            .flatten(),
        use_client_protocol: http
            .and_then(|http| http.boolean("useClientProtocol"))
            .unwrap_or_default(),
        unapplied: written(http, &of_http),
        is_empty: tcp.is_none() && http.is_none(),
    }
}

/// Blocks, and parts of blocks, that this engine does not act on.
fn others(policy: Cursor<'_>) -> Vec<&'static str> {
    let mut found = Vec::new();
    let tunnel = policy.mapping("tunnel");
    if tunnel.is_some_and(|tunnel| tunnel.text("protocol") == Some("POST")) {
        found.push("tunnel.protocol");
    }
    found
}

/// Spec of a Gateway.
pub fn gateway(root: Cursor<'_>) -> Gateway {
    let Some(spec) = root.mapping("spec") else {
        root.error("expected spec with a selector and servers");
        return Gateway::default();
    };
    Gateway {
        selector: spec.labels("selector"),
        servers: spec.list("servers", gateway_server),
    }
}

fn gateway_server(server: Cursor<'_>) -> Option<GatewayServer> {
    let Some(port) = server.mapping("port") else {
        server.error("expected port with its number and protocol");
        return None;
    };
    Some(GatewayServer {
        line: server.line(),
        port: port.port("number")?,
        protocol: port.text("protocol").unwrap_or_default().to_string(),
        tls_mode: server
            .mapping("tls")
            .and_then(|tls| tls.text("mode").map(str::to_string)),
        hosts: server.list("hosts", |host| host.as_text().map(Into::into)),
    })
}

/// Spec of a Sidecar, egress part.
pub fn sidecar(root: Cursor<'_>) -> Sidecar {
    let Some(spec) = root.mapping("spec") else {
        root.error("expected spec");
        return Sidecar::default();
    };
    let policy = spec.mapping("outboundTrafficPolicy");
    Sidecar {
        workload_selector: spec
            .mapping("workloadSelector")
            .map(|selector| selector.labels("labels")),
        egress: spec.mappings("egress", |listener| Some(egress_listener(listener))),
        // Present but empty is the enum's zero: REGISTRY_ONLY.
        mode: policy.map(|policy| outbound_mode(policy, false).unwrap_or(OutboundMode::RegistryOnly)),
        mode_is_implied: policy.is_some_and(|policy| !policy.has("mode")),
        egress_proxy: policy.and_then(|policy| policy.field("egressProxy", destination_of)),
        has_inbound: !spec.mappings("ingress", |listener| Some(listener.line())).is_empty()
            || spec.has("inboundConnectionPool"),
        mode_line: policy.map_or(0, |policy| match policy.line_of("mode") {
            0 => policy.line(),
            line => line,
        }),
    }
}

fn egress_listener(listener: Cursor<'_>) -> EgressListener {
    let port = listener.mapping("port").and_then(|port| {
        let protocol = port.text("protocol").map_or(Some(Protocol::Auto), Protocol::parse);
        if protocol.is_none() {
            port.error_at("protocol", "unsupported protocol");
        }
        // 0 stands for a socket's path.
        let number = port.count("number").unwrap_or_default();
        let Ok(number) = u16::try_from(number) else {
            port.error_at("number", "expected a port number from 0 to 65535");
            return None;
        };
        Some((number, protocol?))
    });
    let modes = [
        ("DEFAULT", CaptureMode::Default),
        ("IPTABLES", CaptureMode::Iptables),
        ("NONE", CaptureMode::None),
    ];
    EgressListener {
        port_name: listener
            .mapping("port")
            .and_then(|port| port.text("name").map(str::to_string))
            .unwrap_or_default(),
        line: listener.line(),
        hosts: listener.texts("hosts"),
        port,
        bind: listener.text("bind").map(str::to_string),
        capture: choice(listener, "captureMode", &modes).unwrap_or_default(),
    }
}

/// `mode` of an outbound traffic policy. The mesh's decoder takes numbers too; the CRD of Sidecar does not.
pub fn outbound_mode(policy: Cursor<'_>, mesh: bool) -> Option<OutboundMode> {
    policy.field("mode", |mode| {
        let found = match mode.node.text() {
            Some("REGISTRY_ONLY") => Some(OutboundMode::RegistryOnly),
            Some("ALLOW_ANY") => Some(OutboundMode::AllowAny),
            Some("ALLOW_ANY_DYNAMIC_DNS") if mesh => Some(OutboundMode::AllowAnyDynamicDns),
            Some("0") if mesh => Some(OutboundMode::RegistryOnly),
            Some("1") if mesh => Some(OutboundMode::AllowAny),
            Some("3") if mesh => Some(OutboundMode::AllowAnyDynamicDns),
            _ => None,
        };
        if found.is_none() {
            let third = if mesh { ", ALLOW_ANY_DYNAMIC_DNS" } else { "" };
            let text = mode.node.text().unwrap_or_default();
            mode.error(format!(
                "expected one of REGISTRY_ONLY, ALLOW_ANY{third}, found {text:?}"
            ));
        }
        found
    })
}
