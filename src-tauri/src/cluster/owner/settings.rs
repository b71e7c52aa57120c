//! Settings of Istio's installation that a change of its ConfigMaps amounts to, in the words of those that install it.

use proxy_core::yaml;
use serde_json::{Map, Value};

use crate::cluster::words::shell_word;

/// Values of Istio's chart, each with its path.
#[derive(Debug, Default, PartialEq)]
pub struct Settings(Vec<(Vec<String>, Value)>);

impl Settings {
    /// Of a change of one of Istio's own ConfigMaps; none where another object changes, or nothing that is a value.
    pub fn of(kind: &str, name: &str, live: &Value, wanted: &Value) -> Self {
        let key = match (kind, name) {
            ("ConfigMap", name) if name.starts_with("istio-sidecar-injector") => "values",
            ("ConfigMap", name) if name.starts_with("istio") => "mesh",
            _ => return Self::default(),
        };
        let read = |object: &Value| {
            let text = object["data"][key].as_str().unwrap_or_default();
            let documents = yaml::read(text.as_bytes()).unwrap_or_default();
            documents.first().map(yaml::Node::to_json).unwrap_or_default()
        };
        let mut settings = Self::default();
        let mut path: Vec<String> = (key == "mesh").then(|| "meshConfig".into()).into_iter().collect();
        settings.differences(&mut path, &read(live), &read(wanted));
        settings
    }

    fn differences(&mut self, path: &mut Vec<String>, before: &Value, after: &Value) {
        let none = Map::new();
        match (before, after) {
            (before, after) if before == after => {}
            (before, Value::Object(after)) => {
                let before = before.as_object().unwrap_or(&none);
                let gone = before.keys().filter(|key| !after.contains_key(*key));
                for key in after.keys().chain(gone) {
                    let side = |object: &Map<String, Value>| object.get(key).cloned().unwrap_or_default();
                    path.push(key.clone());
                    self.differences(path, &side(before), &side(after));
                    path.pop();
                }
            }
            // A text that is no mapping has no settings.
            (_, after) if !path.is_empty() => self.0.push((path.clone(), after.clone())),
            _ => {}
        }
    }

    /// As options of `helm upgrade`, and of `istioctl install` where all but the mesh's own begin with `prefix`.
    pub fn as_options(&self, prefix: &str) -> Option<String> {
        let option = |(path, value): &(Vec<String>, Value)| {
            let keys: Vec<String> = path.iter().map(|key| key.replace('.', r"\.")).collect();
            let prefix = if path[0] == "meshConfig" { "" } else { prefix };
            let (how, value) = match value {
                // A comma ends a value.
                Value::String(text) => ("--set", text.replace(',', r"\,")),
                Value::Array(_) | Value::Object(_) => ("--set-json", value.to_string()),
                value => ("--set", value.to_string()),
            };
            format!(" {how} {}", shell_word(&format!("{prefix}{}={value}", keys.join("."))))
        };
        let all: String = self.0.iter().map(option).collect();
        (!all.is_empty()).then_some(all)
    }

    /// As YAML of the chart's values, below the fields of `under`.
    pub fn as_values(&self, under: &[&str]) -> Option<String> {
        let mut values = Value::Null;
        for (path, value) in &self.0 {
            let under = under.iter().copied();
            let at = under.chain(path.iter().map(String::as_str));
            *at.fold(&mut values, |values, key| &mut values[key]) = value.clone();
        }
        (!self.0.is_empty()).then(|| yaml::write(&values))
    }
}
