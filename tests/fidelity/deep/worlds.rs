//! Worlds for the live mesh: by hand, and drawn as the others are, then fitted to what a mesh and its sites can show.

use proxy_core::yaml;
use serde_json::{Value, json};

use super::{
    calls,
    pair::NAMESPACE,
    sender::{self, TLS_HTTP2},
};
use crate::{
    generate,
    kept::{self, or},
    seed::Seed,
    world::World,
};

const BY_HAND: &str = include_str!("by_hand.yaml");

/// Worlds apart from the ones that the generator's own seed draws.
const APART: u64 = 0xdee9;

/// What was added later is drawn apart too, so that all else stays what a seed draws.
const LATER: u64 = 0x1a7e;

/// The worlds of `by_hand.yaml`, by their names.
pub fn by_hand() -> Result<Vec<(String, World)>, String> {
    let documents = yaml::read(BY_HAND.as_bytes()).map_err(|error| format!("by_hand.yaml: {error}"))?;
    let documents = documents.iter().map(yaml::Node::to_json);
    Ok(documents
        .map(|document| (or(&document["name"], ""), kept::world(&document)))
        .collect())
}

/// A world as it stands in `by_hand.yaml`, where one that once differed is kept.
pub fn written(name: &str, world: &World) -> String {
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": world.mesh},
    });
    let mut text = format!("name: {}\nresources:\n- {config}\n", json!(name));
    for document in &world.documents {
        text.push_str(&format!("- {document}\n"));
    }
    text.push_str("cases:\n");
    for call in &world.calls {
        let (protocol, version) = match call.protocol.as_str() {
            "http1.0" => ("http", "1.0"),
            TLS_HTTP2 => ("tls", "2"),
            protocol => (protocol, ""),
        };
        let send = json!({
            "protocol": protocol, "version": version, "host": call.host, "sni": call.sni, "method": call.method,
            "path": call.path, "headers": call.headers,
        });
        let mut case = json!({"connect": {"ip": call.address, "port": call.port}, "send": send});
        if let Some(send) = case["send"].as_object_mut() {
            send.retain(|_, value| *value != "" && *value != json!({}));
        }
        text.push_str(&format!("- {case}\n"));
    }
    text
}

/// World `number` of `seed`, with its calls.
pub fn drawn(seed: u64, number: u64) -> World {
    let mut world = generate::world(seed, number);
    let later = &mut Seed::of(seed ^ LATER, number);
    let seed = &mut Seed::of(seed ^ APART, number);
    world.namespace = NAMESPACE.into();
    world.labels = [("app".to_string(), "cart".to_string())].into();
    // Read when a pod starts, and here it has; and certificates of files that are in neither pod.
    let is_left_out = |line: &&str| line.starts_with("defaultConfig") || line.contains("clientCertificate");
    let lines = world.mesh.lines().filter(|line| !is_left_out(line));
    world.mesh = lines.map(|line| format!("{line}\n")).collect();
    // Behind a Service there would have to be pods.
    world.documents.retain(|document| document["kind"] != "Service");
    world.documents.iter_mut().for_each(fit);
    world.documents.iter_mut().for_each(settle_values);
    settle(&mut world.documents);
    let calls = std::mem::take(&mut world.calls);
    world.calls = calls.into_iter().filter_map(|call| calls::fit(seed, call)).collect();
    world.calls.iter_mut().for_each(|call| calls::extend(later, call));
    world.calls.retain(|call| sender::name(&call.sni).is_ok());
    if later.once_in(2) {
        let within = "{mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: SIMPLE}}";
        world.mesh = world.mesh.replace("{mode: ALLOW_ANY_DYNAMIC_DNS}", within);
    }
    let rules = world.documents.iter_mut();
    rules
        .filter(|document| document["kind"] == "DestinationRule")
        .for_each(|rule| show_certificate(later, rule));
    world
}

