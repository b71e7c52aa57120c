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
    door::{Door, Refusal},
    side::{LOADER, Side},
    wait,
};
use crate::world::World;

const PODS: &str = include_str!("pods.yaml");
/// Where both callers live.
pub const NAMESPACE: &str = "shop";
/// Marks the objects of a world.
const LABEL: &str = "egret.test/world";
/// What a world is made of, as the API server calls it.
const KINDS: [(&str, &str); 4] = [
    ("ServiceEntry", "serviceentries"),
    ("VirtualService", "virtualservices"),
    ("DestinationRule", "destinationrules"),
    ("Sidecar", "sidecars"),
];
const ISTIO: &str = "/apis/networking.istio.io/v1";

/// Route tables come last in the stream from istiod: where all else is there for so long and they stay away, Envoy has refused
/// one of them, which its dump does not say.
const REFUSED: Duration = Duration::from_secs(12);

/// Both sides, and what holds for them now.
pub struct Pair {
    /// Behind Envoy.
    pub istio: Side,
    /// Behind `egret-proxy`.
    pub egret: Side,
    server: Door,
    istiod: Door,
    /// The paths of the objects that there are.
    made: Vec<String>,
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

impl Pair {
    /// Starts both workloads.
    pub fn start(mesh: &Mesh) -> Result<Self, String> {
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
            server: Door::to_server(mesh)?,
            istiod: Door::to_istiod(mesh)?,
            made: Vec::new(),
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
            let (objects, known) = (self.objects()?, self.known_to_istiod()?);
            match versions(&objects) == versions(&known) {
                true => Ok(objects),
                false => Err(format!("it knows {:?}", versions(&known))),
            }
        })?;
        self.push(number)?;
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
        let config = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio"}, "data": {"mesh": text},
        });
        self.apply("/api/v1/namespaces/istio-system/configmaps/istio", &config)?;
        self.added = added.to_string();
        wait("istiod to read the mesh config", || {
            let known = self.istiod.ask("GET", "/debug/mesh", "")?;
            if known.contains(&mark) { Ok(()) } else { Err(known) }
        })
    }

    fn replace_objects(&mut self, documents: &[Value]) -> Result<(), String> {
        while let Some(path) = self.made.last() {
            match self.server.ask("DELETE", path, "") {
                Ok(_) | Err(Refusal::Refused(_)) => drop(self.made.pop()),
                Err(Refusal::Failed(why)) => return Err(why),
            }
        }
        for document in documents {
            let (kind, metadata) = (&document["kind"], &document["metadata"]);
            let plural = KINDS.iter().find(|(known, _)| kind == known);
            let (_, plural) = plural.ok_or(format!("no world has a {kind}"))?;
            let word = |field: &str| metadata[field].as_str().unwrap_or_default().to_string();
            let path = format!("{ISTIO}/namespaces/{}/{plural}", word("namespace"));
            let mut document = document.clone();
            document["metadata"]["labels"] = json!({LABEL: "yes"});
            // As kubectl sends it: what is unknown is refused. What is refused is not there for either side.
            let creation = format!("{path}?fieldValidation=Strict");
            match self.server.ask("POST", &creation, &document.to_string()) {
                Ok(_) => self.made.push(format!("{path}/{}", word("name"))),
                Err(Refusal::Refused(_)) => {}
                Err(Refusal::Failed(why)) => return Err(why),
            }
        }
        Ok(())
    }

    /// The objects as the API server has them, with their ages.
    fn objects(&self) -> Result<Vec<Value>, String> {
        let mut objects = Vec::new();
        for (_, plural) in KINDS {
            let path = format!("{ISTIO}/{plural}?labelSelector={LABEL}");
            let list: Value = parsed(&self.server.ask("GET", &path, "")?)?;
            objects.extend(list["items"].as_array().cloned().unwrap_or_default());
        }
        Ok(objects)
    }

    /// Those that istiod knows.
    fn known_to_istiod(&self) -> Result<Vec<Value>, String> {
        let known = parsed(&self.istiod.ask("GET", "/debug/configz", "")?)?;
        let ours = |object: &&Value| object["metadata"]["labels"][LABEL] == "yes";
        let known = known.as_array().into_iter().flatten();
        Ok(known.filter(ours).cloned().collect())
    }

    fn apply(&self, path: &str, object: &Value) -> Result<(), String> {
        let path = format!("{path}?fieldManager=deep&force=true");
        self.server.ask("PATCH", &path, &object.to_string())?;
        Ok(())
    }

    /// Makes a change that shows in everything that istiod sends: what is known to it by now goes with it.
    fn push(&self, number: u64) -> Result<(), String> {
        let patch = |kind: &str, what: Value, value: Value| json!({"applyTo": kind, "match": what, "patch": {"operation": "MERGE", "value": value}});
        let filter = json!({
            "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": {"name": "mark"},
            "spec": {"configPatches": [
                patch("CLUSTER", json!({"cluster": {"name": "BlackHoleCluster"}}), json!({"alt_stat_name": mark(number)})),
                patch("LISTENER", json!({"context": "SIDECAR_OUTBOUND"}), json!({"stat_prefix": mark(number)})),
                patch("ROUTE_CONFIGURATION", json!({"context": "SIDECAR_OUTBOUND"}),
                    json!({"max_direct_response_body_size_bytes": body_size(number)})),
            ]},
        });
        let path = format!("/apis/networking.istio.io/v1alpha3/namespaces/{NAMESPACE}/envoyfilters/mark");
        self.apply(&path, &filter)
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

fn parsed(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{text}: {error}"))
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
