//! Tars: the layer, and the archive around it. Every entry belongs to root and has no time.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::Path,
};

use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::oci::{Descriptor, DockerImage, Index, blob_path};

/// The empty folder of the image.
const EMPTY: &str = "policy/";

/// Everything that documents point at, by its digest.
#[derive(Debug, Default)]
pub struct Blobs(BTreeMap<String, Bytes>);

impl Blobs {
    /// Keeps some bytes, and tells where they are.
    pub fn add(&mut self, media_type: &'static str, bytes: Vec<u8>) -> Descriptor {
        let hash = Sha256::digest(&bytes);
        let digest = hash
            .iter()
            .fold("sha256:".to_string(), |text, byte| text + &format!("{byte:02x}"));
        let size = bytes.len();
        self.0.insert(digest.clone(), bytes.into());
        Descriptor {
            media_type,
            digest,
            size,
            annotations: None,
            platform: None,
        }
    }

    /// What a descriptor of this image points at.
    pub fn get(&self, descriptor: &Descriptor) -> Bytes {
        self.0.get(&descriptor.digest).cloned().unwrap_or_default()
    }

    /// Keeps a document.
    pub fn document(&mut self, media_type: &'static str, document: &impl Serialize) -> Descriptor {
        self.add(media_type, json(document))
    }
}

/// The image's file system: the program, what it consists of, and an empty folder for a sidecar that has nothing mounted,
/// since an ephemeral container can mount nothing that its pod has not: its policy is pushed.
pub fn layer(program: &[u8], sbom: &[u8]) -> Vec<u8> {
    let mut layer = Builder::new(Vec::new());
    append(&mut layer, "egret-proxy", 0o755, program)
        .and_then(|()| append(&mut layer, "sbom.json", 0o644, sbom))
        .and_then(|()| append_folder(&mut layer, EMPTY))
        .and_then(|()| layer.into_inner())
        .expect("memory takes every byte")
}

/// Writes the archive aside and then into its place; gives its size.
pub fn write(path: &Path, index: &Index, docker: &[DockerImage], blobs: &Blobs) -> io::Result<u64> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let aside = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    let mut archive = Builder::new(aside);
    append(&mut archive, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    append(&mut archive, "index.json", 0o644, &json(index))?;
    append(&mut archive, "manifest.json", 0o644, &json(&docker))?;
    for (digest, bytes) in &blobs.0 {
        append(&mut archive, &blob_path(digest), 0o644, bytes)?;
    }
    let mut aside = archive.into_inner()?;
    aside.flush()?;
    let file = aside.persist(path).map_err(|error| error.error)?;
    // A temporary file is its owner's alone; an archive is there to be handed on.
    file.set_permissions(<fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644))?;
    Ok(file.metadata()?.len())
}

fn append(tar: &mut Builder<impl Write>, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
    append_entry(tar, EntryType::Regular, path, mode, bytes)
}

fn append_folder(tar: &mut Builder<impl Write>, path: &str) -> io::Result<()> {
    append_entry(tar, EntryType::Directory, path, 0o755, &[])
}

fn append_entry(tar: &mut Builder<impl Write>, kind: EntryType, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    tar.append(&header, bytes)
}

fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("these documents have no keys but texts")
}