/// Has some of the TLS that is originated show a certificate, of files that both sidecars have.
fn show_certificate(seed: &mut Seed, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("mode").is_some_and(|mode| mode == "SIMPLE") && seed.once_in(3) {
                fields.insert("mode".into(), json!("MUTUAL"));
                fields.insert("clientCertificate".into(), json!("/etc/sites/sites.crt"));
                fields.insert("privateKey".into(), json!("/etc/sites/sites.key"));
                if !fields.contains_key("insecureSkipVerify") {
                    fields.insert("caCertificates".into(), json!("/etc/sites/sites-ca.crt"));
                }
            }
            fields.values_mut().for_each(|below| show_certificate(seed, below));
        }
        Value::Array(items) => items.iter_mut().for_each(|below| show_certificate(seed, below)),
        _ => {}
    }
}

/// Takes out what is left to chance: ages that the API server gives anyway, and who of several is called.
fn fit(document: &mut Value) {
    if let Some(fields) = document.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = document["metadata"].as_object_mut() {
        metadata.remove("creationTimestamp");
    }
    let spec = &mut document["spec"];
    // Envoy refuses what Istio makes of these.
    let is_refused = spec["resolution"] == "DYNAMIC_DNS";
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        if is_refused && matches!(port["protocol"].as_str(), Some("HTTP2" | "GRPC")) {
            port["protocol"] = json!("HTTP");
        }
        if port["protocol"].as_str().unwrap_or_default().is_empty()
            && let Some(port) = port.as_object_mut()
        {
            port.remove("protocol");
        }
    }
    if let Some(endpoints) = spec["endpoints"].as_array_mut() {
        endpoints.truncate(1);
    }
    for protocol in ["http", "tls", "tcp"] {
        for route in spec[protocol].as_array_mut().into_iter().flatten() {
            if let Some(destinations) = route["route"].as_array_mut() {
                destinations.truncate(1);
                destinations
                    .iter_mut()
                    .for_each(|destination| destination["weight"] = json!(100));
            }
            limit(route);
        }
    }
    // `spec[..]` leaves a null where nothing was.
    for field in ["ports", "endpoints", "http", "tls", "tcp"] {
        if let Some(fields) = spec.as_object_mut()
            && fields.get(field).is_some_and(Value::is_null)
        {
            fields.remove(field);
        }
    }
}

/// Some or none is chance, so it is all or none; delays are short; and without its Secret, or the files that are in
/// neither pod, a cluster never comes into force.
fn settle_values(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // The sites are no proxies that lead on.
            for left_out in ["credentialName", "caCertificates", "caCrl", "privateKey", "tunnel"] {
                fields.remove(left_out);
            }
            if fields.remove("clientCertificate").is_some() {
                fields.insert("mode".into(), json!("SIMPLE"));
            }
            for key in ["percentage", "mirrorPercentage"] {
                if let Some(share) = fields.get_mut(key).filter(|share| share["value"] != 0) {
                    *share = json!({"value": 100});
                }
            }
            // It would put something before a path's first slash.
            if fields.get("match").is_some_and(|pattern| pattern == "[0-9]*") {
                fields.insert("match".into(), json!("[0-9]+"));
            }
            if let Some(delay) = fields.get_mut("fixedDelay") {
                *delay = json!("0.2s");
            }
            fields.values_mut().for_each(settle_values);
        }
        Value::Array(items) => items.iter_mut().for_each(settle_values),
        _ => {}
    }
}

/// Where attempts and the whole have limits that lie close together, a drawn back-off decides which comes first.
fn limit(route: &mut Value) {
    let Some(route) = route.as_object_mut() else { return };
    if route.contains_key("timeout")
        && let Some(retries) = route.get_mut("retries").and_then(Value::as_object_mut)
    {
        retries.remove("perTryTimeout");
    }
    if route.get("route").is_some_and(Value::is_null) {
        route.remove("route");
    }
}

/// Two entries for one host in one namespace would be of the same second: which comes first is chance.
fn settle(documents: &mut Vec<Value>) {
    let hosts = |document: &Value| -> Vec<Value> { document["spec"]["hosts"].as_array().cloned().unwrap_or_default() };
    let mut kept: Vec<Value> = Vec::new();
    for document in std::mem::take(documents) {
        let twin = |other: &&Value| {
            other["kind"] == "ServiceEntry"
                && document["kind"] == "ServiceEntry"
                && other["metadata"]["namespace"] == document["metadata"]["namespace"]
                && hosts(other).iter().any(|host| hosts(&document).contains(host))
        };
        if kept.iter().find(twin).is_none() {
            kept.push(document);
        }
    }
    *documents = kept;
}
