//! Virtual hosts and routes of one port.

use std::{net::IpAddr, sync::Arc, time::Duration};

use regex::Regex;

use super::{
    Cluster, HttpClaims, RetryPolicy,
    hosts::{self, HostMap},
};
use crate::model::{HttpMatch, ObjectRef, Redirect, Retries, TextMatch};

/// The route configuration of one port (or of one sniffed virtual address).
#[derive(Debug, Default)]
pub(super) struct RouteTable {
    pub domains: HostMap<usize>,
    pub virtual_hosts: Vec<VirtualHost>,
}

/// One virtual host.
#[derive(Debug)]
pub(super) struct VirtualHost {
    /// `host:port`.
    pub name: String,
    pub object: ObjectRef,
    pub routes: Vec<Route>,
}

/// One route: a condition and an action.
#[derive(Debug)]
pub(super) struct Route {
    pub name: Option<Arc<str>>,
    pub condition: Option<Condition>,
    pub action: RouteAction,
    pub operation: Option<String>,
    pub object: ObjectRef,
    /// What the object asks for that the engine does not do.
    pub unsupported: Vec<&'static str>,
}

/// What a route does.
#[derive(Debug)]
pub(super) enum RouteAction {
    Forward {
        clusters: Vec<WeightedCluster>,
        timeout: Option<Duration>,
        retries: Option<RetryPolicy>,
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
    pub name: String,
    pub weight: u32,
}

impl RouteTable {
    /// Adds a virtual host under its domains; the first owner of a domain keeps it, a host left without domains is
    /// dropped (Istio reports it as `pilot_vservice_dup_domain`).
    pub fn add<'d>(&mut self, virtual_host: VirtualHost, domains: impl Iterator<Item = &'d str>) {
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
        self.domains
            .get(hosts::strip_port(authority))
            .map(|index| &self.virtual_hosts[*index])
    }
}

/// Domains of a service: its host, the host with a trailing dot, and its single address.
pub(super) fn domains(host: &str, own_namespace: Option<&str>, addresses: impl Iterator<Item = IpAddr>) -> Vec<String> {
    let mut names = vec![host.to_ascii_lowercase()];
    // A Kubernetes Service of the caller's namespace answers to its short names too.
    if let Some(namespace) = own_namespace
        && let Some(short) = host.strip_suffix(&format!(".{namespace}.svc.cluster.local"))
    {
        names.extend([
            short.to_string(),
            format!("{short}.{namespace}"),
            format!("{short}.{namespace}.svc"),
        ]);
    } else if let Some(short) = host.strip_suffix(".svc.cluster.local") {
        names.extend([short.to_string(), format!("{short}.svc")]);
    }
    let dotted: Vec<_> = names
        .iter()
        .filter(|name| !name.ends_with('.'))
        .map(|name| format!("{name}."))
        .collect();
    names.extend(dotted);
    names.extend(addresses.take(1).map(|address| match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }));
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
enum Text {
    Exact(String),
    Prefix(String),
    Regex(Regex),
    Present,
}

impl Text {
    fn of(text: &TextMatch) -> Option<Self> {
        Some(match text {
            TextMatch::Exact(text) => Self::Exact(text.clone()),
            TextMatch::Prefix(text) => Self::Prefix(text.clone()),
            // RE2 matches the whole text; a pattern that does not compile was refused when it was read.
            TextMatch::Regex(text) => Self::Regex(Regex::new(&format!("^(?:{text})$")).ok()?),
            TextMatch::Present => Self::Present,
        })
    }

    fn matches(&self, text: &str) -> bool {
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

    /// The matched prefix for the decorator, `/*` for anything else.
    pub fn operation_path(&self) -> String {
        match &self.uri {
            Some((Text::Prefix(prefix), _)) => format!("{prefix}*"),
            Some((Text::Exact(path), _)) => path.clone(),
            _ => "/*".into(),
        }
    }
}

/// Istio 1.24 and newer, where a route says nothing: two retries when connecting fails or a stream is refused.
pub(super) fn default_retries() -> RetryPolicy {
    RetryPolicy {
        attempts: 2,
        per_try_timeout: None,
        connect_failure: true,
        reset: false,
        server_error: false,
        gateway_error: false,
        statuses: Vec::new(),
    }
}

/// The retry policy of a route; `None` where retries are switched off.
pub(super) fn retries(retries: &Retries) -> Option<RetryPolicy> {
    if retries.attempts == 0 {
        return None;
    }
    let mut policy = RetryPolicy {
        attempts: retries.attempts,
        per_try_timeout: retries.per_try_timeout,
        ..default_retries()
    };
    if let Some(retry_on) = &retries.retry_on {
        policy.connect_failure = false;
        for word in retry_on.split(',').map(str::trim) {
            match word {
                "5xx" => (policy.server_error, policy.connect_failure, policy.reset) = (true, true, true),
                "gateway-error" => policy.gateway_error = true,
                "reset" => (policy.reset, policy.connect_failure) = (true, true),
                "connect-failure" | "refused-stream" => policy.connect_failure = true,
                "retriable-4xx" => policy.statuses.push(409),
                word => policy.statuses.extend(word.parse::<u16>().ok()),
            }
        }
    }
    Some(policy)
}
