//! DestinationRule: Istio's validation of what this engine reads.

use std::net::IpAddr;

use super::{
    Finding, Level, export_to,
    finding::{Report, pointer},
    hosts::{is_domain, is_label, is_wildcard_domain, labels, selector},
    load_balancing,
};
use crate::model::{ClientTls, DestinationRule, Object, PolicySet, TrafficPolicy, Tunnel, World};

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    for rule in &world.destination_rules {
        let mut report = Report::new(findings, "DestinationRule", rule);
        let spec = &rule.spec;
        if !is_wildcard_domain(&spec.host) {
            report.rejected("spec.host", format!("domain name {:?} invalid", spec.host));
        }
        let own = &*rule.meta.namespace;
        unverified(&mut report, rule);
        policies(&mut report, "spec.trafficPolicy", spec.policy.as_ref(), own);
        if let Some(set) = &spec.policy {
            load_balancing::warnings(&mut report, "spec.trafficPolicy", &set.policy);
        }
        for (index, subset) in spec.subsets.iter().enumerate() {
            let (field, name) = (format!("spec.subsets[{index}]"), &subset.name);
            if name.is_empty() {
                report.rejected(format!("{field}.name"), "subset name is required");
            } else if !is_label(name) {
                report.rejected(format!("{field}.name"), format!("subset name is invalid: {name}"));
            } else if spec.subsets[..index].iter().any(|earlier| earlier.name == *name) {
                report.rejected(format!("{field}.name"), format!("duplicate subset names: {name}"));
            }
            labels(&mut report, &format!("{field}.labels"), &subset.labels);
            policies(
                &mut report,
                &format!("{field}.trafficPolicy"),
                subset.policy.as_ref(),
                own,
            );
        }
        export_to::check(&mut report, &spec.export_to, &rule.meta.namespace, false);
        selected(&mut report, rule);
    }
}

/// Istio's `destinationrule.CaCertificateAnalyzer`. Since Istio 1.21 the system's authorities are asked where no file is
/// named; the analyzer warns all the same.
fn unverified(report: &mut Report<'_>, rule: &Object<DestinationRule>) {
    let Some(set) = &rule.spec.policy else { return };
    let mut check = |code, field: String, policy: &TrafficPolicy| {
        let Some(tls) = &policy.tls else { return };
        let by_secret = tls.credential_name.is_some() && rule.spec.workload_selector.is_some();
        if !matches!(tls.mode.as_str(), "SIMPLE" | "MUTUAL") || tls.ca_certificates.is_some() || by_secret {
            return;
        }
        report.analyzed(
            code,
            format!("{field}.tls"),
            format!(
                "TLS mode {} names no caCertificates for {}: before Istio 1.21 the server's certificate is not verified",
                tls.mode, rule.spec.host
            ),
            Some("write caCertificates: system".into()),
        );
        // Beside a Secret, or where nothing is to be verified, it would be refused.
        if tls.credential_name.is_none() && !tls.insecure_skip_verify {
            report.patch(
                "add",
                pointer(&format!("{field}.tls.caCertificates")),
                Some("system".into()),
            );
        }
    };
    check("IST0128", "spec.trafficPolicy".into(), &set.policy);
    for (index, (_, policy)) in set.ports.iter().enumerate() {
        let field = format!("spec.trafficPolicy.portLevelSettings[{index}]");
        check("IST0129", field, policy);
    }
}

/// A rule for some callers is for their own namespace.
fn selected(report: &mut Report<'_>, rule: &Object<DestinationRule>) {
    let (spec, own) = (&rule.spec, &*rule.meta.namespace);
    let Some(labels) = &spec.workload_selector else { return };
    selector(report, "spec.workloadSelector.matchLabels", labels);
    if labels.is_empty() {
        report.warned("spec.workloadSelector", "workload selector specified without labels");
    }
    let is_own = |entry: &String| entry == "." || entry == own;
    if !spec.export_to.is_empty() && !spec.export_to.iter().any(is_own) {
        report.rejected(
            "spec.exportTo",
            "destination rule with workload selector cannot have exportTo beyond current namespace",
        );
    } else if spec.export_to.iter().any(|entry| !is_own(entry)) {
        report.rejected(
            "spec.exportTo",
            "destination rule with workload selector cannot have multiple entries in exportTo",
        );
    }
}

fn policies(report: &mut Report<'_>, field: &str, set: Option<&PolicySet>, namespace: &str) {
    let Some(set) = set else { return };
    if is_empty(&set.policy) && set.ports.is_empty() {
        report.rejected(field, "traffic policy must have at least one field");
    }
    policy(report, field, &set.policy, namespace);
    for (index, (_, own)) in set.ports.iter().enumerate() {
        let field = format!("{field}.portLevelSettings[{index}]");
        if is_empty(own) {
            report.rejected(&field, "port traffic policy must have at least one field");
        }
        policy(report, &field, own, namespace);
    }
}

