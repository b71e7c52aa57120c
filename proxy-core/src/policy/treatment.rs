//! What a route does to a request and its response beside where it sends it, compiled. Source: Istio's `TranslateRoute`
//! and the filters of Envoy that it configures.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{Cluster, HeaderEdits, PathRewrite, Rewrite, Step, conditions::Text, routes::WeightedCluster, steps::step};
use crate::model::{self, HttpMatch, HttpRoute, ObjectRef, Percentage, TextMatch};

/// What a route does beside sending a request somewhere. Chance, as for a fault's percentage, is left to who acts.
#[derive(Debug, Default)]
pub struct Treatment {
    /// Path and Host.
    pub rewrite: Rewrite,
    /// Edits of the request's headers.
    pub request: HeaderEdits,
    /// Edits of the response's headers, whoever answers.
    pub response: HeaderEdits,
    /// Delay and abort.
    pub fault: Option<Fault>,
    /// Copies that are sent elsewhere.
    pub mirrors: Vec<Mirror>,
    /// Cross-origin requests.
    pub cors: Option<Cors>,
    steps: Steps,
}

/// Where each part is written.
#[derive(Debug, Default)]
struct Steps {
    rewrite: Option<ObjectRef>,
    headers: Option<ObjectRef>,
    fault: Option<ObjectRef>,
    mirrors: Option<ObjectRef>,
    cors: Option<ObjectRef>,
}

/// Faults that are injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A share of the requests waits for so long.
    pub delay: Option<(Percentage, Duration)>,
    /// A share of the requests is answered with a status.
    pub abort: Option<model::Abort>,
}

/// A copy of each request, or of a share of them.
#[derive(Debug)]
pub struct Mirror {
    /// Where it goes; without a cluster nothing is sent.
    pub(super) target: WeightedCluster,
    /// Of how many requests.
    pub percentage: Percentage,
    /// The Host that it names keeps as it is, or ends with `-shadow`.
    pub(super) keeps_host: bool,
}

/// Answers to cross-origin requests.
#[derive(Debug)]
pub struct Cors {
    origins: Vec<Text>,
    /// The headers that are sent.
    pub policy: model::Cors,
}

/// Edits of one of several destinations, made before those of the route.
#[derive(Debug, Default)]
pub struct DestinationEdits {
    /// The Host, which the route's own rewrite overrides.
    pub authority: Option<String>,
    /// Of the request's headers.
    pub request: HeaderEdits,
    /// Of the response's headers.
    pub response: HeaderEdits,
}

