//! Reads a draft's document with the model, as the folder's files are read.

use std::sync::Arc;

use proxy_core::{
    model::{self, World},
    yaml,
};

use crate::{
    dto::{DraftKind, Place},
    fault::Fault,
};

/// What a draft's findings and errors name as their file.
pub const FILE: &str = "draft";

/// The World of the one document in `text`, or why it cannot be taken. Lines count within the document.
pub fn read(kind: DraftKind, text: &str) -> Result<World, Fault> {
    let documents = yaml::read(text.as_bytes()).map_err(|error| {
        Fault::new("syntax", error.message).at(Place {
            file: FILE.into(),
            line: error.line,
            column: error.column,
        })
    })?;
    let [document] = documents.as_slice() else {
        return Err(Fault::new(
            "object",
            format!("Expected one document with a {}.", kind.as_str()),
        ));
    };
    let found = document.get("kind").and_then(yaml::Node::text).unwrap_or_default();
    if found != kind.as_str() {
        return Err(Fault::new(
            "object",
            format!("Expected kind {}, found {found:?}.", kind.as_str()),
        ));
    }
    let (mut world, mut errors, mut order) = (World::default(), Vec::new(), 0);
    let file: Arc<str> = FILE.into();
    model::add_document(document, &file, &mut order, &mut world, &mut errors);
    match errors.first() {
        Some(error) => Err(Fault {
            hint: None,
            ..Fault::from(error)
        }),
        None => Ok(world),
    }
}

/// Sets a field where it does not say this already.
pub fn set(text: &str, path: &[&str], field: &yaml::Field, same: bool) -> Result<String, Fault> {
    if same {
        return Ok(text.to_string());
    }
    yaml::set(text, path, field)
        .map_err(|error| Fault::new("edit", error.to_string()).hint("Change it in the YAML view."))
}
