//! What a rule has to say.

use std::sync::Arc;

use serde::Serialize;

use super::istio;
use crate::{
    model::{ModelError, Object, Place},
    source::SourceError,
    yaml::Change,
};

/// Weight of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Info,
    /// Works otherwise than it reads.
    Warning,
    /// Istio would not take the object.
    Error,
}

/// The object that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingObject {
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Istio's code (`IST0101`) or our own (`EGR01`).
    pub code: &'static str,
    /// Weight.
    pub level: Level,
    /// The level that `istioctl analyze` gives it; absent for rules of our own.
    pub istio_level: Option<Level>,
    /// The object; absent where a file cannot be read.
    pub object: Option<FindingObject>,
    /// Field path, such as `spec.http[0].timeout`.
    pub field: String,
    /// File, relative to the folder.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// What is the matter.
    pub message: String,
    /// What to do.
    pub fix: Option<String>,
    /// The same as a change of the object, where there is one that surely is what is meant.
    pub patch: Option<Patch>,
}

/// One operation of a JSON Patch (RFC 6902): what `kubectl patch --type=json` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Patch {
    /// `add`, `replace` or `remove`.
    pub op: &'static str,
    /// JSON pointer of the field.
    pub path: String,
    /// The new value; absent where the field is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
}

impl Patch {
    /// As an edit of the object's text.
    pub fn change(&self) -> Change {
        self.value.clone().map_or(Change::Remove, Change::Put)
    }
}

/// Istio's code for what validation rejects.
pub(super) const REJECTED: &str = "IST0106";
/// Istio's code for what validation warns about.
pub(super) const WARNED: &str = "IST0133";
/// A file that cannot be read.
const UNREADABLE: &str = "EGR00";

/// A field path as a JSON pointer; the fields that are patched have no dots in their names.
pub(super) fn pointer(field: &str) -> String {
    format!("/{}", field.replace(['.', '['], "/").replace(']', ""))
}

/// The namespace of an object; a Namespace is in none.
pub(super) fn namespace_of<'n>(kind: &str, written: &'n str) -> &'n str {
    if kind == "Namespace" { "" } else { written }
}

/// Collects the findings of one object.
pub(super) struct Report<'f> {
    findings: &'f mut Vec<Finding>,
    subject: FindingObject,
    place: Place,
    /// Codes that the object's owner does not want to hear of, as for Istio's analyzer; `*` for all.
    suppressed: Vec<String>,
    /// The last finding was left out.
    left_out: bool,
}

/// Names the codes that are not reported about an object, with commas between them.
const SUPPRESS: &str = "galley.istio.io/analyze-suppress";

impl<'f> Report<'f> {
    pub fn new<T>(findings: &'f mut Vec<Finding>, kind: &str, object: &Object<T>) -> Self {
        Self {
            findings,
            subject: FindingObject {
                kind: kind.to_string(),
                namespace: namespace_of(kind, &object.meta.namespace).to_string(),
                name: object.meta.name.to_string(),
            },
            place: object.place.clone(),
            suppressed: object
                .meta
                .annotations
                .get(SUPPRESS)
                .map(|codes| codes.split(',').map(str::to_string).collect())
                .unwrap_or_default(),
            left_out: false,
        }
    }

    /// Istio rejects the object.
    pub fn rejected(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.add(REJECTED, Level::Error, field, message, None);
    }

    /// Istio takes the object with a warning.
    pub fn warned(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.add(WARNED, Level::Warning, field, message, None);
    }

    /// What Istio's analyzer says, by its code.
    pub fn analyzed(
        &mut self,
        code: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
        fix: Option<String>,
    ) {
        // Error is for what is not taken.
        let level = istio::level(code).map_or(Level::Warning, |level| level.min(Level::Warning));
        self.add(code, level, field, message, fix);
    }

    /// A finding with its remedy.
    pub fn add(
        &mut self,
        code: &'static str,
        level: Level,
        field: impl Into<String>,
        message: impl Into<String>,
        fix: Option<String>,
    ) {
        let unwanted = |known: &String| known == "*" || known == code;
        self.left_out = level != Level::Error && self.suppressed.iter().any(unwanted);
        if self.left_out {
            return;
        }
        self.findings.push(Finding {
            code,
            level,
            istio_level: istio::level(code),
            object: Some(self.subject.clone()),
            field: field.into(),
            file: self.place.file.clone(),
            line: self.place.line,
            column: self.place.column,
            message: message.into(),
            fix,
            patch: None,
        });
    }

    /// The last finding is mended by setting the field at `path` to `value`, or by removing it.
    pub fn patch(&mut self, op: &'static str, path: impl Into<String>, value: Option<serde_json::Value>) {
        if let Some(finding) = self.findings.last_mut().filter(|_| !self.left_out) {
            finding.patch = Some(Patch {
                op,
                path: path.into(),
                value,
            });
        }
    }

    /// The last finding stands at `line`.
    pub fn at(&mut self, line: u32) {
        if let Some(finding) = self.findings.last_mut().filter(|_| line > 0 && !self.left_out) {
            finding.line = line;
            finding.column = 1;
        }
    }
}

impl From<&ModelError> for Finding {
    fn from(error: &ModelError) -> Self {
        let (kind, namespace, name) = error.object.clone();
        Self {
            code: REJECTED,
            level: Level::Error,
            istio_level: istio::level(REJECTED),
            object: (!kind.is_empty()).then_some(FindingObject { kind, namespace, name }),
            field: error.field.clone(),
            file: error.place.file.clone(),
            line: error.place.line,
            column: error.place.column,
            message: error.message.clone(),
            fix: None,
            patch: None,
        }
    }
}

impl From<&SourceError> for Finding {
    fn from(error: &SourceError) -> Self {
        let (place, message) = match error {
            SourceError::Object(error) => return Self::from(&**error),
            SourceError::Syntax { place, message } => (place.clone(), message.clone()),
            SourceError::Unreadable { path, message } => (
                Place {
                    file: path.to_string_lossy().into(),
                    line: 1,
                    column: 1,
                },
                message.clone(),
            ),
            SourceError::Incomplete(path) => (
                Place {
                    file: path.to_string_lossy().into(),
                    line: 1,
                    column: 1,
                },
                "its parts are not all of one version".into(),
            ),
        };
        Self {
            code: UNREADABLE,
            level: Level::Error,
            istio_level: None,
            object: None,
            field: String::new(),
            file: place.file,
            line: place.line,
            column: place.column,
            message,
            fix: None,
            patch: None,
        }
    }
}
