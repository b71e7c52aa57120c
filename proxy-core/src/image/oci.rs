//! The documents of an OCI image, in the order of fields in which they are written. Source: the OCI Image Format
//! Specification 1.1; `manifest.json` is Docker's own form, from before it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Architecture, USER};

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// What the allocator is told: to give back within half a second what loading a policy took, for which it would else wait for
/// work, and an idle sidecar has none; and to keep one arena, since the two data threads have caches of their own.
const ALLOCATOR: &str = "_RJEM_MALLOC_CONF=background_thread:true,narenas:1,dirty_decay_ms:500,muzzy_decay_ms:0";

/// Where a document or a layer is found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: &'static str,
    pub digest: String,
    pub size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Platform {
    architecture: String,
    os: &'static str,
}

impl Platform {
    pub fn of(architecture: Architecture) -> Self {
        Self {
            architecture: architecture.to_string(),
            os: "linux",
        }
    }
}

/// What names an image inside an archive.
#[derive(Debug, Clone, Serialize)]
pub struct Annotations(BTreeMap<&'static str, String>);

impl Annotations {
    /// containerd takes the whole reference, the specification the tag.
    pub fn naming(reference: &str) -> Self {
        let tag = reference.rsplit_once(':').map_or(reference, |(_, tag)| tag);
        Self(BTreeMap::from([
            ("io.containerd.image.name", reference.to_string()),
            ("org.opencontainers.image.ref.name", tag.to_string()),
        ]))
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

impl Index {
    pub fn of(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: INDEX,
            manifests,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u8,
    media_type: &'static str,
    config: Descriptor,
    layers: [Descriptor; 1],
}

impl Manifest {
    pub fn of(config: &Descriptor, layer: &Descriptor) -> Self {
        Self {
            schema_version: 2,
            media_type: MANIFEST,
            config: config.clone(),
            layers: [layer.clone()],
        }
    }
}

/// What runs, as whom, and what it consists of.
#[derive(Debug, Serialize)]
pub struct ImageConfig {
    architecture: String,
    os: &'static str,
    config: Run,
    rootfs: RootFs,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Run {
    user: String,
    entrypoint: [&'static str; 1],
    env: [&'static str; 1],
    working_dir: &'static str,
    labels: BTreeMap<&'static str, &'static str>,
}

#[derive(Debug, Serialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: [String; 1],
}

impl ImageConfig {
    /// `layer` is the digest of the only layer, which is not compressed.
    pub fn of(architecture: Architecture, layer: &str) -> Self {
        Self {
            architecture: architecture.to_string(),
            os: "linux",
            config: Run {
                user: format!("{USER}:{USER}"),
                entrypoint: ["/egret-proxy"],
                env: [ALLOCATOR],
                working_dir: "/",
                labels: BTreeMap::from([
                    ("org.opencontainers.image.title", "egret-proxy"),
                    ("org.opencontainers.image.description", env!("CARGO_PKG_DESCRIPTION")),
                    ("org.opencontainers.image.version", env!("CARGO_PKG_VERSION")),
                    ("org.opencontainers.image.licenses", env!("CARGO_PKG_LICENSE")),
                    ("org.opencontainers.image.source", env!("CARGO_PKG_REPOSITORY")),
                ]),
            },
            rootfs: RootFs {
                kind: "layers",
                diff_ids: [layer.to_string()],
            },
        }
    }
}

/// An entry of Docker's `manifest.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerImage {
    config: String,
    repo_tags: [String; 1],
    layers: [String; 1],
}

impl DockerImage {
    pub fn of(reference: &str, config: &Descriptor, layer: &Descriptor) -> Self {
        Self {
            config: blob_path(&config.digest),
            repo_tags: [reference.to_string()],
            layers: [blob_path(&layer.digest)],
        }
    }
}

/// Where a blob lies in an archive.
pub fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}
