//! How the endpoints of a cluster are called: what a DestinationRule, the port and the mesh make of that.

use std::{borrow::Cow, sync::Arc};

use super::{
    CertificateChecks, ClusterSettings, Endpoints, OriginateTls, Spread, TlsFiles, Upkeep, UpstreamHttp,
    balance::{self, Holding},
    registry::{RegistryService, ServiceKind},
    rules::Rule,
};
use crate::model::{
    ClientTls, ConnectionPool, Keepalive, Limits, LocalitySetting, MeshConfig, Port, Protocol, ProtocolClass,
    ServiceEntry, Subset, TrafficPolicy,
};

/// The settings of clusters without a DestinationRule: there is one of each kind, which all of that kind share.
pub(super) struct Plain<'m> {
    mesh: &'m MeshConfig,
    kinds: [Arc<ClusterSettings>; 3],
}

impl<'m> Plain<'m> {
    pub fn new(mesh: &'m MeshConfig) -> Self {
        let kinds = [UpstreamHttp::Http1, UpstreamHttp::Http2, UpstreamHttp::AsCaller];
        Self {
            mesh,
            kinds: kinds.map(|http| {
                Arc::new(ClusterSettings {
                    upkeep: upkeep(None, mesh).map(Box::new),
                    ..ClusterSettings::plain(http, mesh.connect_timeout())
                })
            }),
        }
    }

    pub fn of(&self, port: &Port) -> Arc<ClusterSettings> {
        let [one, two, as_caller] = &self.kinds;
        match upstream_http(port.protocol, None, self.mesh) {
            UpstreamHttp::Http1 => one.clone(),
            UpstreamHttp::Http2 => two.clone(),
            UpstreamHttp::AsCaller => as_caller.clone(),
        }
    }
}

/// The setting of localities or zones that holds: the rule's, else the mesh's, which falls back where nothing is written.
/// Istio: `GetEffectiveLbSetting`.
pub(super) fn locality_setting<'s>(policy: Option<&'s TrafficPolicy>, mesh: &'s MeshConfig) -> Option<Holding<'s>> {
    static FAILS_OVER: LocalitySetting = LocalitySetting {
        enabled: None,
        distribute: Vec::new(),
        failover: Vec::new(),
        failover_priority: Vec::new(),
    };
    let balancer = policy.and_then(|policy| policy.load_balancer.as_ref());
    let own = balancer.and_then(|balancer| written(balancer.zone_aware.as_ref(), balancer.locality.as_ref()));
    let holding = own
        .or_else(|| written(mesh.zone_aware.as_ref(), mesh.locality.as_ref()))
        .unwrap_or(Holding::Localities(&FAILS_OVER));
    (holding.setting().enabled != Some(false)).then_some(holding)
}

/// What one place says: of zones before localities.
fn written<'s>(zones: Option<&'s LocalitySetting>, localities: Option<&'s LocalitySetting>) -> Option<Holding<'s>> {
    zones.map(Holding::Zones).or(localities.map(Holding::Localities))
}

/// How connections are kept: what the mesh says of probes holds but for what the rule says of the same.
pub(super) fn upkeep(policy: Option<&TrafficPolicy>, mesh: &MeshConfig) -> Option<Upkeep> {
    let pool = policy.and_then(|policy| policy.connection_pool.as_ref());
    let own = pool.and_then(|pool| pool.keepalive);
    let keepalive = match (mesh.keepalive, own) {
        (Some(mesh), Some(own)) => Some(Keepalive {
            probes: if own.probes > 0 { own.probes } else { mesh.probes },
            time: own.time.or(mesh.time),
            interval: own.interval.or(mesh.interval),
        }),
        (mesh, own) => own.or(mesh),
    };
    let upkeep = Upkeep {
        idle_timeout: pool.and_then(|pool| pool.http_idle_timeout.or(pool.idle_timeout)),
        max_duration: pool.and_then(|pool| pool.max_connection_duration),
        keepalive,
    };
    (upkeep != Upkeep::default()).then_some(upkeep)
}

/// The policy of a service's port, over what the mesh says of all clusters. Istio: `applyDefaultTrafficPolicy`.
pub(super) fn over_mesh<'p>(policy: Option<&'p TrafficPolicy>, mesh: &'p MeshConfig) -> Option<Cow<'p, TrafficPolicy>> {
    let base = &mesh.default_traffic_policy;
    let Some(own) = policy else {
        return (*base != TrafficPolicy::default()).then_some(Cow::Borrowed(base));
    };
    let has_pool = own.connection_pool.is_some() || base.connection_pool.is_none();
    let has_outlier = own.outlier_detection.is_some() || base.outlier_detection.is_none();
    if has_pool && has_outlier {
        return Some(Cow::Borrowed(own));
    }
    Some(Cow::Owned(TrafficPolicy {
        connection_pool: own.connection_pool.as_ref().or(base.connection_pool.as_ref()).cloned(),
        outlier_detection: own
            .outlier_detection
            .as_ref()
            .or(base.outlier_detection.as_ref())
            .cloned(),
        ..own.clone()
    }))
}

