//! Virtual hosts and routes of one port.

use std::{net::IpAddr, sync::Arc, time::Duration};

use regex::Regex;

use super::{
    Cluster, DestinationEdits, HttpClaims, RetryPolicy, Treatment,
    hosts::{self, HostMap},
    registry::RegistryService,
};
use crate::model::{HttpMatch, MeshConfig, ObjectRef, Redirect, Retries, TextMatch};

/// The route configuration of one port (or of one sniffed virtual address).
#[derive(Debug, Default)]
pub(super) struct RouteTable {
    pub domains: HostMap<usize>,
    pub virtual_hosts: Vec<VirtualHost>,
    pub otherwise: Otherwise,
}

/// What takes requests whose authority is in no domain.
#[derive(Debug, Default)]
pub(super) enum Otherwise {
    /// The outbound mode decides.
    #[default]
    Mode,
    /// This virtual host takes them too.
    VirtualHost(usize),
    /// Nothing: 404.
    Nothing,
}

/// One virtual host.
#[derive(Debug, Clone)]
pub(super) struct VirtualHost {
    /// `host:port`.
    pub name: String,
    pub object: ObjectRef,
    pub routes: Arc<[Route]>,
}

/// One route: a condition and an action.
#[derive(Debug)]
pub(super) struct Route {
    pub name: Option<Arc<str>>,
    pub condition: Option<Box<Condition>>,
    pub action: RouteAction,
    pub operation: Option<String>,
    pub object: ObjectRef,
    /// What it does beside its action.
    pub treatment: Option<Box<Treatment>>,
}

/// What a route does.
#[derive(Debug)]
pub(super) enum RouteAction {
    Forward {
        clusters: Vec<WeightedCluster>,
        timeout: Option<Duration>,
        retries: Option<Arc<RetryPolicy>>,
    },
    Redirect(Redirect),
    Respond {
        status: u16,
        body: Arc<str>,
    },
    /// A redirect code that Envoy cannot send: the route does nothing (404).
    Nothing,
}

/// A cluster with its weight; `None` where the cluster does not exist.
#[derive(Debug)]
pub(super) struct WeightedCluster {
    pub cluster: Option<Arc<Cluster>>,
    pub name: Arc<str>,
    pub weight: u32,
    /// Edits of its own, where it is one of several.
    pub edits: Option<Box<DestinationEdits>>,
}

impl RouteTable {
    /// Adds a virtual host under its domains; the first owner of a domain keeps it, a host left without domains is
    /// dropped (Istio reports it as `pilot_vservice_dup_domain`).
    pub fn add(&mut self, virtual_host: VirtualHost, domains: Vec<String>) {
        let index = self.virtual_hosts.len();
        let mut owns = false;
        for domain in domains {
            owns |= self.domains.insert(domain, index);
        }
        if owns {
            self.virtual_hosts.push(virtual_host);
        }
    }

    /// The virtual host for an authority.
    pub fn virtual_host(&self, authority: &str) -> Option<&VirtualHost> {
        let otherwise = match &self.otherwise {
            Otherwise::VirtualHost(index) => Some(index),
            Otherwise::Mode | Otherwise::Nothing => None,
        };
        let index = self.domains.get(hosts::strip_port(authority)).or(otherwise);
        index.map(|index| &self.virtual_hosts[*index])
    }
}

/// Domains of a service: its host, the host with a trailing dot, the short names of a Service seen from
/// `own_namespace` unless they are the host of a service that `is_known`, and its addresses.
pub(super) fn domains(
    host: &str,
    own_namespace: &str,
    service: &RegistryService,
    is_known: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut names = Vec::new();
    for own in std::iter::once(host).chain(service.aliases.iter().map(|alias| &**alias)) {
        names.push(own.to_string());
        let others = other_names(own, own_namespace).into_iter();
        names.extend(others.filter(|name| !is_known(name)));
    }
    if service.is_headless() {
        // A pod of the service by its name.
        let pods: Vec<_> = names.iter().map(|name| format!("*.{name}")).collect();
        names.extend(pods);
    }
    names.extend(service.virtual_ips().map(|address| match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }));
    names
}

