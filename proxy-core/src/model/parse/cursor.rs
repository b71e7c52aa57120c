//! A node with its way from the root, so that errors can name the field without a path being built for every node.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;

use super::errors::Errors;
use crate::{
    model::Labels,
    yaml::{Node, Value},
};

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

/// A node, the step that led to it, and where that step was made.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    pub node: &'a Node,
    parent: Option<&'a Cursor<'a>>,
    step: Step<'a>,
    errors: &'a Errors<'a>,
}

/// Reading a field never fails loudly: a wrong value is recorded as an error and read as absent.
impl<'a> Cursor<'a> {
    pub fn root(node: &'a Node, errors: &'a Errors<'a>) -> Self {
        Self {
            node,
            parent: None,
            step: Step::Root,
            errors,
        }
    }

    pub fn errors(&self) -> &'a Errors<'a> {
        self.errors
    }

    pub fn line(&self) -> u32 {
        self.node.span.line
    }

    fn path(&self) -> String {
        let parent = self.parent.map(Cursor::path).unwrap_or_default();
        match self.step {
            Step::Root => parent,
            Step::Key(key) if parent.is_empty() => key.to_string(),
            Step::Key(key) => format!("{parent}.{key}"),
            Step::Index(index) => format!("{parent}[{index}]"),
        }
    }

    /// Records an error at this node.
    pub fn error(&self, message: impl Into<String>) {
        self.errors
            .push(self.node.span.line, self.node.span.column, self.path(), message.into());
    }

    /// Records an error at the field `key`, or at this node where the field is missing.
    pub fn error_at(&self, key: &str, message: impl Into<String>) {
        match self.node.get(key) {
            Some(node) => Cursor {
                node,
                parent: Some(self),
                step: Step::Key(key),
                errors: self.errors,
            }
            .error(message),
            None => self.error(message),
        }
    }

    /// Runs `read` on the field `key` where it is present and not null.
    pub fn field<T>(&self, key: &str, read: impl FnOnce(Cursor<'_>) -> Option<T>) -> Option<T> {
        let node = self.node.get(key).filter(|node| !node.is_null())?;
        read(Cursor {
            node,
            parent: Some(self),
            step: Step::Key(key),
            errors: self.errors,
        })
    }

    /// True where `key` is present and not null.
    pub fn has(&self, key: &str) -> bool {
        self.node.get(key).is_some_and(|node| !node.is_null())
    }

    /// Line of the field `key`, 0 where it is absent.
    pub fn line_of(&self, key: &str) -> u32 {
        self.node.get(key).map_or(0, |node| node.span.line)
    }

    /// A mapping below `key`; the cursor borrows this one.
    pub fn mapping<'b>(&'b self, key: &'b str) -> Option<Cursor<'b>>
    where
        'a: 'b,
    {
        let node = self.node.get(key).filter(|node| !node.is_null())?;
        let cursor = Cursor {
            node,
            parent: Some(self),
            step: Step::Key(key),
            errors: self.errors,
        };
        if !matches!(node.value, Value::Mapping(_)) {
            cursor.error(format!("expected a mapping, found {}", node.describe()));
            return None;
        }
        Some(cursor)
    }

    /// The items of a list below `key`, each read by `read`.
    pub fn list<T>(&self, key: &str, mut read: impl FnMut(Cursor<'_>) -> Option<T>) -> Vec<T> {
        self.field(key, |list| match &list.node.value {
            Value::Sequence(items) => {
                let read = items.iter().enumerate().filter_map(|(index, node)| {
                    read(Cursor {
                        node,
                        parent: Some(&list),
                        step: Step::Index(index),
                        errors: list.errors,
                    })
                });
                let mut found: Vec<T> = read.collect();
                // There may be very many objects, with lists of one item each.
                found.shrink_to_fit();
                Some(found)
            }
            _ => {
                list.error(format!("expected a list, found {}", list.node.describe()));
                None
            }
        })
        .unwrap_or_default()
    }

    /// The items of a list of mappings below `key`, each read by `read`.
    pub fn mappings<T>(&self, key: &str, mut read: impl FnMut(Cursor<'_>) -> Option<T>) -> Vec<T> {
        self.list(key, |item| {
            if !matches!(item.node.value, Value::Mapping(_)) {
                item.error(format!("expected a mapping, found {}", item.node.describe()));
                return None;
            }
            read(item)
        })
    }

    /// The pairs of a mapping below `key`, each value read by `read`.
    pub fn pairs<T>(&self, key: &str, mut read: impl FnMut(&str, Cursor<'_>) -> Option<T>) -> Vec<(String, T)> {
        self.field(key, |map| match &map.node.value {
            Value::Mapping(entries) => Some(
                entries
                    .iter()
                    .filter_map(|(key, node)| {
                        let name = key.text()?;
                        let cursor = Cursor {
                            node,
                            parent: Some(&map),
                            step: Step::Key(name),
                            errors: map.errors,
                        };
                        Some((name.to_string(), read(name, cursor)?))
                    })
                    .collect(),
            ),
            _ => {
                map.error(format!("expected a mapping, found {}", map.node.describe()));
                None
            }
        })
        .unwrap_or_default()
    }

    /// This node as text.
    pub fn as_text(&self) -> Option<&'a str> {
        self.text_of(self.node)
    }

    /// A text below `key`.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        let node = self.node.get(key).filter(|node| !node.is_null())?;
        Cursor {
            node,
            parent: Some(self),
            step: Step::Key(key),
            errors: self.errors,
        }
        .text_of(node)
    }

    // The node is given beside the cursor because it outlives it: the text may be kept, the cursor not.
    fn text_of<'n>(&self, node: &'n Node) -> Option<&'n str> {
        let text = node.as_str();
        if text.is_none() {
            self.error(format!("expected a text, found {}; put it in quotes", node.describe()));
        }
        text
    }

