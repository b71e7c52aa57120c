//! A small policy, who calls under it, and the calls; what both sides are asked about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A policy with calls. Its form is what the oracle reads.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct World {
    /// Mesh config, as YAML.
    pub mesh: String,
    /// Objects, each with a name of its own.
    pub documents: Vec<Value>,
    /// The caller's namespace.
    pub namespace: String,
    /// The caller's labels.
    pub labels: BTreeMap<String, String>,
    /// What it calls.
    pub calls: Vec<Call>,
    /// Whether Istio's analyzer is asked too.
    #[serde(default)]
    pub analyze: bool,
}

/// One connection, with its request where HTTP is spoken.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Call {
    /// Original destination.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// `http`, `http1.0`, `http2`, `tls` or `tcp`.
    pub protocol: String,
    /// Server name of TLS; empty for none.
    pub sni: String,
    /// Host or `:authority`.
    pub host: String,
    /// Method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Headers by lower-case name, one line each.
    pub headers: BTreeMap<String, String>,
}

/// JSON pointers of everything below `value`, which stands at `at`.
pub fn pointers(at: &str, value: &Value, found: &mut Vec<String>) {
    let mut below = |key: &str, value: &Value| {
        let pointer = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        found.push(pointer.clone());
        pointers(&pointer, value, found);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| below(key, value)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| below(&index.to_string(), item)),
        _ => {}
    }
}
