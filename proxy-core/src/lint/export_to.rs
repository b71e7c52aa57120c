//! `exportTo`, which three kinds have.

use super::{finding::Report, hosts::is_label};

/// Istio's rules for `exportTo` of an object in `namespace`.
pub(super) fn check(report: &mut Report<'_>, export_to: &[String], namespace: &str, none_allowed: bool) {
    let full = |entry: &String| {
        if entry == "." {
            namespace.to_string()
        } else {
            entry.clone()
        }
    };
    for (index, entry) in export_to.iter().enumerate() {
        let field = format!("spec.exportTo[{index}]");
        if export_to[..index].iter().any(|earlier| full(earlier) == full(entry)) {
            report.rejected(
                &field,
                format!("duplicate entries in exportTo for entry {}", full(entry)),
            );
        }
        match entry.as_str() {
            "." | "*" => {}
            "~" if none_allowed => {}
            other if is_label(other) => {}
            other => report.rejected(
                &field,
                format!("invalid value {other:?} in exportTo; expected `.`, `*` or the name of a namespace"),
            ),
        }
    }
    let has = |value: &str| export_to.iter().any(|entry| entry == value);
    if export_to.len() > 1 && has("*") {
        report.rejected(
            "spec.exportTo",
            "cannot have both public (*) and non-public exportTo values for a resource",
        );
    }
    if export_to.len() > 1 && has("~") {
        report.rejected("spec.exportTo", "cannot export service entry to no one (~) and someone");
    }
}
