//! What older releases of Istio make of the same objects.
//!
//! A policy is brought into the form that means to the newest release what it meant to the older one; what then differs in
//! the decision itself is asked by [`has`]. Sources are sections of Istio's release notes and of its code, by the release
//! in which it changed.
//!
//! Not told apart: server names and certificates where a DestinationRule originates TLS (from 1.21 the request's host is
//! sent and the server verified), which of a Service and a ServiceEntry of one host wins in another namespace (1.24), and
//! listeners without a default chain (before 1.8).

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::hosts;
use crate::model::{
    IstioVersion, MeshConfig, Meta, Object, OutboundMode, PathNormalization, Place, Resolution, Retries, TrafficPolicy,
    World,
};

/// What a release has that the one before had not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Mesh mode ALLOW_ANY_DYNAMIC_DNS; before, the mesh config is not read, and the default holds.
    DynamicDnsMode,
    /// `defaultTrafficPolicy` of the mesh config.
    MeshTrafficPolicy,
    /// `serviceEntryVisibility` of the mesh config.
    EntryVisibility,
    /// `zoneAwareLbSetting` of the mesh config.
    ZoneAware,
    /// `~namespace/host` in a Sidecar leaves a host out; before, only `~/*` means anything.
    HostExclusions,
    /// Sidecars serve ServiceEntries of resolution DYNAMIC_DNS.
    DynamicDnsEntries,
    /// Copies of requests keep their Host; before, it ends with `-shadow`.
    MirrorsKeepHosts,
    /// Hosts are served with a trailing dot too.
    TrailingDots,
    /// Addresses are allocated by a controller, which writes them into the entries.
    AllocationController,
    /// A 503 is not among what is retried by default.
    NoRetryOn503,
    /// The port of a Host header is nothing that routes are found by.
    PortsIgnored,
    /// Outbound gRPC-Web is made into gRPC; before, what comes in alone.
    GrpcWeb,
    /// Resolution DNS_ROUND_ROBIN.
    RoundRobin,
    /// A connection waits for its first bytes as long as it takes; before, for a time that is configured.
    PatientSniffing,
    /// `pathNormalization` of the mesh config; before, BASE.
    PathNormalization,
    /// `resource-exhausted` is not among what is retried by default.
    NoRetryWhenExhausted,
    /// Connecting takes at most ten seconds rather than one.
    LongerConnects,
    /// Unknown requests have no time limit; before, Envoy's default of 15 seconds.
    NoLimitOfUnknown,
}

/// Since when, and where it is written.
const CHANGES: [(Change, u8, &str); 18] = [
    (
        Change::DynamicDnsMode,
        31,
        "api mesh/v1alpha1/config.proto, OutboundTrafficPolicy",
    ),
    (
        Change::MeshTrafficPolicy,
        31,
        "release notes 1.31: defaultTrafficPolicy in MeshConfig",
    ),
    (
        Change::EntryVisibility,
        31,
        "release notes 1.31: serviceEntryVisibility in MeshConfig",
    ),
    (
        Change::ZoneAware,
        31,
        "release notes 1.31: zoneAwareLbSetting in MeshConfig and DestinationRule",
    ),
    (Change::HostExclusions, 31, "pilot/pkg/model/sidecar.go, excluded hosts"),
    (
        Change::DynamicDnsEntries,
        30,
        "release notes 1.30: DYNAMIC_DNS for sidecars",
    ),
    (
        Change::MirrorsKeepHosts,
        28,
        "release notes 1.28: DISABLE_SHADOW_HOST_SUFFIX",
    ),
    (Change::TrailingDots, 27, "release notes 1.27: absolute FQDN domains"),
    (
        Change::AllocationController,
        25,
        "release notes 1.25: PILOT_ENABLE_IP_AUTOALLOCATE",
    ),
    (
        Change::NoRetryOn503,
        24,
        "release notes 1.24: EXCLUDE_UNSAFE_503_FROM_DEFAULT_RETRY",
    ),
    (
        Change::PortsIgnored,
        16,
        "release notes 1.16: ENABLE_STRIP_PORT, port ignored in domains",
    ),
    (
        Change::GrpcWeb,
        14,
        "pilot/pkg/networking/core/v1alpha3/listener.go, protocol of httpListenerOpts",
    ),
    (Change::RoundRobin, 12, "api networking/v1alpha3/service_entry.proto"),
    (
        Change::PatientSniffing,
        8,
        "release notes 1.8: protocolDetectionTimeout 0s",
    ),
    (
        Change::PathNormalization,
        8,
        "release notes 1.8.6: ISTIO-SECURITY-2021-005, pathNormalization in MeshConfig",
    ),
    (
        Change::NoRetryWhenExhausted,
        7,
        "pilot/pkg/networking/core/v1alpha3/route/retry",
    ),
    (Change::LongerConnects, 6, "pkg/config/mesh, connectTimeout"),
    (
        Change::NoLimitOfUnknown,
        5,
        "pilot/pkg/networking/core/v1alpha3/httproute.go, allow_any",
    ),
];

/// True where `version` has `change`.
pub(super) fn has(version: IstioVersion, change: Change) -> bool {
    let since = CHANGES.iter().find(|(known, ..)| *known == change);
    since.is_none_or(|(_, minor, _)| version >= IstioVersion::minor(*minor))
}

