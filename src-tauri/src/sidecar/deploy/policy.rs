//! The policy that a deployed sidecar decides by: the objects of the cluster that the engine needs for one workload, as
//! text, in a ConfigMap.

use std::{collections::BTreeMap, io::Write as _, sync::Arc};

use flate2::{Compression, write::GzEncoder};
use proxy_core::model::{Object, World};
use serde_json::{Value, json};

use super::{
    names,
    options::{Options, Target},
};
use crate::{
    change::{FileEdit, Proposal},
    fault::{Fault, Result},
    session::View,
};

/// Above this a policy is compressed.
const PLAIN: usize = 256 << 10;
/// What an API server takes of a ConfigMap is 1 MiB in all; binary data is a third longer in its JSON.
const MOST: usize = 740 << 10;

/// A policy as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// YAML, or that compressed.
    pub bytes: Vec<u8>,
    pub compressed: bool,
    pub objects: usize,
}

impl Policy {
    /// What `view` says for the workload, with what is `staged` where a person wants that.
    pub fn of(view: &View, staged: Option<&Proposal>, target: &Target) -> Result<Self> {
        let (world, edits) = match staged {
            Some(proposal) => (&proposal.world, proposal.files.as_slice()),
            None => (view.world(), [].as_slice()),
        };
        let mut texts = Vec::new();
        for file in files(world, target) {
            texts.push(text(view, edits, &file)?);
        }
        Self::from_text(texts.join("---\n").as_bytes(), texts.len())
    }

    fn from_text(text: &[u8], objects: usize) -> Result<Self> {
        let compressed = text.len() > PLAIN;
        let bytes = if compressed { gzip(text)? } else { text.to_vec() };
        if bytes.len() > MOST {
            return Err(Fault::new(
                "policy-size",
                format!(
                    "The policy has {objects} objects, {} KiB compressed: a ConfigMap holds {} KiB.",
                    bytes.len() >> 10,
                    MOST >> 10
                ),
            )
            .hint("Look at fewer namespaces (What is there, in the menu), and connect again."));
        }
        Ok(Self {
            bytes,
            compressed,
            objects,
        })
    }

    /// The session's ConfigMap. `generation` tells a newer policy from an older one; who knows `token` may send a newer one
    /// to the sidecar, which the other programs of its pod do not.
    pub fn config_map(&self, options: &Options, id: &str, token: &str, generation: u64) -> Value {
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": names::config_map(id),
                "namespace": options.target.namespace,
                "labels": names::labels(id),
                "annotations": names::annotations(options),
            },
            "data": {"generation": generation.to_string(), "push-token": token},
        });
        if self.compressed {
            object["binaryData"] = json!({"policy.yaml.gz": k8s_openapi::ByteString(self.bytes.clone())});
        } else {
            object["data"]["policy.yaml"] = json!(String::from_utf8_lossy(&self.bytes));
        }
        object
    }
}

/// The files of the objects that decide for `target`: all that the engine compiles, and of the workloads itself alone.
fn files(world: &World, target: &Target) -> Vec<Arc<str>> {
    // In the order of the kinds; a file of a cluster is one object.
    let mut files = Vec::new();
    macro_rules! add {
        ($($list:ident),*) => { $(of(&world.$list, &mut files);)* };
    }
    fn of<T>(objects: &[Arc<Object<T>>], files: &mut Vec<Arc<str>>) {
        files.extend(objects.iter().map(|object| object.place.file.clone()));
    }
    add!(
        mesh_configs,
        shared_meshes,
        control_planes,
        injectors,
        tags,
        namespaces,
        services,
        service_entries,
        virtual_services,
        destination_rules,
        gateways,
        sidecars
    );
    let own = world.workloads.iter().filter(|each| {
        each.spec.kind == target.kind && *each.meta.namespace == *target.namespace && *each.meta.name == *target.name
    });
    files.extend(own.map(|each| each.place.file.clone()));
    let mut seen = BTreeMap::new();
    files.retain(|file| seen.insert(file.clone(), ()).is_none());
    files
}

fn text(view: &View, edits: &[FileEdit], file: &str) -> Result<String> {
    let staged = edits.iter().find(|edit| edit.file == file);
    let text = match staged.and_then(|edit| edit.after.clone()) {
        Some(after) => String::from_utf8(after).map_err(|_| Fault::new("syntax", format!("{file} is not UTF-8.")))?,
        None => view
            .text(file)
            .map_err(|error| Fault::file("read", std::path::Path::new(file), &error))?,
    };
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

fn gzip(text: &[u8]) -> Result<Vec<u8>> {
    // Without a time, so that the same policy is the same bytes.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    written.map_err(|error| Fault::new("policy", format!("The policy cannot be compressed: {error}")))
}
