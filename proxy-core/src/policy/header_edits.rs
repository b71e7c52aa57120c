//! Edits of header lines, compiled. Source: Istio's `TranslateHeadersOperations`, and Envoy's header parser: names are
//! removed first, then lines are overwritten, then added; values are made before any of it.

use std::fmt::{self, Write as _};

use super::DateFormat;
use crate::model::{HeaderOperations, Headers, Written, command_operators};

/// Edits of the header lines of a request or a response, in the order in which they are made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderEdits {
    /// Names whose lines go.
    pub remove: Vec<String>,
    /// Lines that take the place of those with their name.
    pub set: Vec<(String, Template)>,
    /// Lines that come beside those with their name.
    pub add: Vec<(String, Template)>,
}

/// A header's value: text, with command operators in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// As it is written.
    pub written: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Value(Value),
}

/// What an operator stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A line of the request, or where it is missing of the other name. Pseudo headers count.
    Request(String, Option<String>),
    /// A line of the response.
    Response(String, Option<String>),
    /// The version that the caller speaks.
    Protocol,
    /// The caller's address.
    Source,
    /// The same without its port.
    SourceAddress,
    /// The original destination.
    Destination,
    /// The same without its port.
    DestinationAddress,
    /// Its port.
    DestinationPort,
    /// The upstream's address.
    Upstream,
    /// The cluster.
    Cluster,
    /// The route's name.
    Route,
    /// The response's status; 0 before there is one.
    Status,
    /// When the request began.
    Start(DateFormat),
    /// The name of the machine that the sidecar runs on: in a cluster, of the pod.
    Hostname,
    /// An operator that this engine does not know, as it is written.
    Unknown(String),
}

/// Gives the values of one request and its response.
pub trait Values {
    /// Writes a value; nothing where there is none.
    fn write(&self, value: &Value, text: &mut String);
}

impl HeaderEdits {
    /// Istio leaves out what would touch the Host or a pseudo header: that is a rewrite of the authority.
    pub(super) fn of(operations: &HeaderOperations) -> Self {
        let edited = |name: &str| !name.starts_with(':') && !name.eq_ignore_ascii_case("host");
        let values = |values: &std::collections::BTreeMap<String, String>| {
            let edited = values.iter().filter(|(name, _)| edited(name));
            edited
                .map(|(name, value)| (name.clone(), Template::of(value)))
                .collect()
        };
        Self {
            remove: operations.remove.iter().filter(|name| edited(name)).cloned().collect(),
            set: values(&operations.set),
            add: values(&operations.add),
        }
    }

    /// Adds those of a route's only destination behind the route's own.
    pub(super) fn append(&mut self, other: Self) {
        self.remove.extend(other.remove);
        self.set.extend(other.set);
        self.add.extend(other.add);
    }

    /// True where nothing is edited.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// True where a value depends on the request or its response.
    pub fn has_operators(&self) -> bool {
        let mut parts = self.set.iter().chain(&self.add).flat_map(|(_, value)| &value.parts);
        parts.any(|part| matches!(part, Part::Value(_)))
    }

    /// Operators that this engine does not know.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &str> {
        let parts = self.set.iter().chain(&self.add).flat_map(|(_, value)| &value.parts);
        parts.filter_map(|part| match part {
            Part::Value(Value::Unknown(operator)) => Some(operator.as_str()),
            _ => None,
        })
    }
}

/// Operators in the values of `headers` that this engine does not know.
pub fn unknown_operators(headers: &Headers) -> Vec<String> {
    let edits = [&headers.request, &headers.response].map(HeaderEdits::of);
    edits
        .iter()
        .flat_map(HeaderEdits::unknown)
        .map(str::to_string)
        .collect()
}

impl fmt::Display for HeaderEdits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut edits: Vec<String> = self.remove.iter().map(|name| format!("{name} removed")).collect();
        let lines = |verb, lines: &[(String, Template)]| {
            let line = |(name, value): &(String, Template)| format!("{name} {verb} to {:?}", value.written);
            lines.iter().map(line).collect::<Vec<_>>()
        };
        edits.extend(lines("set", &self.set));
        edits.extend(
            self.add
                .iter()
                .map(|(name, value)| format!("{name} {:?} added", value.written)),
        );
        f.write_str(&edits.join(", "))
    }
}

impl Template {
    /// A value that was found well-formed when it was read; another one stands for itself.
    fn of(written: &str) -> Self {
        let parts = match command_operators(written) {
            Ok(parts) => parts.into_iter().map(Part::of).collect(),
            Err(_) => vec![Part::Literal(written.to_string())],
        };
        Self {
            written: written.to_string(),
            parts,
        }
    }

    /// The value for one request; Envoy makes no line of an empty one.
    pub fn render(&self, values: &impl Values) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Value(value) => values.write(value, &mut text),
            }
        }
        text
    }
}

impl Part {
    fn of(written: Written<'_>) -> Self {
        let operator = match written {
            Written::Literal(text) => return Self::Literal(text.to_string()),
            Written::Operator(operator) => operator,
        };
        // `X?Y` takes Y where there is no X.
        let names = || match operator.argument.split_once('?') {
            Some((name, other)) => (name.to_ascii_lowercase(), Some(other.to_ascii_lowercase())),
            None => (operator.argument.to_ascii_lowercase(), None),
        };
        let value = match operator.name {
            "REQ" => {
                let (name, other) = names();
                Value::Request(name, other)
            }
            "RESP" => {
                let (name, other) = names();
                Value::Response(name, other)
            }
            "PROTOCOL" => Value::Protocol,
            "DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Value::Source,
            "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => {
                Value::SourceAddress
            }
            "DOWNSTREAM_LOCAL_ADDRESS" => Value::Destination,
            "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Value::DestinationAddress,
            "DOWNSTREAM_LOCAL_PORT" => Value::DestinationPort,
            "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" => Value::Upstream,
            "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => Value::Cluster,
            "ROUTE_NAME" => Value::Route,
            "RESPONSE_CODE" => Value::Status,
            "START_TIME" => Value::Start(DateFormat::of(operator.argument)),
            "HOSTNAME" => Value::Hostname,
            name => {
                let mut unknown = format!("%{name}");
                if !operator.argument.is_empty() {
                    // Writing to a String cannot fail.
                    let _ = write!(unknown, "({})", operator.argument);
                }
                unknown.push('%');
                Value::Unknown(unknown)
            }
        };
        Self::Value(value)
    }
}