fn is_empty(policy: &TrafficPolicy) -> bool {
    policy.tls.is_none()
        && policy.connection_pool.is_none()
        && policy.load_balancer.is_none()
        && policy.outlier_detection.is_none()
        && policy.retry_budget.is_none()
        && policy.proxy_protocol.is_none()
        && policy.tunnel.is_none()
        && policy.unapplied.is_empty()
}

fn policy(report: &mut Report<'_>, field: &str, policy: &TrafficPolicy, namespace: &str) {
    if let Some(pool) = &policy.connection_pool {
        if pool.is_empty {
            report.rejected(
                format!("{field}.connectionPool"),
                "connection pool must have at least one field",
            );
        }
        if pool.use_client_protocol && pool.h2_upgrade == Some(true) {
            report.rejected(
                format!("{field}.connectionPool.http"),
                "use client protocol must not be true when H2UpgradePolicy is UPGRADE",
            );
        }
    }
    if let Some(outlier) = &policy.outlier_detection {
        load_balancing::outlier_detection(report, &format!("{field}.outlierDetection"), outlier);
    }
    if let Some(balancer) = &policy.load_balancer {
        load_balancing::load_balancer(report, &format!("{field}.loadBalancer"), balancer);
    }
    if let Some(written) = &policy.tunnel {
        if policy.proxy_protocol.is_some() {
            report.rejected(field, "tunnel and proxyProtocol must not be set together");
        }
        tunnel(report, &format!("{field}.tunnel"), written);
    }
    let pool = policy.connection_pool.iter().flat_map(|pool| &pool.unapplied);
    for part in policy.unapplied.iter().chain(pool) {
        report.add(
            "EGR06",
            Level::Info,
            format!("{field}.{part}"),
            format!("Egret's sidecar does not act on {part}; Envoy does"),
            None,
        );
    }
    if let Some(tls) = &policy.tls {
        if tls.mode == "ISTIO_MUTUAL" {
            report.add(
                "EGR06",
                Level::Info,
                format!("{field}.tls.mode"),
                "Egret's sidecar has no certificate of the mesh, and sends plain text; Envoy shows the workload's",
                None,
            );
        }
        certificates(report, &format!("{field}.tls"), tls, namespace);
    }
}

/// Istio: `validateTunnelSettings`.
fn tunnel(report: &mut Report<'_>, field: &str, tunnel: &Tunnel) {
    if !matches!(&*tunnel.protocol, "" | "CONNECT" | "POST") {
        report.rejected(
            format!("{field}.protocol"),
            "tunnel protocol must be \"CONNECT\" or \"POST\"",
        );
    }
    if !is_domain(&tunnel.host) && tunnel.host.parse::<IpAddr>().is_err() {
        report.rejected(
            format!("{field}.targetHost"),
            "tunnel target host must be valid FQDN or IP address",
        );
    }
    if !(1..=65535).contains(&tunnel.port) {
        report.rejected(
            format!("{field}.targetPort"),
            format!(
                "tunnel target port is invalid: port number {} must be in the range 1..65535",
                tunnel.port
            ),
        );
    }
}

fn certificates(report: &mut Report<'_>, field: &str, tls: &ClientTls, namespace: &str) {
    let map = tls
        .credential_name
        .as_deref()
        .and_then(|name| name.strip_prefix("configmap://"));
    if map.is_some_and(|map| map.split_once('/').is_none_or(|(own, _)| own != namespace)) {
        report.rejected(
            format!("{field}.credentialName"),
            format!(
                "invalid configmap:// credentialName: namespace must match the configuration namespace {namespace:?}"
            ),
        );
    }
    let (simple, mutual) = (tls.mode == "SIMPLE", tls.mode == "MUTUAL");
    let named = tls.credential_name.is_some();
    let verifies =
        tls.ca_certificates.is_some() || tls.ca_crl.is_some() || !tls.subject_alt_names.is_empty() || simple && named;
    if tls.insecure_skip_verify && (simple || mutual) && verifies {
        report.rejected(
            field,
            "cannot specify CaCertificates or CredentialName or SubjectAltNames when InsecureSkipVerify is set true",
        );
    }
    if !simple && !mutual {
        return;
    }
    let files = [
        &tls.client_certificate,
        &tls.ca_certificates,
        &tls.ca_crl,
        &tls.private_key,
    ];
    if named && files.iter().any(|file| file.is_some()) {
        report.rejected(
            field,
            "cannot specify client certificates or CA certificate or CA CRL If credentialName is set",
        );
    }
    if mutual && !named && tls.client_certificate.is_none() {
        report.rejected(field, "client certificate required for mutual tls");
    }
    if mutual && !named && tls.private_key.is_none() {
        report.rejected(field, "private key required for mutual tls");
    }
}
