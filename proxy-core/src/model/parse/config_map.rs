//! The two ConfigMaps that hold mesh settings as text inside a text, and the tags that name their revisions.

use super::{
    cursor::Cursor,
    errors::{Errors, Span},
    injection_template,
    service_entry::choice,
    spelling::in_camel_case,
};
use crate::{
    model::{
        InjectorConfig, InjectorLayout, IstioVersion, Labels, MeshConfig, MeshText, OutboundMode, PathNormalization,
        RevisionTag, UnknownVersion, VERSION_ANNOTATION, VERSION_LABEL, VersionSource,
    },
    yaml::{self, Node, Style, Value},
};

/// The revision that a ConfigMap called `name` stands for. `default` is none: an istiod of that revision reads the one
/// without a suffix (`pilot/pkg/bootstrap/sidecarinjector.go`), and no istiod reads the other.
pub fn revision(name: &str, base: &str) -> Option<String> {
    let rest = name.strip_prefix(base)?;
    match rest.strip_prefix('-') {
        Some("default") => None,
        Some(revision) => Some(revision.to_string()),
        None => rest.is_empty().then(String::new),
    }
}

/// The tag that a webhook with these labels serves; `None` for the webhook of a revision itself.
pub fn tag(labels: &Labels) -> Option<RevisionTag> {
    let revision = labels.get("istio.io/rev").map_or("", String::as_str);
    Some(RevisionTag {
        tag: labels.get("istio.io/tag")?.clone(),
        revision: if revision == "default" { "" } else { revision }.into(),
    })
}

/// ConfigMap `istio[-rev]`, key `mesh`; `None` where the key is missing.
pub fn mesh(root: Cursor<'_>, revision: String) -> Option<MeshConfig> {
    let (version, version_source) = version(root);
    inner(root, "mesh", "data.mesh", in_camel_case, |mesh, lines| {
        let config = MeshConfig {
            revision: revision.clone(),
            version,
            version_source,
            written: mesh.map(|mesh| Box::new(text(mesh, lines))),
            ..MeshConfig::default()
        };
        match mesh {
            Some(mesh) => read_mesh(mesh, lines, config),
            None => config,
        }
    })
}

/// The text of a mesh config.
pub fn mesh_text(root: Cursor<'_>) -> Option<MeshText> {
    inner(root, "mesh", "data.mesh", in_camel_case, |mesh, lines| {
        Some(text(mesh?, lines))
    })
    .flatten()
}

fn text(mesh: Cursor<'_>, lines: u32) -> MeshText {
    MeshText {
        document: mesh.node.clone(),
        lines,
    }
}

/// What a mesh config says, over `config`. `lines` stand before it in its file.
pub fn read_mesh(mesh: Cursor<'_>, lines: u32, mut config: MeshConfig) -> MeshConfig {
    if let Some(policy) = mesh.mapping("outboundTrafficPolicy") {
        // A present message replaces the default message, whose zero value is REGISTRY_ONLY.
        config.mode = super::traffic::outbound_mode(policy, true).unwrap_or(OutboundMode::RegistryOnly);
        config.mode_is_implied = !policy.has("mode");
        let line = policy.line_of("mode");
        config.mode_line = lines + if line == 0 { policy.line() } else { line };
        config.dynamic_dns_tls = policy.mapping("tls").map(super::traffic::client_tls);
    }
    if let Some(root_namespace) = mesh.text("rootNamespace") {
        config.root_namespace = root_namespace.to_string();
    }
    if let Some(timeout) = mesh.duration("connectTimeout") {
        config.connect_timeout = Some(timeout);
    }
    config.keepalive = mesh.mapping("tcpKeepalive").map(super::load_balancing::keepalive);
    config.locality = mesh
        .mapping("localityLbSetting")
        .map(super::load_balancing::locality_setting);
    config.zone_aware = mesh
        .mapping("zoneAwareLbSetting")
        .map(super::load_balancing::zone_aware_setting);
    if let Some(timeout) = mesh.field("protocolDetectionTimeout", |value| {
        let parsed = value.node.as_str().and_then(super::cursor::parse_duration);
        if parsed.is_none() {
            value.error("expected a duration such as 5s");
        }
        parsed
    }) {
        config.protocol_detection_timeout = Some(timeout);
    }
    for (key, list) in [
        ("defaultServiceExportTo", &mut config.default_service_export_to),
        (
            "defaultVirtualServiceExportTo",
            &mut config.default_virtual_service_export_to,
        ),
        (
            "defaultDestinationRuleExportTo",
            &mut config.default_destination_rule_export_to,
        ),
    ] {
        if mesh.has(key) {
            *list = mesh.texts(key);
        }
    }
    config.default_retries = mesh.mapping("defaultHttpRetryPolicy").map(super::routes::retries);
    if let Some(policy) = mesh.mapping("defaultTrafficPolicy") {
        config.default_traffic_policy = super::traffic::mesh_policy(policy);
    }
    config.discovery_selectors = super::visibility::discovery_selectors(mesh);
    config.entry_visibility = super::visibility::entry_visibility(mesh);
    config.unapplied = unapplied(mesh, lines);
    if let Some(paths) = mesh.mapping("pathNormalization") {
        config.path_normalization = path_normalization(paths);
    }
    // A number is the enum's: the mesh's decoder takes both.
    config.h2_upgrade = matches!(mesh.text("h2UpgradePolicy"), Some("UPGRADE" | "1"));
    config.auto_mtls = mesh.boolean("enableAutoMtls").unwrap_or(true);
    config.enable_tracing = mesh.boolean("enableTracing").unwrap_or(true);
    config.access_log = super::telemetry::access_log(mesh);
    if let Some(defaults) = mesh.node.get("defaultConfig") {
        proxy_metadata(&mut config, defaults);
    }
    config
}

