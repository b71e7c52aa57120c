//! The same caller behind Istio's sidecar and behind ours, in one live mesh, under the same objects.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use egret_tests::mesh::Mesh;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    configuration::{self, State, body_size, mark},
    side::{LOADER, Side},
    wait,
};
use crate::world::World;

const PODS: &str = include_str!("pods.yaml");
/// Where both callers live.
pub const NAMESPACE: &str = "shop";
/// Marks the objects of a world.
const LABEL: &str = "egret.test/world";
const KINDS: &str = "serviceentries,virtualservices,destinationrules,sidecars";

/// Route tables come last in the stream from istiod: where all else is there for so long and they stay away, Envoy has refused
/// one of them, which its dump does not say.
const REFUSED: Duration = Duration::from_secs(12);

/// Both sides, and what holds for them now.
pub struct Pair<'mesh> {
    /// Behind Envoy.
    pub istio: Side,
    /// Behind `egret-proxy`.
    pub egret: Side,
    mesh: &'mesh Mesh,
    /// How many worlds there were: it tells this one from every other.
    number: u64,
    /// The mesh config as it was, without the outbound mode.
    base: String,
    /// What a world has added to it.
    added: String,
    /// The cluster's own Services: what a Sidecar imports from everywhere has them too.
    services: Vec<Value>,
    folder: TempDir,
}

impl<'mesh> Pair<'mesh> {
    /// Starts both workloads.
    pub fn start(mesh: &'mesh Mesh) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let policy = folder.path().display().to_string();
        let sites = mesh.certificates().join("sites-ca.crt").display().to_string();
        let manifest = PODS
            .replace("@EGRET@", &binary()?.display().to_string())
            .replace("@POLICY@", &policy)
            .replace("@LOADER@", &json!(LOADER).to_string())
            .replace("@SITES@", sites.trim_start_matches('/'))
            .replace("@PKI@", &mesh.certificates().display().to_string());
        mesh.apply(&manifest);
        for pod in ["envoy", "egret"] {
            wait(&format!("pod {pod}"), || {
                let ready = [
                    "wait",
                    "pod",
                    pod,
                    "--namespace=shop",
                    "--for=condition=Ready",
                    "--timeout=20s",
                ];
                let output = mesh.kubectl(&ready);
                match output.status.success() {
                    true => Ok(()),
                    false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
                }
            })?;
        }
        let text = mesh.text(&[
            "get",
            "configmap",
            "istio",
            "--namespace=istio-system",
            "--output=jsonpath={.data.mesh}",
        ]);
        let services = mesh.text(&["get", "services", "--all-namespaces", "--output=json"]);
        let services: Value = serde_json::from_str(&services).map_err(|error| error.to_string())?;
        Ok(Self {
            istio: Side::of(mesh, NAMESPACE, "envoy", "istio-proxy")?,
            egret: Side::of(mesh, NAMESPACE, "egret", "egret")?,
            mesh,
            number: 0,
            base: without_mode(&text),
            added: "-".into(),
            services: services["items"].as_array().cloned().unwrap_or_default(),
            folder,
        })
    }

    /// Puts `world` in force on both sides, as far as the API server takes it, and gives its number and objects. None where
    /// Envoy refuses what istiod makes of them: then nothing is decided.
    pub fn enforce(&mut self, world: &World) -> Result<Option<(u64, Vec<Value>)>, String> {
        self.number += 1;
        let number = self.number;
        self.set_mesh_config(number, &world.mesh)?;
        self.replace_objects(&world.documents)?;
        let taken = wait("istiod to know the objects", || {
            let (objects, known) = (self.objects(), self.known_to_istiod());
            match versions(&objects) == versions(&known) {
                true => Ok(objects),
                false => Err(format!("it knows {:?}", versions(&known))),
            }
        })?;
        self.push(number);
        let mut only_routes: Option<Instant> = None;
        let state = wait("Envoy to have what istiod makes of it", || {
            let dump = self.istio.admin("/config_dump")?;
            match configuration::state(&serde_json::from_str(&dump.body).unwrap_or_default(), number) {
                State::Older(what) if what.starts_with(configuration::TABLE) => {
                    let since = only_routes.get_or_insert_with(Instant::now);
                    match since.elapsed() > REFUSED {
                        true => Ok(State::Refused),
                        false => Err(format!("{what} is not there")),
                    }
                }
                State::Older(what) => {
                    only_routes = None;
                    Err(format!("{what} is not there"))
                }
                state => Ok(state),
            }
        })?;
        if state == State::Refused {
            return Ok(None);
        }
        self.set_folder(number, &taken)?;
        Ok(Some((number, taken)))
    }

    fn set_mesh_config(&mut self, number: u64, added: &str) -> Result<(), String> {
        if added == self.added {
            return Ok(());
        }
        // An alias that nothing uses tells istiod's answer from the ones before.
        let mark = mark(number);
        let text = format!("{}{added}trustDomainAliases: [{mark}]\n", self.base);
        let patch = json!({"data": {"mesh": text}}).to_string();
        self.mesh.text(&[
            "patch",
            "configmap",
            "istio",
            "--namespace=istio-system",
            "--type=merge",
            "--patch",
            &patch,
        ]);
        self.added = added.to_string();
        wait("istiod to read the mesh config", || {
            let known = self.istiod("mesh");
            if known.contains(&mark) { Ok(()) } else { Err(known) }
        })
    }

