//! What an edit sets, and what it is called.

use std::collections::BTreeSet;

use super::access_log;
use crate::{
    dto::{Edit, Fix, StagedEdit},
    fault::Fault,
    session::now,
};

/// True where one edit takes the place of the other.
pub fn same_target(a: &Edit, b: &Edit) -> bool {
    fn target(edit: &Edit) -> (u8, &str, &str) {
        match edit {
            Edit::Mode { scope, .. } => (0, scope, ""),
            Edit::Ranges { revision, .. } => (1, revision, ""),
            Edit::Capture { namespace, name, .. } => (9, namespace, name),
            Edit::AccessLog { scope, .. } => (4, scope, ""),
            Edit::Restore { file, .. } => (10, file, ""),
            Edit::Fix { namespace, name, .. } => (11, namespace, name),
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
    target(a) == target(b) && kind_of_fixed(a) == kind_of_fixed(b)
}

fn kind_of_fixed(edit: &Edit) -> Option<&str> {
    match edit {
        Edit::Fix { object, .. } => Some(object),
        _ => None,
    }
}

/// `edit` with what a staged one mends in the same object: each of them is meant for the object as it is.
pub fn joined(staged: &[StagedEdit], mut edit: Edit) -> Edit {
    let same = staged.iter().find(|other| same_target(&other.edit, &edit));
    let earlier = match same.map(|other| &other.edit) {
        Some(Edit::Fix { fixes, .. }) => fixes.as_slice(),
        _ => &[],
    };
    if let Edit::Fix { fixes, .. } = &mut edit {
        let is_other = |other: &&Fix| fixes.iter().all(|fix| fix.path != other.path);
        let others: Vec<Fix> = earlier.iter().filter(is_other).cloned().collect();
        fixes.splice(0..0, others);
    }
    edit
}

/// What stands against staging `edit`: an object is either mended or replaced, since a form shows it without the fixes.
pub fn clash(staged: &[StagedEdit], edit: &Edit) -> Option<Fault> {
    let (kind, namespace, name) = whole_object(edit)?;
    let is_fix = matches!(edit, Edit::Fix { .. });
    let other = staged.iter().find(|other| {
        whole_object(&other.edit) == Some((kind, namespace, name)) && matches!(other.edit, Edit::Fix { .. }) != is_fix
    })?;
    Some(
        Fault::new(
            "staged",
            format!(
                "{kind} {namespace}/{name} has another edit that waits: {}.",
                other.title
            ),
        )
        .hint("Apply it, or take it out of the change set, first."),
    )
}

/// The object that an edit mends, replaces or deletes.
fn whole_object(edit: &Edit) -> Option<(&str, &str, &str)> {
    match edit {
        Edit::Fix {
            object,
            namespace,
            name,
            ..
        } => Some((object, namespace, name)),
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
        } => Some((object.as_str(), namespace, name)),
        _ => None,
    }
}

/// An edit that never waits.
pub fn unstaged(edit: Edit) -> StagedEdit {
    StagedEdit {
        id: 0,
        title: title(&edit),
        edit,
        at: now(),
    }
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
        Edit::Fix {
            object,
            namespace,
            name,
            fixes,
        } => {
            let codes: BTreeSet<&str> = fixes.iter().map(|fix| fix.code.as_str()).collect();
            let codes: Vec<&str> = codes.into_iter().collect();
            format!("Fix {} in {object} {namespace}/{name}", codes.join(", "))
        }
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
