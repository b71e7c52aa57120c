//! The policy that a deployed sidecar decides by: the objects of the cluster that the engine needs for one workload, as
//! text, in a ConfigMap; or, where that has no room for it, in several.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    sync::Arc,
};

use flate2::{Compression, write::GzEncoder};
use proxy_core::{
    model::{Object, World},
    source::list_of_parts,
    yaml,
};
use serde_json::{Value, json};

use super::{
    names,
    options::{Options, Target},
};
use crate::{
    change::{FileEdit, Proposal},
    cluster::apart_from_status,
    fault::{Fault, Result},
    session::View,
};

/// Above this a policy is compressed.
const PLAIN: usize = 256 << 10;
/// What an API server takes of a ConfigMap is 1 MiB in all; binary data is a third longer in its JSON.
const MOST: usize = 740 << 10;
/// ConfigMaps that the parts of one policy may be in.
const PARTS: usize = 4;
/// The file of a policy that is compressed.
const PACKED: &str = "policy.yaml.gz";

/// Where the parts of a policy are: a newer policy's in the other one, so that those of the one before stay until it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Even,
    Odd,
}

impl Slot {
    const BOTH: [Self; 2] = [Self::Even, Self::Odd];

    fn of(generation: u64) -> Self {
        if generation.is_multiple_of(2) {
            Self::Even
        } else {
            Self::Odd
        }
    }

    /// What the part `number` is called here, in names.
    fn part(self, number: usize) -> String {
        let slot = match self {
            Self::Even => "even",
            Self::Odd => "odd",
        };
        format!("{slot}-{number}")
    }
}

/// All ConfigMaps that the policy of the session `id` may ever be in, the session's own first.
pub fn config_maps(id: &str) -> Vec<String> {
    let parts = Slot::BOTH
        .into_iter()
        .flat_map(|slot| (0..PARTS).map(move |number| slot.part(number)));
    let own = names::config_map(id);
    let parts: Vec<_> = parts.map(|part| format!("{own}-{part}")).collect();
    [own].into_iter().chain(parts).collect()
}

/// Addresses that istiod allocated to hosts of ServiceEntries. Only a sidecar that captures DNS decides by them: to any other, one
/// more of them would be a new policy that says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocated {
    Used,
    LeftOut,
}

impl Allocated {
    /// What a sidecar needs of them.
    pub fn by(captures_dns: bool) -> Self {
        if captures_dns { Self::Used } else { Self::LeftOut }
    }
}

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
    pub fn of(view: &View, staged: Option<&Proposal>, target: &Target, allocated: Allocated) -> Result<Self> {
        let (world, edits) = match staged {
            Some(proposal) => (&proposal.world, proposal.files.as_slice()),
            None => (view.world(), [].as_slice()),
        };
        let mut texts = Vec::new();
        for file in files(world, target) {
            texts.extend(text(view, edits, &file, allocated)?);
        }
        Self::from_text(texts.join("---\n").as_bytes(), texts.len())
    }

    fn from_text(text: &[u8], objects: usize) -> Result<Self> {
        let compressed = text.len() > PLAIN;
        let bytes = if compressed { gzip(text)? } else { text.to_vec() };
        if bytes.len() > PARTS * MOST || text.len() > yaml::MAX_BYTES {
            return Err(Fault::new(
                "policy-size",
                format!(
                    "The policy has {objects} objects, {} KiB of text, {} KiB compressed: a sidecar takes {} KiB of text, and \
                     {PARTS} ConfigMaps hold {} KiB.",
                    text.len() >> 10,
                    bytes.len() >> 10,
                    yaml::MAX_BYTES >> 10,
                    (PARTS * MOST) >> 10
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
        if self.is_in_parts() {
            let files: Vec<String> = self.chunks(generation).map(|(_, file, _)| file).collect();
            let list = list_of_parts(&self.bytes, files.iter().map(String::as_str));
            object["data"][format!("{PACKED}.parts")] = json!(list);
        } else if self.compressed {
            object["binaryData"] = json!({PACKED: k8s_openapi::ByteString(self.bytes.clone())});
        } else {
            object["data"]["policy.yaml"] = json!(String::from_utf8_lossy(&self.bytes));
        }
        object
    }

    /// The ConfigMaps of the policy's parts, where it is in parts: dependents of the session's ConfigMap, whose uid this is.
    pub fn parts(&self, options: &Options, id: &str, generation: u64, uid: &str) -> Vec<Value> {
        if !self.is_in_parts() {
            return Vec::new();
        }
        let owner = names::config_map(id);
        let part = |(part, file, bytes): (String, String, &[u8])| {
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": format!("{owner}-{part}"),
                    "namespace": options.target.namespace,
                    "labels": names::labels(id),
                    "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uid}],
                },
                "binaryData": {file: k8s_openapi::ByteString(bytes.to_vec())},
            })
        };
        self.chunks(generation).map(part).collect()
    }

    fn is_in_parts(&self) -> bool {
        self.bytes.len() > MOST
    }

    /// Its parts: what each is called, its file, and what is in it.
    fn chunks(&self, generation: u64) -> impl Iterator<Item = (String, String, &[u8])> {
        let slot = Slot::of(generation);
        self.bytes.chunks(MOST).enumerate().map(move |(number, bytes)| {
            let part = slot.part(number);
            let file = format!("{PACKED}.{part}");
            (part, file, bytes)
        })
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

/// What an object says; nothing of one that went since `view` was made, as the next view does.
fn text(view: &View, edits: &[FileEdit], file: &str, allocated: Allocated) -> Result<Option<String>> {
    let staged = edits
        .iter()
        .find_map(|edit| edit.after.as_ref().filter(|_| edit.file == file));
    let stored = view.text(file);
    let mut text = match (staged, &stored) {
        (Some(after), _) => {
            String::from_utf8(after.clone()).map_err(|_| Fault::new("syntax", format!("{file} is not UTF-8.")))?
        }
        (None, Ok(stored)) => apart_from_status(stored).0.to_string(),
        (None, Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        (None, Err(error)) => return Err(Fault::file("read", std::path::Path::new(file), error)),
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    // What is staged says nothing of them; one that is new has none yet.
    if let (Allocated::Used, Ok(stored)) = (allocated, &stored) {
        text.push_str(apart_from_status(stored).1);
    }
    Ok(Some(text))
}

fn gzip(text: &[u8]) -> Result<Vec<u8>> {
    // Without a time, so that the same policy is the same bytes.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    written.map_err(|error| Fault::new("policy", format!("The policy cannot be compressed: {error}")))
}
