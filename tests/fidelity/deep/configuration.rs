//! Which world Envoy's configuration is of, read from its dump.

use std::collections::BTreeSet;

use serde_json::Value;

/// How far Envoy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Some of it is of an earlier world, or not in force yet: this.
    Older(String),
    /// All of it is of this world, and in force.
    Whole,
    /// Envoy refuses some of this world.
    Refused,
}

/// The one listener that a mark is not put on.
const INBOUND: &str = "virtualInbound";

/// The mark of a world in a cluster, and in each listener.
pub fn mark(number: u64) -> String {
    format!("world-{number}")
}

/// Its mark in each route table: larger than what any world needs.
pub fn body_size(number: u64) -> u64 {
    4096 + number
}

/// How far Envoy is with world `number`, by the answer of `/config_dump`. Its versions do not
/// tell: that of a route table that did not change stays, and that of listeners stays when one of them is refused.
pub fn state(dump: &Value, number: u64) -> State {
    let part = |kind: &str| {
        let mut parts = dump["configs"].as_array().into_iter().flatten();
        parts.find(|part| part["@type"].as_str().is_some_and(|name| name.ends_with(kind)))
    };
    let (Some(clusters), Some(listeners)) = (part(".ClustersConfigDump"), part(".ListenersConfigDump")) else {
        return State::Older("everything".into());
    };
    let marked = list(&clusters["dynamic_active_clusters"])
        .iter()
        .any(|active| active["cluster"]["alt_stat_name"] == mark(number).as_str());
    if !marked {
        return State::Older("the clusters".into());
    }
    if let Some(warming) = list(&clusters["dynamic_warming_clusters"]).first() {
        return State::Older(format!("cluster {}", warming["cluster"]["name"]));
    }
    let mine = |listener: &Value| listener["stat_prefix"] == mark(number).as_str();
    let listening = list(&listeners["dynamic_listeners"]);
    let routes = part(".RoutesConfigDump").unwrap_or(&Value::Null);
    let tables = list(&routes["dynamic_route_configs"]);
    let current = |table: &Value| table["max_direct_response_body_size_bytes"] == body_size(number);
    let failed = |part: &Value| part["error_state"]["failed_configuration"].clone();
    if listening.iter().any(|listener| mine(&failed(listener))) || tables.iter().any(|table| current(&failed(table))) {
        return State::Refused;
    }
    let active = |listener: &&Value| listener.get("active_state").is_some() && listener["name"] != INBOUND;
    let older =
        |listener: &&Value| listener.get("warming_state").is_some() || !mine(&listener["active_state"]["listener"]);
    if let Some(listener) = listening.iter().filter(active).find(older) {
        return State::Older(format!("listener {}", listener["name"]));
    }
    let mut wanted = BTreeSet::new();
    for listener in listening {
        names(&listener["active_state"], &mut wanted);
    }
    let lacking = wanted.into_iter().find(|name| {
        let mut tables = tables.iter().map(|table| &table["route_config"]);
        !tables.any(|table| table["name"] == name.as_str() && current(table))
    });
    match lacking {
        None => State::Whole,
        Some(name) => State::Older(format!("route table {name}")),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Names of the route tables that a listener asks for.
fn names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(name)) = fields.get("route_config_name") {
                found.insert(name.clone());
            }
            fields.values().for_each(|below| names(below, found));
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        _ => {}
    }
}
