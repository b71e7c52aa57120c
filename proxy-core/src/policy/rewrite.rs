//! Rewrites of a request's path and Host, compiled. Source: Envoy's `prefix_rewrite` and `regex_rewrite`.

use std::borrow::Cow;

use regex::Regex;

use crate::model::{self, HttpMatch, TextMatch};

/// What becomes of the Host and of the path.
#[derive(Debug, Default)]
pub struct Rewrite {
    /// The new Host.
    pub authority: Option<String>,
    /// The new path.
    pub path: Option<PathRewrite>,
}

/// How the path is rewritten.
#[derive(Debug)]
pub enum PathRewrite {
    /// The first bytes of it, which the route matched.
    Prefix {
        /// How many.
        matched: usize,
        /// What takes their place.
        uri: String,
    },
    /// All of it but the query.
    Whole(String),
    /// Each match of an expression, outside of the query.
    Regex {
        /// The expression.
        pattern: Regex,
        /// What takes its place, in the syntax of `Regex::replace_all`.
        replacement: String,
        /// The same as it is written.
        written: String,
    },
}

impl Rewrite {
    /// What is done, in words; `None` where that is nothing.
    pub(super) fn describe(&self) -> Option<String> {
        let host = self
            .authority
            .as_ref()
            .map(|authority| format!("Host becomes {authority}"));
        let path = self.path.as_ref().map(|path| match path {
            PathRewrite::Prefix { matched: 1, uri } => format!("the path's first slash becomes {uri}"),
            PathRewrite::Prefix { uri, .. } => format!("the matched prefix of the path becomes {uri}"),
            PathRewrite::Whole(uri) => format!("the path becomes {uri}"),
            PathRewrite::Regex { pattern, written, .. } => format!("in the path {pattern} becomes {written}"),
        });
        let parts: Vec<String> = path.into_iter().chain(host).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

impl PathRewrite {
    pub(super) fn of(rewrite: &model::PathRewrite, condition: &HttpMatch) -> Option<Self> {
        Some(match (rewrite, &condition.uri) {
            (model::PathRewrite::Regex { pattern, substitution }, _) => Self::Regex {
                // One that does not compile was refused when it was read.
                pattern: Regex::new(pattern).ok()?,
                replacement: replacement(substitution),
                written: substitution.clone(),
            },
            (model::PathRewrite::Matched(uri), Some(TextMatch::Exact(_) | TextMatch::Regex(_))) => {
                Self::Whole(uri.clone())
            }
            (model::PathRewrite::Matched(uri), Some(TextMatch::Prefix(prefix))) => Self::Prefix {
                matched: prefix.len(),
                uri: uri.clone(),
            },
            // Without a condition the route matches the prefix `/`.
            (model::PathRewrite::Matched(uri), Some(TextMatch::Present) | None) => Self::Prefix {
                matched: 1,
                uri: uri.clone(),
            },
        })
    }

    /// The path with its query as it is sent. Envoy: what comes out need not begin with a slash.
    pub fn apply(&self, path_and_query: &str) -> String {
        let (path, query) = path_and_query.split_at(path_and_query.find('?').unwrap_or(path_and_query.len()));
        let path = match self {
            Self::Prefix { matched, uri } => Cow::Owned(format!("{uri}{}", path.get(*matched..).unwrap_or_default())),
            Self::Whole(uri) => Cow::Borrowed(uri.as_str()),
            Self::Regex {
                pattern, replacement, ..
            } => pattern.replace_all(path, replacement),
        };
        format!("{path}{query}")
    }
}

/// RE2's `\1` and `\\` in the words of this library.
fn replacement(substitution: &str) -> String {
    let mut made = String::new();
    let mut letters = substitution.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(digit) if digit.is_ascii_digit() => made.push_str(&format!("${{{digit}}}")),
                Some(other) => made.push(other),
                None => {}
            },
            '$' => made.push_str("$$"),
            letter => made.push(letter),
        }
    }
    made
}
