//! The one shape in which anything that fails reaches the window: a stable code to act on, a message that names the
//! object, file or field, a hint what to do, and the place where it is written.

use proxy_core::{model::ModelError, source::SourceError};
use serde::Serialize;
use ts_rs::TS;

use crate::dto::Place;

/// What every command returns when it fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, TS)]
#[error("{message}")]
pub struct Fault {
    /// Stable word for the kind of failure.
    pub code: String,
    /// What failed, with the names in it.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where it is written.
    pub at: Option<Place>,
    /// What single fields were refused for. A review makes findings of them; the window needs no second way.
    #[serde(skip)]
    #[ts(skip)]
    pub causes: Box<[Cause]>,
}

/// Why an object was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The file that stands for the object.
    pub file: String,
    /// The field, such as `spec.ports[0].name`; empty where it is the whole object.
    pub field: String,
    /// In the words of who refused it.
    pub message: String,
}

/// What commands and the modules behind them return.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    /// A fault of kind `code`.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_string(),
            message: message.into(),
            hint: None,
            at: None,
            causes: Box::default(),
        }
    }

    /// With advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With more advice, behind what there is.
    pub fn also(self, more: &str) -> Self {
        let hint = match &self.hint {
            Some(hint) => format!("{hint} {more}"),
            None => more.to_string(),
        };
        self.hint(hint)
    }

    /// With a place.
    pub fn at(mut self, place: Place) -> Self {
        self.at = Some(place);
        self
    }

    /// Message and advice in one text.
    pub fn told(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{} {hint}", self.message),
            None => self.message.clone(),
        }
    }

    /// Input from the window that no screen would send.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new("input", message)
    }

    /// A file or folder that cannot be read or written.
    pub fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new("file", format!("Cannot {doing} {}: {error}", path.display()))
    }
}

impl From<&ModelError> for Fault {
    fn from(error: &ModelError) -> Self {
        let (kind, namespace, name) = &error.object;
        Self::new(
            "object",
            format!("{kind} {namespace}/{name}: {}: {}", error.field, error.message),
        )
        .hint("The last good version of this file stays in force until it is mended.")
        .at(Place::from(&error.place))
    }
}

impl From<&SourceError> for Fault {
    fn from(error: &SourceError) -> Self {
        match error {
            SourceError::Syntax { place, message } => Self::new("syntax", message.clone())
                .hint("The last good version of this file stays in force until it is mended.")
                .at(Place::from(place)),
            SourceError::Object(error) => Self::from(&**error),
            SourceError::Unreadable { path, message } => {
                Self::new("unreadable", format!("Cannot read {}: {message}", path.display()))
            }
            SourceError::Incomplete(_) => Self::new("unreadable", format!("{error}.")),
        }
    }
}
