//! The tree: nodes with their place.

/// Where a node stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Line of the first character, from 1.
    pub line: u32,
    /// Column of the first character, from 1.
    pub column: u32,
    /// Byte offset of the first character.
    pub start: usize,
    /// Byte offset behind the last character.
    pub end: usize,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: may mean a number, a boolean or null.
    Plain,
    /// In single or double quotes: always text.
    Quoted,
    /// A literal (`|`) or folded (`>`) block: always text.
    Block,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A scalar as written, unescaped.
    Scalar(Box<str>, Style),
    /// A list.
    Sequence(Vec<Node>),
    /// Key and value pairs in their order.
    Mapping(Vec<(Node, Node)>),
}

/// A node of the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its place.
    pub span: Span,
    /// Its content.
    pub value: Value,
}

impl Node {
    /// The value of `key` in a mapping; the last one counts where a key stands twice.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .rev()
            .find(|(k, _)| k.text() == Some(key))
            .map(|(_, value)| value)
    }

    /// The pairs of a mapping, none for other nodes.
    pub fn entries(&self) -> &[(Node, Node)] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list, none for other nodes.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The text of a scalar, whatever it might mean.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// True for a plain scalar that means null.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(text, Style::Plain) if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// A text value: quoted, block, or plain that means neither number, boolean nor null.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, Style::Plain) => {
                (!self.is_null() && self.as_bool().is_none() && self.as_number().is_none()).then_some(text)
            }
            Value::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// A boolean, by YAML 1.2's core schema.
    pub fn as_bool(&self) -> Option<bool> {
        match &self.value {
            Value::Scalar(text, Style::Plain) => match &**text {
                "true" | "True" | "TRUE" => Some(true),
                "false" | "False" | "FALSE" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// A whole number written plainly.
    pub fn as_integer(&self) -> Option<i64> {
        match &self.value {
            Value::Scalar(text, Style::Plain) => text.parse().ok(),
            _ => None,
        }
    }

    /// A number.
    pub fn as_number(&self) -> Option<f64> {
        match &self.value {
            Value::Scalar(text, Style::Plain)
                if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) =>
            {
                text.parse().ok()
            }
            _ => None,
        }
    }

    /// What the node is, for messages.
    pub fn describe(&self) -> &'static str {
        match &self.value {
            Value::Mapping(_) => "a mapping",
            Value::Sequence(_) => "a list",
            Value::Scalar(..) if self.is_null() => "nothing",
            Value::Scalar(..) if self.as_bool().is_some() => "a boolean",
            Value::Scalar(..) if self.as_number().is_some() => "a number",
            Value::Scalar(..) => "a text",
        }
    }
}