impl Treatment {
    /// What `route` does to what `condition` matches; `None` where that is nothing.
    pub(super) fn of(
        route: &HttpRoute,
        condition: &HttpMatch,
        mirrors: Vec<Mirror>,
        at: impl Fn(u32) -> ObjectRef,
    ) -> Option<Box<Self>> {
        let mut treatment = Self {
            mirrors,
            ..Self::default()
        };
        let forwards = route.redirect.is_none() && route.direct_response.is_none();
        let mut headers_line = None;
        if let Some(headers) = &route.headers {
            treatment.request = HeaderEdits::of(&headers.request);
            treatment.response = HeaderEdits::of(&headers.response);
            treatment.rewrite.authority = authority(&headers.request);
            headers_line = Some(headers.line);
        }
        if let Some(rewrite) = route.rewrite.as_ref().filter(|_| forwards) {
            treatment.steps.rewrite = Some(at(rewrite.line));
            treatment.rewrite.path = rewrite.path.as_ref().and_then(|path| PathRewrite::of(path, condition));
            if rewrite.authority.is_some() {
                treatment.rewrite.authority.clone_from(&rewrite.authority);
            }
        }
        if let ([only], true) = (&*route.route, forwards)
            && let Some(headers) = &only.headers
        {
            let own = DestinationEdits::of(headers);
            if treatment.rewrite.authority.is_none() {
                treatment.rewrite.authority = own.authority;
            }
            treatment.request.append(own.request);
            treatment.response.append(own.response);
            headers_line = headers_line.or(Some(headers.line));
        }
        let has_edits = !treatment.request.is_empty() || !treatment.response.is_empty();
        treatment.steps.headers = headers_line.filter(|_| has_edits).map(&at);
        if treatment.rewrite.authority.is_some() && treatment.steps.rewrite.is_none() {
            treatment.steps.rewrite = headers_line.map(&at);
        }
        if let Some(fault) = &route.fault {
            let fault_made = Fault::of(fault);
            treatment.steps.fault = fault_made.is_some().then(|| at(fault.line));
            treatment.fault = fault_made;
        }
        // Envoy reads this of routes that lead to a cluster alone.
        if let Some(cors) = route.cors.as_ref().filter(|_| forwards) {
            treatment.steps.cors = Some(at(cors.line));
            treatment.cors = Some(Cors::of(cors));
        }
        if !treatment.mirrors.is_empty() {
            treatment.steps.mirrors = Some(at(route.mirror_line));
        }
        let acts = has_edits
            || treatment.rewrite.authority.is_some()
            || treatment.rewrite.path.is_some()
            || treatment.fault.is_some()
            || treatment.cors.is_some()
            || !treatment.mirrors.is_empty();
        acts.then(|| Box::new(treatment))
    }

    /// What is done, in the order in which Envoy does it.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut saw =
            |name, outcome: String, object: &Option<ObjectRef>| steps.push(step(name, outcome, object.clone()));
        if let Some(fault) = &self.fault {
            saw("fault", fault.to_string(), &self.steps.fault);
        }
        if let Some(cors) = &self.cors {
            saw("cors", cors.to_string(), &self.steps.cors);
        }
        let edits = [("request", &self.request), ("response", &self.response)];
        for (of, edits) in edits.into_iter().filter(|(_, edits)| !edits.is_empty()) {
            let mut outcome = format!("{of} headers: {edits}");
            let unknown: Vec<&str> = edits.unknown().collect();
            if !unknown.is_empty() {
                outcome.push_str(&format!("; left empty by this engine: {}", unknown.join(", ")));
            }
            saw("headers", outcome, &self.steps.headers);
        }
        if let Some(outcome) = self.rewrite.describe() {
            saw("rewrite", outcome, &self.steps.rewrite);
        }
        for mirror in &self.mirrors {
            saw("mirror", mirror.to_string(), &self.steps.mirrors);
        }
        steps
    }
}

/// The Host that edits of request headers set: Istio makes a rewrite of it; `set` goes before `add`.
fn authority(operations: &model::HeaderOperations) -> Option<String> {
    let of = |values: &std::collections::BTreeMap<String, String>| {
        let mut values = values.iter();
        let named = |name: &str| name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host");
        let value = values.find(|(name, _)| named(name)).map(|(_, value)| value.clone());
        value.filter(|value| !value.is_empty())
    };
    of(&operations.set).or_else(|| of(&operations.add))
}

impl DestinationEdits {
    pub(super) fn of(headers: &model::Headers) -> Self {
        Self {
            authority: authority(&headers.request),
            request: HeaderEdits::of(&headers.request),
            response: HeaderEdits::of(&headers.response),
        }
    }

    /// True where nothing is edited.
    pub(super) fn is_empty(&self) -> bool {
        self.authority.is_none() && self.request.is_empty() && self.response.is_empty()
    }

    /// What is done, in words.
    pub(super) fn describe(&self) -> String {
        let host = self
            .authority
            .as_ref()
            .map(|authority| format!("Host becomes {authority}"));
        let edits = [("request", &self.request), ("response", &self.response)];
        let edits = edits.into_iter().filter(|(_, edits)| !edits.is_empty());
        let edits = edits.map(|(of, edits)| format!("{of} headers: {edits}"));
        let parts: Vec<String> = host.into_iter().chain(edits).collect();
        format!("for this destination, {}", parts.join("; "))
    }
}