/// The policy of a subset: its own blocks over the rule's; a policy for the very port replaces all of them.
pub(super) fn of_subset(rule: Option<&TrafficPolicy>, subset: &Subset, port: u16) -> Option<TrafficPolicy> {
    let Some(own) = &subset.policy else {
        return rule.cloned();
    };
    let (own, replaces) = own.of_port(port);
    // Istio's `MergeTrafficPolicy`: these two no policy of a port can have, and none replaces.
    let retry_budget = own.retry_budget.or(rule.and_then(|rule| rule.retry_budget));
    let proxy_protocol = own.proxy_protocol.or(rule.and_then(|rule| rule.proxy_protocol));
    let rule = rule.filter(|_| !replaces);
    let over = |block: fn(&TrafficPolicy) -> bool| if block(own) { Some(own) } else { rule };
    Some(TrafficPolicy {
        tls: over(|policy| policy.tls.is_some()).and_then(|policy| policy.tls.clone()),
        connection_pool: over(|policy| policy.connection_pool.is_some())
            .and_then(|policy| policy.connection_pool.clone()),
        load_balancer: over(|policy| policy.load_balancer.is_some()).and_then(|policy| policy.load_balancer.clone()),
        outlier_detection: over(|policy| policy.outlier_detection.is_some())
            .and_then(|policy| policy.outlier_detection.clone()),
        retry_budget,
        proxy_protocol,
        // That of streams: `host_rules`.
        tunnel: None,
        unapplied: {
            let rule = rule.into_iter().flat_map(|rule| &rule.unapplied);
            let inherited = rule.filter(|part| !own.unapplied.contains(part));
            own.unapplied.iter().chain(inherited).copied().collect()
        },
    })
}

/// What `policy`, which is of `rule`, and differences among its `endpoints` make of a cluster of `service`.
pub(super) fn settings(
    policy: Option<&TrafficPolicy>,
    rule: Option<&Rule<'_>>,
    service: &RegistryService,
    port: &Port,
    mesh: &MeshConfig,
    (endpoints, spread): (&Endpoints, Option<Spread>),
) -> ClusterSettings {
    let pool = policy.and_then(|policy| policy.connection_pool.as_ref());
    let connect_timeout = pool.and_then(|pool| pool.connect_timeout);
    let of_pool = pool.into_iter().flat_map(|pool| &pool.unapplied);
    let of_policy = policy.into_iter().flat_map(|policy| &policy.unapplied);
    let tls = policy.and_then(|policy| originate(policy, rule, service));
    // The sidecar has no way to a Secret or a ConfigMap: what the system trusts stands for it.
    let by_name = policy.and_then(|policy| policy.tls.as_ref()?.credential_name.as_ref());
    let of_tls = tls.as_ref().and(by_name).map(|_| "tls.credentialName");
    // Nor has it a certificate of the mesh.
    let is_of_mesh = policy.is_some_and(|policy| policy.tls.as_ref().is_some_and(|tls| tls.mode == "ISTIO_MUTUAL"));
    let of_tls = of_tls.or(is_of_mesh.then_some("tls.mode ISTIO_MUTUAL"));
    let http = upstream_http(port.protocol, pool, mesh);
    let limits = pool.map(|pool| pool.limits).unwrap_or_default();
    ClusterSettings {
        connect_timeout: connect_timeout.unwrap_or(mesh.connect_timeout()),
        balance: match endpoints {
            // Neither has anything to choose from.
            Endpoints::OriginalDst(_) | Endpoints::DynamicDns(_) => None,
            Endpoints::Static(_) | Endpoints::Host(_) | Endpoints::Dns(_) => balance::balance_of(policy, spread),
        },
        upkeep: upkeep(policy, mesh).map(Box::new),
        http,
        tls,
        proxy_protocol: policy.and_then(|policy| policy.proxy_protocol),
        limits: Limits {
            retry_budget: policy.and_then(|policy| policy.retry_budget),
            // Istio says it of clusters that speak HTTP/2 to whoever calls.
            streams: limits.streams.filter(|_| http == UpstreamHttp::Http2),
            ..limits
        },
        unapplied: of_policy.chain(of_pool).copied().chain(of_tls).collect(),
    }
}

