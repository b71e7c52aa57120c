//! DestinationRule, Gateway and Sidecar.

use super::{cursor::Cursor, service_entry::choice};
use crate::model::{
    DestinationRule, EgressListener, Gateway, GatewayServer, OutboundMode, Protocol, Sidecar, TrafficPolicy,
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
    let policy = spec.mapping("trafficPolicy");
    DestinationRule {
        host: spec.text("host").unwrap_or_default().into(),
        export_to: spec.texts("exportTo"),
        port_policies: policy
            .map(|policy| {
                policy.list("portLevelSettings", |setting| {
                    let port = setting.mapping("port")?.port("number")?;
                    Some((port, traffic_policy(setting)))
                })
            })
            .unwrap_or_default(),
        policy: policy.map(traffic_policy).unwrap_or_default(),
        subsets: spec.list("subsets", |subset| subset.text("name").map(Into::into)),
    }
}

fn traffic_policy(policy: Cursor<'_>) -> TrafficPolicy {
    let tls = policy.mapping("tls");
    TrafficPolicy {
        tls_mode: tls.and_then(|tls| {
            choice(
                tls,
                "mode",
                &[
                    ("DISABLE", "DISABLE"),
                    ("SIMPLE", "SIMPLE"),
                    ("MUTUAL", "MUTUAL"),
                    ("ISTIO_MUTUAL", "ISTIO_MUTUAL"),
                ],
            )
            .map(str::to_string)
        }),
        sni: tls.and_then(|tls| tls.text("sni").map(str::to_string)),
        connect_timeout: policy
            .mapping("connectionPool")
            .and_then(|pool| pool.mapping("tcp").and_then(|tcp| tcp.duration("connectTimeout"))),
    }
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
        egress: spec.list("egress", |listener| Some(egress_listener(listener))),
        // Present but empty is the enum's zero: REGISTRY_ONLY.
        mode: policy.map(|policy| outbound_mode(policy, false).unwrap_or(OutboundMode::RegistryOnly)),
        mode_is_implied: policy.is_some_and(|policy| !policy.has("mode")),
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
        Some((port.port("number")?, protocol?))
    });
    EgressListener {
        line: listener.line(),
        hosts: listener.texts("hosts"),
        port,
        bind: listener.text("bind").map(str::to_string),
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
