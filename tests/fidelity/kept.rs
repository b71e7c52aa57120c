//! The policy test files of this repository as worlds: what they promise must be what Istio does.

use std::{collections::BTreeMap, fs, path::Path};

use proxy_core::yaml;
use serde_json::{Value, json};

use crate::world::{Call, World};

/// Kinds that the oracle takes; what others say (capture, who runs) is not part of it.
const KINDS: [&str; 5] = [
    "ServiceEntry",
    "VirtualService",
    "DestinationRule",
    "Sidecar",
    "Service",
];

/// The cases of all files with objects in them, each with its file and name. Files about capture are left out: whether a
/// connection reaches the sidecar is the kernel's to say; so are those for another release than the oracle's.
pub fn cases() -> Result<Vec<(String, World)>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let bytes = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let documents = yaml::read(&bytes).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().to_string();
        for document in documents.iter().map(yaml::Node::to_json) {
            found.extend(of_file(&name, &document));
        }
    }
    Ok(found)
}

fn of_file(file: &str, document: &Value) -> Vec<(String, World)> {
    let objects = list(&document["resources"]);
    let is_injector = |object: &Value| text(&object["metadata"]["name"]).starts_with("istio-sidecar-injector");
    let of_another_release = document.get("istioVersion").is_some();
    if objects.is_empty() || of_another_release || objects.iter().any(is_injector) {
        return Vec::new();
    }
    let whole = world(document);
    list(&document["cases"])
        .iter()
        .filter(|case| is_istios_to_say(file, case))
        .map(|case| {
            let world = World {
                namespace: or(&case["from"]["namespace"], "default"),
                labels: pairs(&case["from"]["labels"]),
                calls: vec![call(case)],
                ..whole.clone()
            };
            (format!("{file}: {}", text(&case["name"])), world)
        })
        .collect()
}

/// True where routes and clusters decide: nothing of them is known where a connection is not captured, where Envoy answers
/// before it looks for a route, and where it refuses a cluster that Istio sends.
fn is_istios_to_say(file: &str, case: &Value) -> bool {
    const BEFORE_ROUTES: [&str; 2] = ["absolute_path_rejected", "path_normalization_failed"];
    let expected = &case["expect"];
    let of_refused = file == "dynamic-dns-refused.yaml" && expected["upstream"]["kind"] != "dynamic_dns";
    let details = text(&expected["response"]["details"]);
    let asks_server = case["send"]["path"] == "*";
    expected["verdict"] != "bypassed" && !BEFORE_ROUTES.contains(&details) && !of_refused && !asks_server
}

/// The inline objects of a policy test file with the calls of all its cases, by nobody in particular.
pub fn world(document: &Value) -> World {
    let objects = list(&document["resources"]);
    let mesh = objects.iter().find(|object| object["kind"] == "ConfigMap");
    let wanted = objects.iter().filter(|object| KINDS.contains(&text(&object["kind"])));
    World {
        mesh: mesh.map_or("", |object| text(&object["data"]["mesh"])).to_string(),
        documents: wanted.enumerate().map(|(index, object)| aged(object, index)).collect(),
        calls: list(&document["cases"]).iter().map(call).collect(),
        ..World::default()
    }
}

/// Where no age is written the order of appearance stands for it, and all of that is older than what is written.
fn aged(object: &Value, index: usize) -> Value {
    let mut object = object.clone();
    let metadata = &mut object["metadata"];
    if metadata["creationTimestamp"].is_null() {
        metadata["creationTimestamp"] = json!(format!("2000-01-01T00:00:{index:02}Z"));
    }
    if metadata["namespace"].is_null() {
        metadata["namespace"] = json!("default");
    }
    object
}

fn call(case: &Value) -> Call {
    let send = &case["send"];
    let protocol = match (or(&send["protocol"], "tcp").as_str(), text(&send["version"])) {
        ("http", "1.0") => "http1.0".to_string(),
        // Of the live comparison alone: what is within TLS decides nothing.
        ("tls", "2") => "tls-http2".to_string(),
        (other, _) => other.to_string(),
    };
    Call {
        address: text(&case["connect"]["ip"]).to_string(),
        port: case["connect"]["port"]
            .as_u64()
            .and_then(|port| port.try_into().ok())
            .unwrap_or_default(),
        protocol,
        sni: text(&send["sni"]).to_ascii_lowercase(),
        host: text(&send["host"]).to_string(),
        method: or(&send["method"], "GET"),
        path: or(&send["path"], "/"),
        headers: pairs(&send["headers"]),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A text, or what stands for it where there is none.
pub fn or(value: &Value, default: &str) -> String {
    value.as_str().unwrap_or(default).to_string()
}

fn pairs(value: &Value) -> BTreeMap<String, String> {
    let entries = value.as_object().into_iter().flatten();
    entries
        .map(|(key, value)| (key.to_ascii_lowercase(), text(value).to_string()))
        .collect()
}