    fn replace_objects(&self, documents: &[Value]) -> Result<(), String> {
        let every = ["delete", KINDS, "--all-namespaces", "--selector", LABEL, "--wait=false"];
        self.mesh.text(&every);
        let mut documents = documents.to_vec();
        for document in &mut documents {
            document["metadata"]["labels"] = json!({LABEL: "yes"});
        }
        if documents.is_empty() {
            return Ok(());
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": documents}).to_string();
        let output = self.mesh.send(&["create"], &list);
        let (done, said) = (output.stdout, String::from_utf8_lossy(&output.stderr));
        let created = String::from_utf8_lossy(&done).lines().count();
        // What is refused is not there for either side: one line for each, before its reasons.
        let is_refusal = |line: &&str| line.starts_with("Error from server") || line.starts_with("The ");
        match created + said.lines().filter(is_refusal).count() == documents.len() {
            true => Ok(()),
            false => Err(format!("kubectl create: {said}")),
        }
    }

    /// The objects as the API server has them, with their ages.
    fn objects(&self) -> Vec<Value> {
        let text = self
            .mesh
            .text(&["get", KINDS, "--all-namespaces", "--selector", LABEL, "--output=json"]);
        let list: Value = serde_json::from_str(&text).unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Those that istiod knows.
    fn known_to_istiod(&self) -> Vec<Value> {
        let known: Vec<Value> = serde_json::from_str(&self.istiod("configz")).unwrap_or_default();
        let ours = |object: &Value| object["metadata"]["labels"][LABEL] == "yes";
        known.into_iter().filter(ours).collect()
    }

    /// What istiod says of itself.
    fn istiod(&self, page: &str) -> String {
        let page = format!("localhost:15014/debug/{page}");
        let exec = ["exec", "--namespace=istio-system", "deploy/istiod", "--"];
        self.mesh
            .text(&[&exec[..], &["curl", "--silent", "--max-time", "20", &page]].concat())
    }

    /// Makes a change that shows in everything that istiod sends: what is known to it by now goes with it.
    fn push(&self, number: u64) {
        let patch = |kind: &str, what: Value, value: Value| json!({"applyTo": kind, "match": what, "patch": {"operation": "MERGE", "value": value}});
        let filter = json!({
            "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
            "metadata": {"name": "mark", "namespace": NAMESPACE},
            "spec": {"configPatches": [
                patch("CLUSTER", json!({"cluster": {"name": "BlackHoleCluster"}}), json!({"alt_stat_name": mark(number)})),
                patch("LISTENER", json!({"context": "SIDECAR_OUTBOUND"}), json!({"stat_prefix": mark(number)})),
                patch("ROUTE_CONFIGURATION", json!({"context": "SIDECAR_OUTBOUND"}),
                    json!({"max_direct_response_body_size_bytes": body_size(number)})),
            ]},
        });
        self.mesh.apply(&filter.to_string());
    }

    fn set_folder(&mut self, number: u64, objects: &[Value]) -> Result<(), String> {
        let loaded = |side: &mut Side| -> Option<Value> {
            let config: Value = serde_json::from_str(&side.admin("/config").ok()?.body).ok()?;
            Some(config["loaded"].clone())
        };
        let before = loaded(&mut self.egret);
        let mesh = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"},
            "data": {"mesh": format!("{}{}", self.base, self.added)},
        });
        let mut text = format!("# world {number}\n{mesh}\n");
        for object in self.services.iter().chain(objects) {
            text.push_str(&format!("---\n{object}\n"));
        }
        let fresh = self.folder.path().join(".fresh");
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, self.folder.path().join("world.yaml")))
            .map_err(|error| format!("{}: {error}", fresh.display()))?;
        wait("egret-proxy to read its folder", || {
            let now = loaded(&mut self.egret);
            if now != before {
                Ok(())
            } else {
                Err(format!("loaded {now:?}"))
            }
        })
    }
}

/// Name, namespace, kind and version of each object.
fn versions(objects: &[Value]) -> BTreeSet<String> {
    objects
        .iter()
        .map(|object| {
            let metadata = &object["metadata"];
            format!(
                "{}/{}/{}/{}",
                object["kind"], metadata["namespace"], metadata["name"], metadata["resourceVersion"]
            )
        })
        .collect()
}

/// The mesh config without its outbound policy.
fn without_mode(text: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in text.lines() {
        inside = line.starts_with("outboundTrafficPolicy") || inside && line.starts_with(' ');
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The sidecar's binary that was built beside this test.
fn binary() -> Result<PathBuf, String> {
    let test = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = test.ancestors().nth(2).ok_or("the test has no folder")?;
    let path = folder.join("egret-proxy");
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("{} is missing: cargo build -p proxy-core", path.display()))
    }
}