    /// A list of texts below `key`.
    pub fn texts(&self, key: &str) -> Vec<String> {
        self.list(key, |item| item.as_text().map(str::to_string))
    }

    /// A map of texts below `key`.
    pub fn labels(&self, key: &str) -> Labels {
        self.pairs(key, |_, value| value.as_text().map(str::to_string))
            .into_iter()
            .collect()
    }

    /// A boolean below `key`.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        self.field(key, |value| {
            let boolean = value.node.as_bool();
            if boolean.is_none() {
                value.error(format!("expected true or false, found {}", value.node.describe()));
            }
            boolean
        })
    }

    /// This node as a port number.
    pub fn as_port(&self) -> Option<u16> {
        let port = self
            .node
            .as_integer()
            .and_then(|number| u16::try_from(number).ok())
            .filter(|port| *port > 0);
        if port.is_none() {
            self.error("expected a port number from 1 to 65535");
        }
        port
    }

    /// A port number below `key`.
    pub fn port(&self, key: &str) -> Option<u16> {
        self.field(key, |value| value.as_port())
    }

    /// A port number below `key`, where 0 stands for none.
    pub fn any_port(&self, key: &str) -> Option<u16> {
        let number = self.count(key)?;
        let port = u16::try_from(number);
        if port.is_err() {
            self.error_at(key, "expected a port number from 1 to 65535");
        }
        port.ok().filter(|port| *port > 0)
    }

    /// A text below `key` that is not empty.
    pub fn some_text(&self, key: &str) -> Option<&'a str> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// A number below `key`.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.field(key, |value| {
            let number = value.node.as_number();
            if number.is_none() {
                value.error(format!("expected a number, found {}", value.node.describe()));
            }
            number
        })
    }

    /// A whole number from 0 below `key`.
    pub fn count(&self, key: &str) -> Option<u32> {
        self.field(key, |value| value.as_count())
    }

    /// This node as a whole number from 0.
    pub fn as_count(&self) -> Option<u32> {
        let number = self.node.as_integer().and_then(|number| u32::try_from(number).ok());
        if number.is_none() {
            self.error("expected a whole number, 0 or more");
        }
        number
    }

    /// A whole number below `key`, of the size that protobuf calls int32.
    pub fn integer(&self, key: &str) -> Option<i32> {
        self.field(key, |value| {
            let number = value.node.as_integer().and_then(|number| i32::try_from(number).ok());
            if number.is_none() {
                value.error("expected a whole number");
            }
            number
        })
    }

    /// A duration below `key`, which may be zero.
    pub fn any_duration(&self, key: &str) -> Option<Duration> {
        self.field(key, |value| {
            let parsed = value.node.as_str().and_then(parse_duration);
            if parsed.is_none() {
                value.error("expected a duration such as 3s, 500ms or 1m30s");
            }
            parsed
        })
    }

    /// A duration of at least 1 ms below `key` (Istio rejects `0s`: to disable, leave the field out).
    pub fn duration(&self, key: &str) -> Option<Duration> {
        self.field(key, |value| {
            let parsed = value.node.as_str().and_then(parse_duration);
            match parsed {
                None => value.error("expected a duration such as 3s, 500ms or 1m30s"),
                Some(duration) if duration < Duration::from_millis(1) => {
                    value.error("must be a valid duration greater than 1ms; to disable it, leave the field out");
                    return None;
                }
                Some(duration) if duration.subsec_nanos() % 1_000_000 != 0 => {
                    value.error("only durations to ms precision are supported");
                    return None;
                }
                Some(_) => {}
            }
            parsed
        })
    }

    /// This node as an address or a range; a bare address is a full-length prefix.
    pub fn as_range(&self) -> Option<IpNet> {
        let text = self.node.as_str().unwrap_or_default();
        let range = text
            .parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        if range.is_none() {
            let what = if text.contains('/') { "CIDR block" } else { "IP" };
            self.error(format!(
                "{text} is not a valid {what}; write an address or a range such as 10.0.0.0/8"
            ));
        }
        range
    }
}

/// Go's durations, which Istio's decoder takes: a sequence of decimal numbers with units.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanos = 0f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..unit_end] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        nanos += number * unit;
        rest = &rest[unit_end..];
    }
    // Go's durations end at about 292 years.
    (nanos < 9.2e18).then(|| Duration::from_nanos(nanos.round() as u64))
}