/// `world` as it means to the newest release what it means to `version`.
pub(super) fn as_read(world: &World, version: IstioVersion) -> Cow<'_, World> {
    if version == IstioVersion::NEWEST {
        return Cow::Borrowed(world);
    }
    let mut world = world.clone();
    let known = |resolution| match resolution {
        Resolution::DynamicDns => has(version, Change::DynamicDnsEntries),
        Resolution::DnsRoundRobin => has(version, Change::RoundRobin),
        _ => true,
    };
    world.service_entries.retain(|entry| known(entry.spec.resolution));
    if world.mesh_configs.is_empty() {
        world.mesh_configs.push(Arc::new(unwritten_mesh()));
    }
    for mesh in &mut world.mesh_configs {
        *mesh = mesh_as_read(mesh, version);
    }
    let retry_on = default_retry_on(version);
    for service in &mut world.virtual_services {
        let silent = |retries: &Option<Retries>| retries.as_ref().is_some_and(|own| own.retry_on.is_none());
        if service.spec.http.iter().any(|route| silent(&route.retries)) {
            *service = Arc::new(service.but(|spec| {
                for retries in spec.http.iter_mut().filter_map(|route| route.retries.as_mut()) {
                    retries.retry_on.get_or_insert_with(|| retry_on.clone());
                }
            }));
        }
    }
    if !has(version, Change::HostExclusions) {
        for sidecar in &mut world.sidecars {
            *sidecar = Arc::new(sidecar.but(|spec| {
                for listener in &mut spec.egress {
                    listener.hosts.retain(|host| !host.starts_with('~') || host == "~/*");
                }
            }));
        }
    }
    Cow::Owned(world)
}

/// The same of the mesh's settings.
pub(super) fn mesh_as_read(mesh: &Arc<Object<MeshConfig>>, version: IstioVersion) -> Arc<Object<MeshConfig>> {
    if version == IstioVersion::NEWEST {
        return mesh.clone();
    }
    Arc::new(mesh.but(|spec| read_settings(spec, version)))
}

fn read_settings(mesh: &mut MeshConfig, version: IstioVersion) {
    mesh.version = version;
    if mesh.mode == OutboundMode::AllowAnyDynamicDns && !has(version, Change::DynamicDnsMode) {
        mesh.mode = OutboundMode::AllowAny;
    }
    if !has(version, Change::MeshTrafficPolicy) {
        mesh.default_traffic_policy = TrafficPolicy::default();
    }
    if !has(version, Change::EntryVisibility) {
        mesh.entry_visibility = None;
    }
    if !has(version, Change::ZoneAware) {
        mesh.zone_aware = None;
    }
    if !has(version, Change::PathNormalization) {
        mesh.path_normalization = PathNormalization::default();
    }
    let retries = mesh.default_retries.get_or_insert_with(|| Retries {
        attempts: 2,
        ..Retries::default()
    });
    retries.retry_on.get_or_insert_with(|| default_retry_on(version));
    if !has(version, Change::LongerConnects) {
        mesh.connect_timeout.get_or_insert(Duration::from_secs(1));
    }
    if !has(version, Change::PatientSniffing) {
        mesh.protocol_detection_timeout
            .get_or_insert(Duration::from_millis(100));
    }
}

fn unwritten_mesh() -> Object<MeshConfig> {
    let place = Place {
        file: "".into(),
        line: 0,
        column: 0,
    };
    Object::new(Meta::default(), place, MeshConfig::default())
}

/// What is retried where nothing says so.
fn default_retry_on(version: IstioVersion) -> String {
    let mut words = vec!["connect-failure", "refused-stream", "unavailable", "cancelled"];
    if !has(version, Change::NoRetryWhenExhausted) {
        words.push("resource-exhausted");
    }
    words.push("retriable-status-codes");
    if !has(version, Change::NoRetryOn503) {
        words.push("503");
    }
    words.join(",")
}

/// True where routes may be found by `authority` at `port`.
pub(super) fn names_a_route(version: IstioVersion, authority: &str, port: u16) -> bool {
    if has(version, Change::PortsIgnored) {
        return true;
    }
    let host = hosts::strip_port(authority);
    let own = authority.strip_prefix(host).and_then(|rest| rest.strip_prefix(':'));
    own.is_none_or(|own| own.parse() == Ok(port))
}

/// The time limit of requests that nothing names.
pub(super) fn limit_of_unknown(version: IstioVersion) -> Option<Duration> {
    (!has(version, Change::NoLimitOfUnknown)).then(|| Duration::from_secs(15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_stands_in_the_table_once_with_its_source_the_newest_first() {
        for (index, (change, since, source)) in CHANGES.iter().enumerate() {
            assert!(!source.is_empty() && IstioVersion::minor(*since) <= IstioVersion::NEWEST);
            assert!(
                CHANGES[..index]
                    .iter()
                    .all(|(other, later, _)| other != change && later >= since)
            );
            assert!(has(IstioVersion::minor(*since), *change), "{change:?}");
            assert!(!has(IstioVersion::minor(since - 1), *change), "{change:?}");
        }
    }
}
