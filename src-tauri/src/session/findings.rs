//! Findings of the checks for the windows.

use proxy_core::{
    lint,
    model::{ModelError, World},
    source::SourceError,
};

use super::View;
use crate::dto::{Finding, Level, ObjectRef};

/// What is wrong in a World, and in the documents that could not be taken into it.
pub fn findings(world: &World, errors: &[ModelError]) -> Vec<Finding> {
    errors
        .iter()
        .map(of_error)
        .chain(lint::check(world).into_iter().map(of_check))
        .collect()
}

/// What a check found.
fn of_check(found: lint::Finding) -> Finding {
    Finding {
        code: found.code.to_string(),
        level: match found.level {
            lint::Level::Error => Level::Error,
            lint::Level::Warning => Level::Warning,
            lint::Level::Info => Level::Info,
        },
        object: found.object.map(|object| ObjectRef {
            kind: object.kind,
            namespace: object.namespace,
            name: object.name,
            file: found.file.to_string(),
            line: found.line,
        }),
        field: found.field,
        file: found.file.to_string(),
        line: found.line,
        column: found.column,
        message: found.message,
        fix: found.fix,
    }
}

/// Findings of the folder as it is.
pub fn findings_of(view: &View) -> Vec<Finding> {
    let objects = view.reading.errors.iter().filter_map(|error| match error {
        SourceError::Object(error) => Some((**error).clone()),
        _ => None,
    });
    let mut found = findings(view.world(), &objects.collect::<Vec<_>>());
    found.extend(view.reading.errors.iter().filter_map(unread));
    found
}

/// A file that cannot be read at all.
fn unread(error: &SourceError) -> Option<Finding> {
    let (file, line, column, message) = match error {
        SourceError::Syntax { place, message } => (place.file.to_string(), place.line, place.column, message.clone()),
        SourceError::Unreadable { path, message } => (path.display().to_string(), 1, 1, message.clone()),
        SourceError::Object(_) => return None,
    };
    Some(Finding {
        code: "unreadable".into(),
        level: Level::Error,
        object: None,
        field: String::new(),
        file,
        line,
        column,
        message,
        fix: None,
    })
}

/// An object that Istio would refuse.
fn of_error(error: &ModelError) -> Finding {
    let (kind, namespace, name) = &error.object;
    Finding {
        code: "object".into(),
        level: Level::Error,
        object: (!name.is_empty()).then(|| ObjectRef {
            kind: kind.clone(),
            namespace: if namespace.is_empty() {
                "default".into()
            } else {
                namespace.clone()
            },
            name: name.clone(),
            file: error.place.file.to_string(),
            line: error.place.line,
        }),
        field: error.field.clone(),
        file: error.place.file.to_string(),
        line: error.place.line,
        column: error.place.column,
        message: error.message.clone(),
        fix: None,
    }
}
