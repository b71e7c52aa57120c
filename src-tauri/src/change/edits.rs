//! What an edit sets, and what it is called.

use super::access_log;
use crate::dto::Edit;

/// True where one edit takes the place of the other.
pub fn same_target(a: &Edit, b: &Edit) -> bool {
    fn target(edit: &Edit) -> (u8, &str, &str) {
        match edit {
            Edit::Mode { scope, .. } => (0, scope, ""),
            Edit::Ranges { revision, .. } => (1, revision, ""),
            Edit::Capture { namespace, name, .. } => (9, namespace, name),
            Edit::AccessLog { scope, .. } => (4, scope, ""),
            Edit::Restore { file, .. } => (10, file, ""),
            Edit::Put {
                object,
                namespace,
                name,
                ..
            }
            | Edit::Delete {
                object,
                namespace,
                name,
            } => (2 + *object as u8, namespace, name),
        }
    }
    target(a) == target(b)
}

/// What an edit is called.
pub fn title(edit: &Edit) -> String {
    match edit {
        Edit::Mode { scope, mode } => format!("Mode {} for {scope}", proxy_core::model::OutboundMode::from(*mode)),
        Edit::Put {
            object,
            namespace,
            name,
            ..
        } => format!("{} {namespace}/{name}", object.as_str()),
        Edit::Delete {
            object,
            namespace,
            name,
        } => format!("Delete {} {namespace}/{name}", object.as_str()),
        Edit::Capture { namespace, name, .. } => format!("Own capture rules for {namespace}/{name}"),
        Edit::Restore { file, text: Some(_) } => format!("Back to what it was: {file}"),
        Edit::Restore { file, text: None } => format!("Remove {file}"),
        Edit::AccessLog { scope, on, until } => access_log::title(scope, *on, until.as_deref()),
        Edit::Ranges {
            revision,
            exclude_ranges,
            exclude_ports,
            ..
        } => {
            let what = match (exclude_ranges.as_str(), exclude_ports.as_str()) {
                ("", "") => "Bypass nothing".into(),
                (ranges, "") => format!("Bypass {ranges}"),
                ("", ports) => format!("Bypass ports {ports}"),
                (ranges, ports) => format!("Bypass {ranges} and ports {ports}"),
            };
            match revision.as_str() {
                "" => what,
                revision => format!("{what} in revision {revision}"),
            }
        }
    }
}
