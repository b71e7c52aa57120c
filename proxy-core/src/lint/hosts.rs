//! Host names as Istio's validation sees them.

/// A DNS-1123 label; upper case is allowed, as in Istio.
pub(super) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A DNS name without a wildcard.
pub(super) fn is_domain(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    (1..=255).contains(&text.len())
        && text.split('.').all(is_label)
        && !text
            .rsplit('.')
            .next()
            .is_some_and(|top| top.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A DNS name whose first label may be a wildcard, `*` or (with a warning) `*-api`.
pub(super) fn is_wildcard_domain(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('*') else {
        return is_domain(text);
    };
    match rest.split_once('.') {
        Some((label, domain)) => {
            let label = label.strip_prefix('-').unwrap_or(label);
            (label.is_empty() || is_label(label)) && is_domain(domain)
        }
        None => rest.is_empty(),
    }
}

/// A wildcard that is not a whole label: Istio's warning.
pub(super) fn is_partial_wildcard(text: &str) -> bool {
    text.starts_with('*') && !text.starts_with("*.") && text != "*"
}
