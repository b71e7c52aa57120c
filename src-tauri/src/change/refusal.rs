//! What a place refused of a change set, as findings at the lines of the text that is staged.

use proxy_core::{
    lint::{Finding, FindingObject, Level},
    yaml::{self, Node},
};

use super::write::FileEdit;
use crate::fault::{Cause, Fault};

/// Code of the findings.
const REFUSED: &str = "REFUSED";

/// A cause, and the text that it is about: said of that one only.
#[derive(Debug, Clone)]
pub struct Refused {
    cause: Cause,
    text: Option<Vec<u8>>,
}

impl Refused {
    /// What `fault` says of `files`.
    pub fn of(fault: &Fault, files: &[FileEdit]) -> Vec<Self> {
        let about = |cause: &Cause| {
            let edit = files.iter().find(|edit| edit.file == cause.file)?;
            Some(Self {
                cause: cause.clone(),
                text: edit.after.clone(),
            })
        };
        fault.causes.iter().filter_map(about).collect()
    }

    /// True while one of `files` says what was refused.
    pub fn holds(&self, files: &[FileEdit]) -> bool {
        files
            .iter()
            .any(|edit| edit.file == self.cause.file && edit.after == self.text)
    }

    /// As a finding at the object; `lint::locate` puts it at the field.
    pub fn finding(&self) -> Finding {
        let documents = yaml::read(self.text.as_deref().unwrap_or_default()).unwrap_or_default();
        // A place that refuses has a file for each object.
        let object = documents.first();
        Finding {
            code: REFUSED,
            level: Level::Error,
            istio_level: None,
            object: object.and_then(named),
            field: self.cause.field.clone(),
            file: self.cause.file.as_str().into(),
            line: object.map_or(1, |object| object.span.line),
            column: 1,
            message: self.cause.message.clone(),
            fix: None,
            patch: None,
        }
    }
}

fn named(object: &Node) -> Option<FindingObject> {
    let metadata = object.get("metadata")?;
    let text = |node: &Node, key| node.get(key).and_then(Node::text).map(str::to_string);
    Some(FindingObject {
        kind: text(object, "kind")?,
        namespace: text(metadata, "namespace").unwrap_or_else(|| "default".into()),
        name: text(metadata, "name")?,
    })
}
