//! What a route asks of a request.

use regex::Regex;

use super::HttpClaims;
use crate::model::{HttpMatch, TextMatch};

/// The compiled condition of a route.
#[derive(Debug, Default)]
pub(super) struct Condition {
    uri: Option<(Text, bool)>,
    method: Option<Text>,
    scheme: Option<Text>,
    authority: Option<Text>,
    headers: Vec<(String, Text)>,
    without_headers: Vec<(String, Text)>,
    query: Vec<(String, Text)>,
}

/// A compiled StringMatch.
#[derive(Debug)]
pub(super) enum Text {
    Exact(String),
    Prefix(String),
    Regex(Regex),
    Present,
}

impl Text {
    pub fn of(text: &TextMatch) -> Option<Self> {
        Some(match text {
            TextMatch::Exact(text) => Self::Exact(text.clone()),
            TextMatch::Prefix(text) => Self::Prefix(text.clone()),
            // No expression: any value.
            TextMatch::Regex(text) if text == "*" => Self::Present,
            // RE2 matches the whole text; a pattern that does not compile was refused when it was read.
            TextMatch::Regex(text) => Self::Regex(Regex::new(&format!("^(?:{text})$")).ok()?),
            TextMatch::Present => Self::Present,
        })
    }

    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(expected) => text == expected,
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Regex(regex) => regex.is_match(text),
            Self::Present => true,
        }
    }

    fn matches_ignoring_case(&self, text: &str) -> bool {
        match self {
            Self::Exact(expected) => text.eq_ignore_ascii_case(expected),
            Self::Prefix(prefix) => text
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix)),
            _ => self.matches(text),
        }
    }
}

impl Condition {
    /// Compiles the request-time part of a match; `None` is a match for everything.
    pub fn of(condition: &HttpMatch) -> Option<Self> {
        let catch_all_uri = match &condition.uri {
            Some(TextMatch::Prefix(prefix)) => prefix == "/",
            Some(TextMatch::Regex(regex)) => regex == ".*",
            Some(TextMatch::Present) | None => true,
            Some(TextMatch::Exact(_)) => false,
        };
        let list = |map: &std::collections::BTreeMap<String, TextMatch>| {
            map.iter()
                .filter_map(|(name, text)| Some((name.clone(), Text::of(text)?)))
                .collect::<Vec<_>>()
        };
        let compiled = Self {
            uri: condition
                .uri
                .as_ref()
                .filter(|_| !catch_all_uri)
                .and_then(|text| Some((Text::of(text)?, condition.ignore_uri_case))),
            method: condition.method.as_ref().and_then(Text::of),
            scheme: condition.scheme.as_ref().and_then(Text::of),
            authority: condition.authority.as_ref().and_then(Text::of),
            headers: list(&condition.headers),
            without_headers: list(&condition.without_headers),
            query: list(&condition.query_params),
        };
        let empty = compiled.uri.is_none()
            && compiled.method.is_none()
            && compiled.scheme.is_none()
            && compiled.authority.is_none()
            && compiled.headers.is_empty()
            && compiled.without_headers.is_empty()
            && compiled.query.is_empty();
        (!empty).then_some(compiled)
    }

    /// True where the request fits. Does not allocate.
    pub fn matches(&self, http: &HttpClaims<'_>) -> bool {
        let (path, query) = http.path.split_once('?').unwrap_or((http.path, ""));
        let fits = |text: &Option<Text>, value: &str| text.as_ref().is_none_or(|text| text.matches(value));
        self.uri.as_ref().is_none_or(|(text, ignore_case)| {
            if *ignore_case {
                text.matches_ignoring_case(path)
            } else {
                text.matches(path)
            }
        }) && fits(&self.method, http.method)
            && fits(&self.scheme, http.scheme())
            && fits(&self.authority, http.authority.unwrap_or_default())
            && self
                .headers
                .iter()
                .all(|(name, text)| http.headers.any(name, &mut |value| text.matches(value)))
            && self.without_headers.iter().all(|(name, text)| {
                // A missing header counts as empty text, except where only presence is asked for.
                let present = http.headers.any(name, &mut |_| true);
                let matches = http.headers.any(name, &mut |value| text.matches(value));
                let fails_as_empty = !present && !matches!(text, Text::Present) && text.matches("");
                !matches && !fails_as_empty
            })
            && self.query.iter().all(|(name, text)| {
                let value = query.split('&').find_map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (key == name).then_some(value)
                });
                value.is_some_and(|value| text.matches(value))
            })
    }

    /// The matched path for the decorator.
    pub fn operation_path(condition: &HttpMatch) -> String {
        match &condition.uri {
            Some(TextMatch::Prefix(prefix)) => format!("{prefix}*"),
            Some(TextMatch::Exact(text) | TextMatch::Regex(text)) => text.clone(),
            Some(TextMatch::Present) | None => "/*".into(),
        }
    }
}
