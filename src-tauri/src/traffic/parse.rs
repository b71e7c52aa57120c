//! The text filter of the log: `key:value`, `-key:value`, `"quoted text"`, and free text that is a regular expression
//! where it is a valid one. Terms are joined by AND; the same key twice is OR.

use regex::{Regex, RegexBuilder};

/// One term as typed.
#[derive(Debug, Clone)]
pub struct Term {
    /// `-` in front.
    pub negated: bool,
    /// What must hold.
    pub test: Test,
}

/// What a term asks.
#[derive(Debug, Clone)]
pub enum Test {
    /// A field holds this text.
    Field(Key, String),
    /// Any field matches.
    Free(Pattern),
}

/// Fields that can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Verdict,
    Workload,
    Host,
    Destination,
    Port,
    Protocol,
    Method,
    Path,
    Status,
    Flags,
    Cluster,
    Route,
    Policy,
    Session,
}

impl Key {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "verdict" => Self::Verdict,
            "workload" | "from" => Self::Workload,
            "host" | "sni" | "name" => Self::Host,
            "destination" | "dst" | "ip" => Self::Destination,
            "port" => Self::Port,
            "protocol" => Self::Protocol,
            "method" => Self::Method,
            "path" => Self::Path,
            "status" => Self::Status,
            "flags" | "flag" => Self::Flags,
            "cluster" => Self::Cluster,
            "route" => Self::Route,
            "policy" | "hash" => Self::Policy,
            "session" => Self::Session,
            _ => return None,
        })
    }
}

/// Free text.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// A valid regular expression, case-insensitive.
    Regex(Regex),
    /// Anything else, lower case.
    Text(String),
}

impl Pattern {
    fn new(text: &str) -> Self {
        // The size limit keeps one keystroke from costing megabytes.
        match RegexBuilder::new(text)
            .case_insensitive(true)
            .size_limit(1 << 20)
            .build()
        {
            Ok(regex) => Self::Regex(regex),
            Err(_) => Self::Text(text.to_lowercase()),
        }
    }

    /// True when `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(text),
            Self::Text(needle) => text.to_lowercase().contains(needle),
        }
    }
}

/// Reads a filter. Every text means something: what names no known key is free text.
pub fn parse(text: &str) -> Vec<Term> {
    words(text)
        .into_iter()
        .map(|word| {
            let (negated, word) = match word.strip_prefix('-') {
                Some(rest) if !rest.is_empty() => (true, rest.to_string()),
                _ => (false, word),
            };
            let field = word
                .split_once(':')
                .and_then(|(key, value)| Some((Key::parse(key)?, value)));
            let test = match field {
                Some((key, value)) if !value.is_empty() => Test::Field(key, value.to_lowercase()),
                _ => Test::Free(Pattern::new(&word)),
            };
            Term { negated, test }
        })
        .collect()
}

/// Words at spaces outside double quotes; the quotes are taken away.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for character in text.chars() {
        match character {
            '"' => (quoted, any) = (!quoted, true),
            c if c.is_whitespace() && !quoted => {
                if any {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => {
                word.push(c);
                any = true;
            }
        }
    }
    if any {
        words.push(word);
    }
    words.retain(|word| !word.is_empty());
    words
}
