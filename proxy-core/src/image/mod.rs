//! The sidecar as a container image: an OCI archive of nothing but one static program and the list of what it is built
//! from. Made without a container engine, and the same bytes for the same programs: no times, no names of this machine, and
//! layers that are not compressed, so that no compressor's version shows in a digest.
//!
//! The archive has what containerd (`ctr images import`, kind, k3d, minikube) and what `docker load` look for.

mod archive;
mod elf;
mod fault;
mod oci;
pub mod push;
mod sbom;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

pub use elf::Architecture;
pub use fault::Fault;

use archive::{Blobs, layer, write};
use elf::Elf;
use oci::{Annotations, Descriptor, DockerImage, ImageConfig, Index, Manifest, Platform};

/// The image's name without its tag.
pub const NAME: &str = "egret.dev/egret-proxy";

/// User and group that the sidecar runs as; interception leaves this user's own connections alone.
pub const USER: u32 = 1339;

/// As much of a program as has its headers, and the loader's name behind them.
const HEAD: u64 = 64 * 1024;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Name and tag.
    pub reference: String,
    /// Digest of what the reference names: a manifest, or an index where there are several platforms.
    pub digest: String,
    /// Such as `linux/amd64`.
    pub platforms: Vec<String>,
    /// The archive.
    pub archive: PathBuf,
    /// Its size in bytes.
    pub size: u64,
}

/// Name and tag of this version's image.
pub fn reference() -> String {
    format!("{NAME}:{}", env!("CARGO_PKG_VERSION"))
}

/// An image in memory: to be written as an archive, or pushed to a registry.
#[derive(Debug)]
pub struct Built {
    platforms: Vec<Packed>,
    /// What the reference names.
    named: Descriptor,
    blobs: Blobs,
}

/// Writes an archive with the programs `binaries`, one for each architecture.
pub fn pack(binaries: &[PathBuf], output: &Path) -> Result<Image, Fault> {
    Built::of(binaries)?.write(output)
}

impl Built {
    /// The image of the programs `binaries`, one for each architecture.
    pub fn of(binaries: &[PathBuf]) -> Result<Self, Fault> {
        let mut programs = Vec::with_capacity(binaries.len());
        for path in binaries {
            let bytes = fs::read(path).map_err(|error| Fault::unreadable(path, error))?;
            programs.push((of_static(path, &bytes)?, bytes));
        }
        // In whatever order they are given.
        programs.sort_by_key(|(architecture, _)| *architecture);
        if let Some(pair) = programs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Fault::Twice(pair[0].0));
        }
        let mut blobs = Blobs::default();
        let platforms: Vec<Packed> = programs
            .iter()
            .map(|(architecture, bytes)| platform(*architecture, bytes, &mut blobs))
            .collect();
        let named = match platforms.as_slice() {
            [] => return Err(Fault::Nothing),
            [only] => only.manifest.clone(),
            several => {
                let manifests = several.iter().map(|platform| platform.manifest.clone()).collect();
                blobs.document(oci::INDEX, &Index::of(manifests))
            }
        };
        Ok(Self {
            platforms,
            named,
            blobs,
        })
    }

    /// Digest of what the reference names: a manifest, or an index where there are several platforms.
    pub fn digest(&self) -> &str {
        &self.named.digest
    }

    /// Such as `linux/amd64`.
    pub fn platforms(&self) -> Vec<String> {
        self.platforms.iter().map(|platform| platform.name.clone()).collect()
    }

    /// Writes the archive.
    pub fn write(&self, output: &Path) -> Result<Image, Fault> {
        let reference = reference();
        let index = Index::of(vec![Descriptor {
            annotations: Some(Annotations::naming(&reference)),
            ..self.named.clone()
        }]);
        // `docker load` knows one platform; an engine that keeps its images in containerd reads the index.
        let docker: Vec<DockerImage> = self
            .platforms
            .iter()
            .take(1)
            .map(|first| first.docker(&reference))
            .collect();
        let size = write(output, &index, &docker, &self.blobs).map_err(|error| Fault::unwritable(output, error))?;
        Ok(Image {
            digest: self.named.digest.clone(),
            platforms: self.platforms(),
            archive: output.to_path_buf(),
            size,
            reference,
        })
    }
}

/// One platform's part of the image.
#[derive(Debug)]
struct Packed {
    name: String,
    manifest: Descriptor,
    config: Descriptor,
    layer: Descriptor,
}

impl Packed {
    fn docker(&self, reference: &str) -> DockerImage {
        DockerImage::of(reference, &self.config, &self.layer)
    }
}

fn platform(architecture: Architecture, program: &[u8], blobs: &mut Blobs) -> Packed {
    let layer = blobs.add(oci::LAYER, layer(program, sbom::DOCUMENT.as_bytes()));
    let config = blobs.document(oci::CONFIG, &ImageConfig::of(architecture, &layer.digest));
    let manifest = blobs.document(oci::MANIFEST, &Manifest::of(&config, &layer));
    Packed {
        name: format!("linux/{architecture}"),
        manifest: Descriptor {
            platform: Some(Platform::of(architecture)),
            ..manifest
        },
        config,
        layer,
    }
}

/// The architecture of the program in a file, if an image can hold it: one that runs where there is nothing but itself.
pub fn architecture(path: &Path) -> Result<Architecture, Fault> {
    let mut head = Vec::new();
    let file = fs::File::open(path).map_err(|error| Fault::unreadable(path, error))?;
    file.take(HEAD)
        .read_to_end(&mut head)
        .map_err(|error| Fault::unreadable(path, error))?;
    of_static(path, &head)
}

fn of_static(path: &Path, bytes: &[u8]) -> Result<Architecture, Fault> {
    let elf = Elf::read(bytes).ok_or_else(|| Fault::NoProgram(path.to_path_buf()))?;
    match elf.interpreter {
        None => Ok(elf.architecture),
        Some(interpreter) => Err(Fault::Dynamic {
            path: path.to_path_buf(),
            interpreter,
        }),
    }
}
