//! DestinationRule and Sidecar.

use super::{cursor::Cursor, service_entry::choice};
use crate::model::{
    ClientTls, ConnectionPool, DestinationRule, EgressListener, OutboundMode, PolicySet, Protocol, Sidecar, Subset,
    TrafficPolicy,
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
        subsets: spec.list("subsets", |subset| {
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
        policy: traffic_policy(policy),
        ports: policy.list("portLevelSettings", |setting| {
            let port = setting.mapping("port")?.port("number")?;
            Some((port, traffic_policy(setting)))
        }),
    })
}

fn traffic_policy(policy: Cursor<'_>) -> TrafficPolicy {
    let modes = ["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"].map(|mode| (mode, mode));
    TrafficPolicy {
        tls: policy.mapping("tls").map(|tls| ClientTls {
            // Absent is the enum's zero.
            mode: choice(tls, "mode", &modes).unwrap_or("DISABLE").to_string(),
            sni: tls.text("sni").filter(|sni| !sni.is_empty()).map(str::to_string),
            credential_name: tls
                .text("credentialName")
                .filter(|name| !name.is_empty())
                .map(str::to_string),
        }),
        connection_pool: policy.mapping("connectionPool").map(|pool| ConnectionPool {
            connect_timeout: pool.mapping("tcp").and_then(|tcp| tcp.duration("connectTimeout")),
        }),
    }
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