/// Takes over what a ProxyConfig says of the metadata that decides here. Istio merges them key by key.
fn proxy_metadata(config: &mut MeshConfig, proxy_config: &Node) {
    let Some(metadata) = proxy_config.get("proxyMetadata") else {
        return;
    };
    for (key, setting) in [
        ("ISTIO_META_DNS_CAPTURE", &mut config.dns_capture),
        ("ISTIO_META_DNS_AUTO_ALLOCATE", &mut config.dns_auto_allocate),
    ] {
        if let Some(value) = metadata.get(key) {
            *setting = value.text() == Some("true");
        }
    }
}

impl MeshConfig {
    /// The settings for a pod with this text in its annotation `proxy.istio.io/config`; where that is no YAML the injector
    /// refuses the pod, and nothing is taken of it.
    pub fn with_proxy_config(&mut self, text: &str) {
        let documents = yaml::read(text.as_bytes()).unwrap_or_default();
        if let Some(proxy_config) = documents.first() {
            proxy_metadata(self, proxy_config);
        }
    }
}

fn path_normalization(paths: Cursor<'_>) -> PathNormalization {
    let named = [
        ("DEFAULT", PathNormalization::Base),
        ("NONE", PathNormalization::None),
        ("BASE", PathNormalization::Base),
        ("MERGE_SLASHES", PathNormalization::MergeSlashes),
        ("DECODE_AND_MERGE_SLASHES", PathNormalization::DecodeAndMergeSlashes),
    ];
    // The mesh's decoder takes the enum's number too.
    let number = paths
        .node
        .get("normalization")
        .and_then(|node| node.text()?.parse::<usize>().ok());
    match number.and_then(|number| named.get(number)) {
        Some((_, found)) => *found,
        None => choice(paths, "normalization", &named).unwrap_or_default(),
    }
}

/// What Istio makes something of on the way out, and this engine does not. `lines` stand before the mesh config.
fn unapplied(mesh: Cursor<'_>, lines: u32) -> Vec<(&'static str, u32)> {
    let says = |path: &[&str], nothing: &[&str]| {
        let node = path.iter().try_fold(mesh.node, |node, key| node.get(key))?;
        let is_nothing = node.is_null() || node.text().is_some_and(|text| nothing.contains(&text));
        (!is_nothing).then_some(lines + node.span.line)
    };
    let settings: [(_, &[_], &[_]); 4] = [
        ("proxyHttpPort", &["proxyHttpPort"], &["0"]),
        ("tlsDefaults", &["tlsDefaults"], &[]),
        ("defaultConfig.proxyHeaders", &["defaultConfig", "proxyHeaders"], &[]),
        (
            "defaultConfig.connectionSettings",
            &["defaultConfig", "connectionSettings"],
            &[],
        ),
    ];
    let found = |(name, path, nothing)| Some((name, says(path, nothing)?));
    settings.into_iter().filter_map(found).collect()
}

/// The release of Istio that a mesh config is for, as it is set for a folder, or as the chart that made it says.
fn version(root: Cursor<'_>) -> (IstioVersion, VersionSource) {
    let assumed = (IstioVersion::default(), VersionSource::Assumed);
    let Some(metadata) = root.mapping("metadata") else {
        return assumed;
    };
    if let Some(annotations) = metadata.mapping("annotations")
        && let Some(text) = annotations.text(VERSION_ANNOTATION)
    {
        let version = text.parse().unwrap_or_else(|error: UnknownVersion| {
            annotations.error_at(VERSION_ANNOTATION, error.to_string());
            IstioVersion::default()
        });
        return (version, VersionSource::Annotation);
    }
    let labels = metadata.mapping("labels");
    let chart = labels.and_then(|labels| IstioVersion::found(labels.text(VERSION_LABEL)?));
    chart.map_or(assumed, |version| (version, VersionSource::Label))
}