/// Whether Envoy refuses the cluster that Istio makes for a port of hosts which the sidecar resolves. Seen of Envoy 1.40: one
/// with options of HTTP must verify certificates for the hosts of requests, and Istio says so with TLS alone. `selects` says
/// whether `policy` stands in a rule for some callers.
pub(crate) fn is_refused(
    entry: &ServiceEntry,
    protocol: Protocol,
    policy: Option<&TrafficPolicy>,
    selects: bool,
    mesh: &MeshConfig,
) -> bool {
    let tls = policy.and_then(|policy| policy.tls.as_ref());
    // Istio says so too where it finds out by itself who in the mesh speaks its TLS.
    if tls.is_none() && entry.mesh_internal && mesh.auto_mtls {
        return false;
    }
    let encrypts = |tls: &ClientTls| tls.mode == "ISTIO_MUTUAL" || originated(tls, selects, &[], true).is_some();
    if tls.is_some_and(encrypts) {
        return false;
    }
    let pool = policy.and_then(|policy| policy.connection_pool.as_ref());
    let has_options = |pool: &ConnectionPool| {
        let times = [pool.idle_timeout, pool.max_connection_duration, pool.http_idle_timeout];
        let counts = [pool.limits.requests_per_connection, pool.limits.streams];
        times.iter().any(Option::is_some)
            || counts.iter().any(Option::is_some)
            || pool.unapplied.contains(&"connectionPool.http.http2KeepAlive")
    };
    upstream_http(protocol, pool, mesh) != UpstreamHttp::Http1 || pool.is_some_and(has_options)
}

/// The HTTP of a cluster. Istio: what a port declares stands; a rule upgrades any port that says neither HTTP/2 nor
/// nothing, the mesh those of HTTP alone; and to keep the caller's protocol goes before all.
fn upstream_http(protocol: Protocol, pool: Option<&ConnectionPool>, mesh: &MeshConfig) -> UpstreamHttp {
    let upgrade = pool.and_then(|pool| pool.h2_upgrade);
    let upgraded = upgrade.unwrap_or(mesh.h2_upgrade && protocol.class() == ProtocolClass::Http);
    match protocol {
        _ if pool.is_some_and(|pool| pool.use_client_protocol) => UpstreamHttp::AsCaller,
        Protocol::Auto => UpstreamHttp::AsCaller,
        protocol if protocol.is_http2() || upgraded => UpstreamHttp::Http2,
        _ => UpstreamHttp::Http1,
    }
}

fn originate(policy: &TrafficPolicy, rule: Option<&Rule<'_>>, service: &RegistryService) -> Option<OriginateTls> {
    let selects = rule.is_some_and(|rule| rule.selector.is_some());
    // Istio: names of the ServiceEntry where the rule has none.
    let names: &[String] = match &service.kind {
        ServiceKind::Entry(entry) => &entry.spec.subject_alt_names,
        _ => &[],
    };
    originated(policy.tls.as_ref()?, selects, names, service.is_dynamic())
}

/// TLS to unknown hosts, which the sidecar resolves by itself.
pub(super) fn of_unknown(mesh: &MeshConfig) -> Option<OriginateTls> {
    originated(mesh.dynamic_dns_tls.as_ref()?, false, &[], true)
}

/// What `tls` asks for; `selects` says whether it stands in a rule for some callers, `is_dynamic` whether the sidecar resolves
/// the host of each request.
fn originated(tls: &ClientTls, selects: bool, names: &[String], is_dynamic: bool) -> Option<OriginateTls> {
    // Istio: secrets reach a sidecar only by a rule that selects it; otherwise it speaks plain text.
    let secret = tls.credential_name.as_ref();
    let secret = secret.filter(|name| !name.starts_with("configmap://"));
    if secret.is_some() && !selects {
        return None;
    }
    let names = match &*tls.subject_alt_names {
        _ if tls.insecure_skip_verify => &[],
        [] => names,
        own => own,
    };
    matches!(&*tls.mode, "SIMPLE" | "MUTUAL").then(|| OriginateTls {
        sni: tls.sni.as_deref().map(Into::into),
        checks: checks(tls, is_dynamic),
        names: names.iter().map(|name| name.as_str().into()).collect(),
        files: files(tls).map(Box::new),
    })
}

/// The files of `tls`. Istio: `constructUpstreamTLS`, for which `system` is no file, and which asks nothing of authorities
/// where the server is not verified.
fn files(tls: &ClientTls) -> Option<TlsFiles> {
    let path = |written: &Option<String>| written.as_deref().map(Arc::from);
    let of_server = |written| path(written).filter(|_| !tls.insecure_skip_verify);
    let identity = path(&tls.client_certificate).zip(path(&tls.private_key));
    let files = TlsFiles {
        authorities: of_server(&tls.ca_certificates).filter(|path| &**path != "system"),
        revoked: of_server(&tls.ca_crl),
        identity: identity
            .filter(|_| tls.mode == "MUTUAL")
            .map(|(certificate, key)| [certificate, key]),
    };
    (files != TlsFiles::default() && tls.credential_name.is_none()).then_some(files)
}

/// What is asked of the server's certificate beside the names that are written. Istio: `setAutoSniAndAutoSanValidation`, and
/// where `constructUpstreamTLS` leaves the authorities out.
fn checks(tls: &ClientTls, is_dynamic: bool) -> CertificateChecks {
    if tls.insecure_skip_verify {
        CertificateChecks::None
    } else if is_dynamic || tls.sni.is_none() && tls.subject_alt_names.is_empty() {
        CertificateChecks::AuthorityAndHost
    } else {
        CertificateChecks::Authority
    }
}
