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

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: TextMatch) -> HttpMatch {
        HttpMatch {
            uri: Some(text),
            ..HttpMatch::default()
        }
    }

    #[test]
    fn the_matched_part_of_a_path_gives_way_and_the_query_stays() {
        let prefix = |text: &str| uri(TextMatch::Prefix(text.into()));
        for (condition, to, path, expected) in [
            (prefix("/pre"), "/new", "/prefix?q=1", "/newfix?q=1"),
            (prefix("/slash/"), "/", "/slash//a", "//a"),
            (
                uri(TextMatch::Exact("/exact".into())),
                "/whole",
                "/exact?x=1",
                "/whole?x=1",
            ),
            (uri(TextMatch::Regex("/rx.*".into())), "/new", "/rxyz/1?q=/", "/new?q=/"),
            (HttpMatch::default(), "/v2", "/get", "/v2get"),
            (uri(TextMatch::Present), "/v2/", "/get?a", "/v2/get?a"),
        ] {
            let rewrite = PathRewrite::of(&model::PathRewrite::Matched(to.into()), &condition).unwrap();
            assert_eq!(rewrite.apply(path), expected, "{condition:?} {path}");
        }
    }

    #[test]
    fn groups_of_an_expression_are_named_as_in_re2() {
        for (pattern, substitution, path, expected) in [
            ("/([a-z]+)/([0-9]+)", r"/\2/\1", "/ab/12?z", "/12/ab?z"),
            ("b", r"\0\\$1${x}", "/b", r"/b\$1${x}"),
            // Every match gives way, an empty one too, but not right behind another one.
            ("[0-9]*", "X", "/glob12a3", "X/XgXlXoXbXaX"),
        ] {
            let written = model::PathRewrite::Regex {
                pattern: pattern.into(),
                substitution: substitution.into(),
            };
            let rewrite = PathRewrite::of(&written, &HttpMatch::default()).unwrap();
            assert_eq!(rewrite.apply(path), expected, "{pattern}");
        }
    }
}