/// ConfigMap `istio-sidecar-injector[-rev]`: key `values`, else the template in the key `config` (before Istio 1.4);
/// `None` where neither is there.
pub fn injector(root: Cursor<'_>, revision: String) -> Option<InjectorConfig> {
    let has_values = root.node.get("data").is_some_and(|data| data.get("values").is_some());
    if has_values {
        values(root, revision)
    } else {
        template(root, revision)
    }
}

fn template(root: Cursor<'_>, revision: String) -> Option<InjectorConfig> {
    inner(root, "config", "data.config", as_written, |config, outer| {
        let template = config?.node.get("template")?;
        let text = template.as_str()?;
        let mut config = InjectorConfig {
            revision,
            layout: InjectorLayout::Template,
            ..InjectorConfig::default()
        };
        let fields = [
            &mut config.include_ip_ranges,
            &mut config.exclude_ip_ranges,
            &mut config.include_outbound_ports,
            &mut config.exclude_outbound_ports,
        ];
        let settings = injection_template::SETTINGS
            .into_iter()
            .zip(fields)
            .zip(&mut config.lines);
        for ((key, field), line) in settings {
            if let Some(place) = injection_template::places(text, key).into_iter().next() {
                let within = text[..place.start].matches('\n').count();
                *line = outer + template.span.line + u32::try_from(within).unwrap_or(u32::MAX);
                *field = Some(text[place].to_string());
            }
        }
        // A template that captures nothing by a literal is of another kind: nothing is known of it.
        config.lines.iter().any(|line| *line > 0).then_some(config)
    })
    .flatten()
}

fn values(root: Cursor<'_>, revision: String) -> Option<InjectorConfig> {
    inner(root, "values", "data.values", as_written, |values, lines| {
        let mut config = InjectorConfig {
            revision: revision.clone(),
            ..InjectorConfig::default()
        };
        let Some(values) = values else { return config };
        let webhook = values.mapping("sidecarInjectorWebhook");
        config.enabled_by_default = webhook
            .and_then(|webhook| webhook.boolean("enableNamespacesByDefault"))
            .unwrap_or_default();
        let Some(global) = values.mapping("global") else {
            return config;
        };
        // A version such as 1.31 may be written as a number.
        config.proxy_tag = global.field("tag", |value| value.node.text().map(str::to_string));
        let Some(proxy) = global.mapping("proxy") else {
            return config;
        };
        let mut lines_of = [0; 4];
        let fields = [
            ("includeIPRanges", &mut config.include_ip_ranges),
            ("excludeIPRanges", &mut config.exclude_ip_ranges),
            ("includeOutboundPorts", &mut config.include_outbound_ports),
            ("excludeOutboundPorts", &mut config.exclude_outbound_ports),
        ];
        for ((key, field), line) in fields.into_iter().zip(&mut lines_of) {
            // A single port is often written as a number.
            *field = proxy.field(key, |value| match value.node.text() {
                Some(text) => Some(text.to_string()),
                None => {
                    value.error("expected a comma-separated text");
                    None
                }
            });
            let at = proxy.line_of(key);
            *line = if at == 0 { 0 } else { at + lines };
        }
        config.lines = lines_of;
        config
    })
}

fn as_written(_: &mut Node) {}

/// Reads the text below `data.<key>` as YAML, its fields spelt by `spell`. `read` gets the inner root (absent for an empty
/// text) and the number of lines before it in the file, which is exact for literal blocks and the scalar's own line
/// otherwise.
fn inner<T>(
    root: Cursor<'_>,
    key: &'static str,
    prefix: &'static str,
    spell: fn(&mut Node),
    read: impl FnOnce(Option<Cursor<'_>>, u32) -> T,
) -> Option<T> {
    let data = root.mapping("data")?;
    data.field(key, |scalar| {
        let Value::Scalar(text, style) = &scalar.node.value else {
            scalar.error("expected a text (a block scalar, key: |) with the settings in it");
            return None;
        };
        let block = *style == Style::Block;
        let outer = Span {
            lines: scalar.line() - 1,
            columns: if block { scalar.node.span.column - 1 } else { 0 },
            prefix,
        };
        match yaml::read(text.as_bytes()) {
            Ok(mut documents) => {
                let errors: Errors<'_> = scalar.errors().inside(outer);
                documents.first_mut().into_iter().for_each(spell);
                let document = documents.first();
                if let Some(node) = document.filter(|node: &&Node| !matches!(node.value, Value::Mapping(_))) {
                    Cursor::root(node, &errors).error(format!("expected a mapping, found {}", node.describe()));
                }
                let value = read(document.map(|node| Cursor::root(node, &errors)), outer.lines);
                scalar.errors().absorb(errors);
                Some(value)
            }
            Err(error) => {
                let errors = scalar.errors().inside(outer);
                errors.push(error.line, error.column, String::new(), error.message);
                scalar.errors().absorb(errors);
                None
            }
        }
    })
}
