//! Istio's StringMatch.

/// A condition on a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextMatch {
    /// Equal.
    Exact(String),
    /// Starts with.
    Prefix(String),
    /// RE2 full match.
    Regex(String),
    /// Present with any value (nil match, or regex `*`).
    Present,
}
