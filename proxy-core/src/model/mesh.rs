//! The mesh's own settings: mesh config and injector values.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    AccessLog, ClientTls, IstioVersion, Keepalive, LabelSelector, Labels, LocalitySetting, Object, ObjectRef, Retries,
    TrafficPolicy, VersionSource,
};
use crate::yaml::Node;

/// What happens to destinations that no policy names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboundMode {
    /// Unknown destinations pass to their original address.
    AllowAny,
    /// Unknown HTTP hosts are resolved by the sidecar (Istio 1.31 and newer, mesh config only).
    AllowAnyDynamicDns,
    /// Unknown destinations are refused.
    RegistryOnly,
}

impl fmt::Display for OutboundMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllowAny => "ALLOW_ANY",
            Self::AllowAnyDynamicDns => "ALLOW_ANY_DYNAMIC_DNS",
            Self::RegistryOnly => "REGISTRY_ONLY",
        })
    }
}

/// `pathNormalization.normalization`: what becomes of a request's path before anything else is made of it. Each does what
/// the one before does, and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum PathNormalization {
    /// Nothing but that a fragment is dropped.
    None,
    /// Dot segments are removed, backslashes turned, needless encodings decoded: also DEFAULT.
    #[default]
    Base,
    /// Slashes that stand side by side become one.
    MergeSlashes,
    /// Before all that, encoded slashes and backslashes are decoded.
    DecodeAndMergeSlashes,
}

impl fmt::Display for PathNormalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "NONE",
            Self::Base => "BASE",
            Self::MergeSlashes => "MERGE_SLASHES",
            Self::DecodeAndMergeSlashes => "DECODE_AND_MERGE_SLASHES",
        })
    }
}

/// The part of the mesh config that governs outbound traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshConfig {
    /// Revision, empty for the default ConfigMap `istio`.
    pub revision: String,
    /// The release of Istio it is for: what its annotation `egret.dev/istio-version` says, else its chart's label.
    pub version: IstioVersion,
    /// Where that is known from.
    pub version_source: VersionSource,
    /// `outboundTrafficPolicy.mode`; a present but empty policy is REGISTRY_ONLY, an absent key ALLOW_ANY.
    pub mode: OutboundMode,
    /// Line of the mode in the file; 0 when it is written nowhere.
    pub mode_line: u32,
    /// The policy is written without a mode, which means REGISTRY_ONLY.
    pub mode_is_implied: bool,
    /// `rootNamespace`, default `istio-system`.
    pub root_namespace: String,
    /// `connectTimeout`, where written.
    pub connect_timeout: Option<Duration>,
    /// `tcpKeepalive`, where written.
    pub keepalive: Option<Keepalive>,
    /// `localityLbSetting`; `None` where it is not written, which switches failover on.
    pub locality: Option<LocalitySetting>,
    /// `zoneAwareLbSetting`, which goes before `localityLbSetting`.
    pub zone_aware: Option<LocalitySetting>,
    /// `protocolDetectionTimeout`, where written; zero waits for ever.
    pub protocol_detection_timeout: Option<Duration>,
    /// `defaultServiceExportTo`, default `["*"]`.
    pub default_service_export_to: Vec<String>,
    /// `defaultVirtualServiceExportTo`, default `["*"]`.
    pub default_virtual_service_export_to: Vec<String>,
    /// `defaultDestinationRuleExportTo`, default `["*"]`.
    pub default_destination_rule_export_to: Vec<String>,
    /// `defaultHttpRetryPolicy`, for routes that say nothing of retries.
    pub default_retries: Option<Retries>,
    /// `defaultTrafficPolicy`: connection pool and outlier detection of clusters whose DestinationRule has none (Istio 1.31
    /// and newer).
    pub default_traffic_policy: TrafficPolicy,
    /// `outboundTrafficPolicy.tls`, for unknown hosts under ALLOW_ANY_DYNAMIC_DNS.
    pub dynamic_dns_tls: Option<ClientTls>,
    /// `pathNormalization`.
    pub path_normalization: PathNormalization,
    /// `h2UpgradePolicy: UPGRADE`: services that speak HTTP are spoken to in HTTP/2.
    pub h2_upgrade: bool,
    /// `enableAutoMtls`: Istio finds out by itself who in the mesh speaks its TLS.
    pub auto_mtls: bool,
    /// `enableTracing`, default true; decides about `x-envoy-decorator-operation`.
    pub enable_tracing: bool,
    /// `defaultConfig.proxyMetadata.ISTIO_META_DNS_CAPTURE`.
    pub dns_capture: bool,
    /// `defaultConfig.proxyMetadata.ISTIO_META_DNS_AUTO_ALLOCATE`.
    pub dns_auto_allocate: bool,
    /// Where and how access logs are written.
    pub access_log: AccessLog,
    /// `discoverySelectors`: objects of namespaces that none of them selects count for nobody; none selects all.
    pub discovery_selectors: Vec<LabelSelector>,
    /// `serviceEntryVisibility`, where sidecars heed it (Istio 1.31 and newer).
    pub entry_visibility: Option<EntryVisibility>,
    /// Settings of outbound traffic that this engine does not act on, with their lines.
    pub unapplied: Vec<(&'static str, u32)>,
    /// Where the mode is written, where that is in the ConfigMap that the control plane shares with others.
    pub mode_elsewhere: Option<ObjectRef>,
    /// Its own text, without what is shared.
    pub written: Option<Box<MeshText>>,
    /// Digest of the shared ConfigMap that it is joined with.
    pub joined_with: Option<u64>,
}

