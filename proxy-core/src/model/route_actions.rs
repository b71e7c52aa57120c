//! What an `http[]` entry of a VirtualService does to requests and responses beside where it sends them.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use super::{RouteDestination, TextMatch};

/// A share of all requests, in millionths: so fine does Istio hand percentages to Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Percentage(u32);

impl Percentage {
    /// All requests.
    pub const ALL: Self = Self(1_000_000);

    /// From percent; what is finer than a millionth is cut off.
    pub fn of(percent: f64) -> Self {
        // A number out of range was refused when it was read; `as` keeps it in range all the same.
        Self((percent * 10_000.0) as u32)
    }

    /// In millionths.
    pub fn millionths(self) -> u32 {
        self.0
    }

    /// In percent.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// True where it holds for no request.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether it takes the request for which `draw` was drawn.
    pub fn takes(self, draw: u64) -> bool {
        draw % u64::from(Self::ALL.0) < u64::from(self.0)
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.percent())
    }
}

/// `rewrite`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewrite {
    /// Line.
    pub line: u32,
    /// The new path.
    pub path: Option<PathRewrite>,
    /// The new Host.
    pub authority: Option<String>,
}

/// How a path is rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRewrite {
    /// `uri`: takes the place of what the route matched.
    Matched(String),
    /// `uriRegexRewrite`: takes the place of each match of an expression.
    Regex {
        /// RE2.
        pattern: String,
        /// `\1` stands for the first group, `\0` for all that matched.
        substitution: String,
    },
}

/// `headers` of a route or of one of its destinations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers {
    /// Line, 0 when absent.
    pub line: u32,
    /// `request`.
    pub request: HeaderOperations,
    /// `response`.
    pub response: HeaderOperations,
}

/// Edits of header lines; the values may hold Envoy's command operators.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderOperations {
    /// Lines that take the place of those with their name.
    pub set: BTreeMap<String, String>,
    /// Lines that come beside those with their name.
    pub add: BTreeMap<String, String>,
    /// Names whose lines go.
    pub remove: Vec<String>,
}

/// `fault`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fault {
    /// Line.
    pub line: u32,
    /// Requests that wait.
    pub delay: Option<Delay>,
    /// Requests that are answered by the sidecar.
    pub abort: Option<Abort>,
}

/// `fault.delay`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delay {
    /// Of how many requests; none where it is not written.
    pub percentage: Percentage,
    /// `fixedDelay`.
    pub duration: Duration,
}

/// `fault.abort`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abort {
    /// Of how many requests; none where it is not written.
    pub percentage: Percentage,
    /// `httpStatus`; 200 for a `grpcStatus`, which only gRPC can carry.
    pub status: u16,
    /// `grpcStatus`, as its number.
    pub grpc: Option<u8>,
}

/// One element of `mirrors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Where copies are sent.
    pub destination: RouteDestination,
    /// Of how many requests; of all where it is not written.
    pub percentage: Percentage,
}

/// `corsPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cors {
    /// Line.
    pub line: u32,
    /// Origins that are answered.
    pub allow_origins: Vec<TextMatch>,
    /// Joined by commas, as they are sent.
    pub allow_methods: Arc<str>,
    /// Joined by commas.
    pub allow_headers: Arc<str>,
    /// Joined by commas.
    pub expose_headers: Arc<str>,
    /// `maxAge` in seconds, as text.
    pub max_age: Option<String>,
    /// `allowCredentials`.
    pub allow_credentials: bool,
    /// `unmatchedPreflights: IGNORE`: preflights of other origins are answered here too, without these headers.
    pub ignore_unmatched: bool,
}