impl Fault {
    /// Faults of no request at all are none.
    fn of(fault: &model::Fault) -> Option<Self> {
        let delay = fault.delay.as_ref().filter(|delay| !delay.percentage.is_none());
        let abort = fault.abort.as_ref().filter(|abort| !abort.percentage.is_none());
        (delay.is_some() || abort.is_some()).then(|| Self {
            delay: delay.map(|delay| (delay.percentage, delay.duration)),
            abort: abort.copied(),
        })
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let delay = self
            .delay
            .map(|(share, delay)| format!("{share} of requests wait {} ms", delay.as_millis()));
        let abort = self
            .abort
            .map(|abort| format!("{} of requests are answered {}", abort.percentage, abort.status));
        let parts: Vec<String> = delay.into_iter().chain(abort).collect();
        f.write_str(&parts.join(", then "))
    }
}

impl Mirror {
    pub(super) fn of(target: WeightedCluster, percentage: Percentage, keeps_host: bool) -> Option<Self> {
        (!percentage.is_none()).then_some(Self {
            target,
            percentage,
            keeps_host,
        })
    }

    /// The Host of a copy of a request to `authority`. Envoy: `ShadowWriterImpl`.
    pub fn authority<'h>(&self, authority: &'h str) -> Cow<'h, str> {
        if self.keeps_host {
            return authority.into();
        }
        let mut parts = authority.split(':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(host), Some(port), None) => format!("{host}-shadow:{port}").into(),
            _ => format!("{authority}-shadow").into(),
        }
    }

    /// Where the copy goes; `None` where there is no such cluster.
    pub fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.target.cluster.as_ref()
    }

    /// The cluster's name.
    pub fn cluster_name(&self) -> &str {
        &self.target.name
    }
}

impl std::fmt::Display for Mirror {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.cluster_name();
        match self.cluster() {
            Some(_) => {
                let renamed = if self.keeps_host {
                    ""
                } else {
                    ", their Host with -shadow"
                };
                write!(f, "{} of requests are copied to {name}{renamed}", self.percentage)
            }
            None => write!(f, "{name} does not exist: nothing is copied there"),
        }
    }
}

impl Cors {
    fn of(cors: &model::Cors) -> Self {
        Self {
            origins: cors.allow_origins.iter().filter_map(Text::of).collect(),
            policy: cors.clone(),
        }
    }

    /// True where the origin is one that is answered.
    pub fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own.matches(origin))
    }
}

impl std::fmt::Display for Cors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let origins: Vec<String> = self.policy.allow_origins.iter().map(origin).collect();
        write!(f, "cross-origin requests of {} are answered", origins.join(", "))?;
        if self.policy.ignore_unmatched {
            f.write_str(", preflights of others without leave")?;
        }
        Ok(())
    }
}

fn origin(text: &TextMatch) -> String {
    match text {
        TextMatch::Exact(text) => text.clone(),
        TextMatch::Prefix(text) => format!("{text}..."),
        TextMatch::Regex(text) => format!("/{text}/"),
        TextMatch::Present => "any origin".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_of_a_copys_host_stands_before_its_port() {
        let mirror = |keeps_host| {
            let target = WeightedCluster {
                cluster: None,
                name: "outbound|80||b.com".into(),
                weight: 1,
                edits: None,
            };
            Mirror::of(target, Percentage::ALL, keeps_host).expect("it is for all requests")
        };
        for (authority, expected) in [
            ("a.com", "a.com-shadow"),
            ("a.com:80", "a.com-shadow:80"),
            ("[fd00::1]:80", "[fd00::1]:80-shadow"),
        ] {
            assert_eq!(mirror(false).authority(authority), expected);
            assert_eq!(mirror(true).authority(authority), authority);
        }
    }
}
