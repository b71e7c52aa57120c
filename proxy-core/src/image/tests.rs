use std::{collections::BTreeMap, fs, io::Read, path::PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{
    Fault,
    elf::{EM_AARCH64, EM_X86_64, tests::still},
    pack, reference,
};

/// Programs of these architectures in files of their own.
fn programs(place: &TempDir, machines: &[u16]) -> Vec<PathBuf> {
    let files = machines.iter().enumerate().map(|(index, machine)| {
        let path = place.path().join(format!("{index}-{machine}"));
        fs::write(&path, still(*machine)).unwrap();
        path
    });
    files.collect()
}

/// Files of a tar by their paths.
fn files(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.mtime().unwrap()), (0, 0));
        let path = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (path, bytes)
    });
    entries.collect()
}

/// An archive whose blobs are read by the digests that name them.
struct Opened(BTreeMap<String, Vec<u8>>);

impl Opened {
    fn file(&self, path: &str) -> Value {
        serde_json::from_slice(&self.0[path]).unwrap()
    }

    /// The bytes that a descriptor points at; they are what it says.
    fn blob(&self, descriptor: &Value) -> &[u8] {
        let digest = descriptor["digest"].as_str().unwrap();
        let bytes = &self.0[&digest.replacen("sha256:", "blobs/sha256/", 1)];
        assert_eq!(descriptor["size"], bytes.len());
        assert_eq!(format!("sha256:{:x}", Sha256::digest(bytes)), digest);
        bytes
    }

    fn document(&self, descriptor: &Value) -> Value {
        serde_json::from_slice(self.blob(descriptor)).unwrap()
    }
}

#[test]
fn one_program_gives_an_image_that_runs_it_as_its_own_user() {
    let place = tempfile::tempdir().unwrap();
    let output = place.path().join("image.tar");
    let image = pack(&programs(&place, &[EM_X86_64]), &output).unwrap();
    let bytes = fs::read(&output).unwrap();
    assert_eq!(image.size, bytes.len() as u64);
    assert_eq!(image.platforms, ["linux/amd64"]);
    let opened = Opened(files(&bytes));
    assert_eq!(opened.file("oci-layout")["imageLayoutVersion"], "1.0.0");

    let named = &opened.file("index.json")["manifests"][0];
    assert_eq!(named["digest"], image.digest);
    assert_eq!(named["annotations"]["io.containerd.image.name"], reference());
    let manifest = opened.document(named);
    let config = opened.document(&manifest["config"]);
    assert_eq!(config["config"]["User"], "1339:1339");
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/egret-proxy"]));
    let environment = config["config"]["Env"][0].as_str().unwrap();
    assert!(environment.starts_with("_RJEM_MALLOC_CONF="), "{environment}");
    assert_eq!(config["architecture"], "amd64");
    assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);

    let root = files(opened.blob(&manifest["layers"][0]));
    assert_eq!(root.keys().collect::<Vec<_>>(), ["egret-proxy", "policy/", "sbom.json"]);
    assert_eq!(root["egret-proxy"], still(EM_X86_64));
    let sbom: Value = serde_json::from_slice(&root["sbom.json"]).unwrap();
    assert_eq!(sbom["bomFormat"], "CycloneDX");

    let docker = &opened.file("manifest.json")[0];
    assert_eq!(docker["RepoTags"][0], reference());
    for path in [&docker["Config"], &docker["Layers"][0]] {
        assert!(opened.0.contains_key(path.as_str().unwrap()), "{path}");
    }
}

#[test]
fn two_architectures_give_an_index_and_the_same_bytes_in_whatever_order_they_come() {
    let place = tempfile::tempdir().unwrap();
    let output = place.path().join("image.tar");
    let mut binaries = programs(&place, &[EM_AARCH64, EM_X86_64]);
    let image = pack(&binaries, &output).unwrap();
    let bytes = fs::read(&output).unwrap();
    assert_eq!(image.platforms, ["linux/amd64", "linux/arm64"]);
    let opened = Opened(files(&bytes));
    let index = opened.document(&opened.file("index.json")["manifests"][0]);
    for (at, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
        let named = &index["manifests"][at];
        assert_eq!(named["platform"]["architecture"], architecture);
        let config = opened.document(&opened.document(named)["config"]);
        assert_eq!(config["architecture"], architecture);
    }
    binaries.reverse();
    assert_eq!(pack(&binaries, &output).unwrap(), image);
    assert!(fs::read(&output).unwrap() == bytes);
}

#[test]
fn what_no_image_can_hold_is_refused_and_leaves_no_file() {
    let place = tempfile::tempdir().unwrap();
    let output = place.path().join("image.tar");
    let twice = pack(&programs(&place, &[EM_X86_64, EM_X86_64]), &output);
    assert!(matches!(twice, Err(Fault::Twice(_))), "{twice:?}");
    let script = place.path().join("script");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    let none = pack(&[script], &output);
    assert!(matches!(none, Err(Fault::NoProgram(_))), "{none:?}");
    assert!(!output.exists());
}
