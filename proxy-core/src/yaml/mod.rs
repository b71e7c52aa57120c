//! YAML and JSON as a tree that knows where everything is written. Pure: text in, nodes or a placed error out.
//!
//! Policy files are read through this tree rather than into structs at once, because every error, every trace step and
//! every edit needs the line, the column and the bytes of what it talks about.

mod edit;
mod node;
mod patch;
mod reader;
mod verify;
mod write;

pub use edit::{EditError, Field, inside, quoted, set};
pub use node::{Node, Span, Style, Value};
pub use patch::{Change, patch};
pub use reader::{MAX_BYTES, YamlError, each, read};
pub use write::write;