/// The text of a mesh config as a document, its fields spelt in lowerCamelCase.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshText {
    /// The document.
    pub document: Node,
    /// Lines before it in its file.
    pub lines: u32,
}

/// An istiod that reads a second mesh config on top of its own (`SHARED_MESH_CONFIG`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlane {
    /// Its revision, empty for the default one.
    pub revision: String,
    /// Name of the second one's ConfigMap, beside it.
    pub shared_mesh: String,
}

/// To whom ServiceEntries are shown at most, by the labels of their namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntryVisibility {
    /// Where no policy is for them.
    pub default: VisibleTo,
    /// The first whose rules all match holds.
    pub policies: Vec<VisibilityPolicy>,
}

/// One policy of [`EntryVisibility`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisibilityPolicy {
    /// To whom.
    pub visible_to: VisibleTo,
    /// Of the namespaces' labels; one without a selector matches none.
    pub rules: Vec<Option<LabelSelector>>,
}

/// To whom an entry is shown at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VisibleTo {
    /// `PUBLIC`.
    #[default]
    All,
    /// `NAMESPACE`: its own.
    Namespace,
    /// `NONE`.
    Nobody,
}

impl EntryVisibility {
    /// Of the entries of a namespace with these labels.
    pub fn of(&self, labels: &Labels) -> VisibleTo {
        let matches = |rule: &Option<LabelSelector>| rule.as_ref().is_some_and(|selector| selector.selects(labels));
        let policy = self.policies.iter().find(|policy| policy.rules.iter().all(matches));
        policy.map_or(self.default, |policy| policy.visible_to)
    }
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            revision: String::new(),
            version: IstioVersion::NEWEST,
            version_source: VersionSource::Assumed,
            mode: OutboundMode::AllowAny,
            mode_line: 0,
            mode_is_implied: false,
            root_namespace: "istio-system".into(),
            connect_timeout: None,
            keepalive: None,
            locality: None,
            zone_aware: None,
            protocol_detection_timeout: None,
            default_service_export_to: vec!["*".into()],
            default_virtual_service_export_to: vec!["*".into()],
            default_destination_rule_export_to: vec!["*".into()],
            default_retries: None,
            default_traffic_policy: TrafficPolicy::default(),
            dynamic_dns_tls: None,
            path_normalization: PathNormalization::default(),
            h2_upgrade: false,
            auto_mtls: true,
            enable_tracing: true,
            dns_capture: false,
            dns_auto_allocate: false,
            access_log: AccessLog::default(),
            discovery_selectors: Vec::new(),
            entry_visibility: None,
            unapplied: Vec::new(),
            mode_elsewhere: None,
            written: None,
            joined_with: None,
        }
    }
}

impl MeshConfig {
    /// How long connecting may take; ten seconds where nothing is written.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout.unwrap_or(Duration::from_secs(10))
    }
}

impl Object<MeshConfig> {
    /// Where the mode is written; `None` where it is nowhere.
    pub fn mode_reference(&self) -> Option<ObjectRef> {
        let own = || (self.spec.mode_line > 0).then(|| self.reference("ConfigMap", self.spec.mode_line));
        self.spec.mode_elsewhere.clone().or_else(own)
    }
}

/// Where the injector's ConfigMap keeps what a sidecar captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InjectorLayout {
    /// In the key `values`, which the template reads at injection (Istio 1.4 and newer).
    #[default]
    Values,
    /// Inside the template itself, below the key `config`, where Helm has rendered it (Istio 1.0 to 1.3).
    Template,
}

/// The injector's values that decide what a sidecar captures; lists as written (comma separated, validated in `lint`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InjectorConfig {
    /// Revision, empty for the default ConfigMap.
    pub revision: String,
    /// Where they stand.
    pub layout: InjectorLayout,
    /// `global.proxy.includeIPRanges`; absent means `*`.
    pub include_ip_ranges: Option<String>,
    /// `global.proxy.excludeIPRanges`.
    pub exclude_ip_ranges: Option<String>,
    /// `sidecarInjectorWebhook.enableNamespacesByDefault`: namespaces that say nothing are injected too.
    pub enabled_by_default: bool,
    /// `global.tag`: the version of the sidecar that is injected.
    pub proxy_tag: Option<String>,
    /// `global.proxy.includeOutboundPorts`.
    pub include_outbound_ports: Option<String>,
    /// `global.proxy.excludeOutboundPorts`.
    pub exclude_outbound_ports: Option<String>,
    /// Line of each of the four in the file, in the order above; 0 when absent.
    pub lines: [u32; 4],
}

impl InjectorConfig {
    /// Whether each of the four can be set: a template has only the settings that its release of Istio knew.
    pub fn settable(&self) -> [bool; 4] {
        self.lines.map(|line| self.layout == InjectorLayout::Values || line > 0)
    }
}

/// A tag: another name for a revision, which namespaces can carry in its place
/// (`MutatingWebhookConfiguration istio-revision-tag-<tag>`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RevisionTag {
    /// Label `istio.io/tag`; `default` also serves `istio-injection: enabled`.
    pub tag: String,
    /// Label `istio.io/rev`, empty for the default revision.
    pub revision: String,
}
