//! Host names and labels as Istio's validation sees them.

use super::finding::Report;
use crate::model::Labels;

/// Longest name that is taken.
const MAX_NAME: usize = 255;

/// Longest label, of a name and as a value.
const MAX_LABEL: usize = 63;

/// A DNS-1123 label; upper case is allowed, as in Istio.
pub(super) fn is_label(text: &str) -> bool {
    (1..=MAX_LABEL).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Labels with dots between them; the last one is no number, and may be empty.
fn are_labels(text: &str) -> bool {
    let (rest, last) = text.rsplit_once('.').unwrap_or(("", text));
    let whole = if last.is_empty() && text.contains('.') {
        rest
    } else {
        text
    };
    last.parse::<i64>().is_err() && whole.split('.').all(is_label)
}

/// A DNS name without a wildcard.
pub(super) fn is_domain(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && are_labels(text)
}

/// A DNS name whose first label may be a wildcard, `*` or (with a warning) `*-api`.
pub(super) fn is_wildcard_domain(text: &str) -> bool {
    let (first, rest) = match text.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (text, None),
    };
    let without_star = |label: &str| {
        let label = label.strip_prefix('*').unwrap_or(label);
        is_label(label)
            || label
                .strip_prefix('-')
                .is_some_and(|label| first.starts_with('*') && is_label(label))
    };
    (1..=MAX_NAME).contains(&text.len())
        && (first == "*" || first.len() <= MAX_LABEL && without_star(first))
        && rest.is_none_or(|rest| rest.is_empty() || are_labels(rest))
}

/// A wildcard that is not a whole label: Istio's warning.
pub(super) fn is_partial_wildcard(text: &str) -> bool {
    text.starts_with('*') && !text.starts_with("*.") && text != "*"
}

/// Reports labels that Kubernetes would not take for a pod's.
pub(super) fn labels(report: &mut Report<'_>, field: &str, labels: &Labels) {
    for (key, value) in labels {
        let (prefix, name) = match key.rsplit_once('/') {
            Some((prefix, name)) => (Some(prefix), name),
            None => (None, key.as_str()),
        };
        let good = prefix.is_none_or(|prefix| prefix.len() <= 253 && prefix.split('.').all(is_label));
        if !good || !is_qualified(name) || name.len() > MAX_LABEL {
            report.rejected(field, format!("invalid tag key: {key:?}"));
        }
        if !value.is_empty() && !is_qualified(value) {
            report.rejected(field, format!("invalid tag value: {value:?}"));
        }
    }
}

/// Reports a selector that Istio does not take.
pub(super) fn selector(report: &mut Report<'_>, field: &str, labels: &Labels) {
    let wrong = |(key, value): (&String, &String)| {
        key.is_empty() || key.contains('*') || value.contains('*') || value.len() > MAX_LABEL
    };
    if labels.iter().any(wrong) {
        report.rejected(
            field,
            "an empty key, a wildcard or a value of more than 63 characters is not supported in the selector",
        );
    }
}

fn is_qualified(text: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && ends(text.bytes().next())
        && ends(text.bytes().last())
}
