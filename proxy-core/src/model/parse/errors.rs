//! What is wrong with one object, as it is found while it is read.

use std::{cell::RefCell, sync::Arc};

use super::ModelError;
use crate::{model::Place, yaml::Node};

/// Collects the errors of one object.
pub struct Errors<'a> {
    file: &'a Arc<str>,
    object: (String, String, String),
    found: RefCell<Vec<ModelError>>,
    /// Added to every line: where the text being read stands inside a block scalar of an outer file.
    outer: Option<Span>,
}

/// Where an inner text stands in its outer file: lines before it, and the column its lines start after.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub lines: u32,
    pub columns: u32,
    pub prefix: &'static str,
}

impl<'a> Errors<'a> {
    pub fn new(document: &Node, file: &'a Arc<str>, kind: &str) -> Self {
        let metadata = document.get("metadata");
        let text = |key| {
            metadata
                .and_then(|node| node.get(key))
                .and_then(Node::text)
                .unwrap_or_default()
                .to_string()
        };
        Self {
            file,
            object: (kind.to_string(), text("namespace"), text("name")),
            found: Default::default(),
            outer: None,
        }
    }

    /// Errors of a text inside a block scalar of the same object.
    pub fn inside(&self, outer: Span) -> Self {
        Self {
            file: self.file,
            object: self.object.clone(),
            found: Default::default(),
            outer: Some(outer),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    pub fn take(self) -> Vec<ModelError> {
        self.found.into_inner()
    }

    /// Moves the errors of an inner text here.
    pub fn absorb(&self, inner: Errors<'_>) {
        self.found.borrow_mut().extend(inner.take());
    }

    pub fn push(&self, line: u32, column: u32, field: String, message: String) {
        let (line, column, field) = match self.outer {
            Some(outer) if field.is_empty() => (line + outer.lines, column + outer.columns, outer.prefix.to_string()),
            Some(outer) => (
                line + outer.lines,
                column + outer.columns,
                format!("{}.{field}", outer.prefix),
            ),
            None => (line, column, field),
        };
        let place = Place {
            file: self.file.clone(),
            line,
            column,
        };
        self.found.borrow_mut().push(ModelError {
            object: self.object.clone(),
            place,
            field,
            message,
        });
    }
}