/// Other names of a host: with a trailing dot, and the short ones of a Service seen from `own_namespace`.
pub(super) fn other_names(host: &str, own_namespace: &str) -> Vec<String> {
    let mut names = vec![format!("{host}.")];
    if let Some(short) = host.strip_suffix(".svc.cluster.local")
        && let Some((name, namespace)) = short.split_once('.')
    {
        if namespace == own_namespace {
            names.push(name.to_string());
        }
        names.extend([short.to_string(), format!("{short}.svc")]);
    }
    names
}

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
            && fits(&self.scheme, "http")
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

/// The index that `draw` picks among weights.
pub(super) fn pick(weights: impl Iterator<Item = u32> + Clone, draw: u32) -> Option<usize> {
    let total: u64 = weights.clone().map(u64::from).sum();
    let mut left = u64::from(draw).checked_rem(total)?;
    for (index, weight) in weights.enumerate() {
        if left < u64::from(weight) {
            return Some(index);
        }
        left -= u64::from(weight);
    }
    None
}

/// Istio 1.24 and newer, where a route says nothing.
const DEFAULT_RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

/// Envoy's base of the wait between attempts.
const BACK_OFF: Duration = Duration::from_millis(25);

/// The retry policy of a route: its own, else the mesh's, else two retries when connecting fails or a stream is refused;
/// `None` where retries are switched off. `only` is the cluster of a route that names one: what a hash has chosen there is
/// chosen again.
pub(super) fn retries(own: Option<&Retries>, mesh: &MeshConfig, only: Option<&Cluster>) -> Option<RetryPolicy> {
    let default = Retries {
        attempts: 2,
        ..Retries::default()
    };
    let retries = own.or(mesh.default_retries.as_ref()).unwrap_or(&default);
    let avoid = !only.is_some_and(|cluster| cluster.consistent_hash);
    (retries.attempts > 0).then(|| RetryPolicy {
        avoid_previous_hosts: retries.ignore_previous_hosts.unwrap_or(avoid),
        ..retry_policy(retries)
    })
}

/// Words of `retryOn` that stand for a status of gRPC.
const GRPC_WORDS: [(&str, u8); 5] = [
    ("cancelled", 1),
    ("deadline-exceeded", 4),
    ("resource-exhausted", 8),
    ("internal", 13),
    ("unavailable", 14),
];

/// Istio: numbers among the words are statuses, and stand in a list of their own.
fn retry_policy(retries: &Retries) -> RetryPolicy {
    let written = retries.retry_on.as_deref().unwrap_or(DEFAULT_RETRY_ON);
    let status = |word: &str| word.parse().ok().filter(|status| is_status(*status));
    let parts = || written.split(',').map(str::trim).filter(|word| !word.is_empty());
    let statuses: Vec<u16> = parts().filter_map(status).collect();
    let words: Vec<&str> = parts().filter(|word| status(word).is_none()).collect();
    let mut retry_on = words.join(",");
    if !statuses.is_empty() && !words.contains(&"retriable-status-codes") {
        // Istio: with its comma, also where nothing stands before it.
        retry_on.push_str(",retriable-status-codes");
    }
    let any = |wanted: &[&str]| words.iter().any(|word| wanted.contains(word));
    // Envoy takes a reset for a 5xx, and a connection that failed for a reset before the request.
    let reset = any(&["5xx", "gateway-error", "reset"]);
    RetryPolicy {
        attempts: retries.attempts,
        per_try_timeout: retries.per_try_timeout,
        connect_failure: reset || any(&["connect-failure", "reset-before-request"]),
        refused_stream: reset || any(&["refused-stream"]),
        reset,
        server_error: any(&["5xx"]),
        gateway_error: any(&["gateway-error"]),
        conflict: any(&["retriable-4xx"]),
        grpc_statuses: GRPC_WORDS
            .iter()
            .filter(|(word, _)| any(&[word]))
            .map(|(_, status)| *status)
            .collect(),
        retry_on,
        statuses,
        back_off: retries.back_off.unwrap_or(BACK_OFF),
        avoid_previous_hosts: true,
    }
}

/// A number that Go's net/http knows as a status; Istio takes no other one for it.
pub(crate) fn is_status(number: u16) -> bool {
    matches!(number, 100..=103 | 200..=208 | 226 | 300..=305 | 307 | 308 | 400..=418 | 421..=426 | 428 | 429 | 431 | 451
        | 500..=508 | 510 | 511)
}
