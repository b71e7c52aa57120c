//! Istio's StringMatch.

/// A condition on a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextMatch {
    /// Equal.
    Exact(String),
    /// Starts with.
    Prefix(String),
    /// RE2 full match; `*`, which is no expression, asks for presence.
    Regex(String),
    /// Present with any value (nothing is written).
    Present,
}
