//! What a route does beside its action, as the decision JSON shows it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Action, Decision, HeaderEdits, Treatment};

/// What becomes of a request's path and Host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedRewrite {
    /// The path with its query that is sent, where it is rewritten.
    pub path: Option<String>,
    /// The Host that is sent, where it is rewritten.
    pub authority: Option<String>,
}

/// Edits of header lines; of a destination among several those come first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ExplainedEdits {
    /// Names that are removed.
    pub remove: Vec<String>,
    /// Values that take the place of others, as written.
    pub set: BTreeMap<String, String>,
    /// Names and values that come beside others, as written.
    pub add: Vec<(String, String)>,
}

/// Faults that are injected, each with its share of the requests in percent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainedFault {
    /// How long requests wait.
    pub delay_ms: Option<u64>,
    /// Which share of them.
    pub delay_percent: Option<f64>,
    /// Status of those that are answered here.
    pub abort_status: Option<u16>,
    /// Which share of them.
    pub abort_percent: Option<f64>,
}

/// A copy of requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExplainedMirror {
    /// Where it goes.
    pub cluster: String,
    /// Of which share of the requests.
    pub percent: f64,
}

/// Answers to cross-origin requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedCors {
    /// `access-control-allow-methods`.
    pub allow_methods: String,
    /// `access-control-allow-headers`.
    pub allow_headers: String,
    /// `access-control-expose-headers`.
    pub expose_headers: String,
    /// `access-control-max-age`.
    pub max_age: Option<String>,
    /// `access-control-allow-credentials`.
    pub allow_credentials: bool,
}

/// The Host and path that are sent instead of `path`.
pub(super) fn rewrite(decision: &Decision<'_>, path: Option<&str>) -> Option<ExplainedRewrite> {
    let Action::Forward(forward) = decision.action else {
        return None;
    };
    let own = forward.edits.and_then(|edits| edits.authority.as_ref());
    let rewrite = decision.treatment.map(|treatment| &treatment.rewrite);
    let authority = rewrite.and_then(|rewrite| rewrite.authority.as_ref()).or(own);
    let to = rewrite.and_then(|rewrite| rewrite.path.as_ref());
    (authority.is_some() || to.is_some()).then(|| ExplainedRewrite {
        path: path.zip(to).map(|(path, to)| to.apply(path)),
        authority: authority.cloned(),
    })
}

/// The edits of a route over those of its destination; `None` where there is none.
pub(super) fn edits(own: Option<&HeaderEdits>, of_route: Option<&HeaderEdits>) -> Option<ExplainedEdits> {
    let mut shown = ExplainedEdits::default();
    for edits in [own, of_route].into_iter().flatten() {
        shown.remove.extend(edits.remove.iter().cloned());
        let pair = |(name, value): &(String, super::Template)| (name.clone(), value.written.clone());
        shown.set.extend(edits.set.iter().map(pair));
        shown.add.extend(edits.add.iter().map(pair));
    }
    (shown != ExplainedEdits::default()).then_some(shown)
}

impl ExplainedFault {
    pub(super) fn of(treatment: &Treatment) -> Option<Self> {
        let fault = treatment.fault.as_ref()?;
        Some(Self {
            delay_ms: fault.delay.map(|(_, delay)| delay.as_millis() as u64),
            delay_percent: fault.delay.map(|(share, _)| share.percent()),
            abort_status: fault.abort.map(|abort| abort.status),
            abort_percent: fault.abort.map(|abort| abort.percentage.percent()),
        })
    }
}

impl ExplainedMirror {
    /// Copies that are sent; one to a cluster that does not exist is not.
    pub(super) fn of(treatment: &Treatment) -> Vec<Self> {
        let sent = treatment.mirrors.iter().filter(|mirror| mirror.cluster().is_some());
        sent.map(|mirror| Self {
            cluster: mirror.cluster_name().to_string(),
            percent: mirror.percentage.percent(),
        })
        .collect()
    }
}

impl ExplainedCors {
    pub(super) fn of(treatment: &Treatment) -> Option<Self> {
        let policy = &treatment.cors.as_ref()?.policy;
        Some(Self {
            allow_methods: policy.allow_methods.to_string(),
            allow_headers: policy.allow_headers.to_string(),
            expose_headers: policy.expose_headers.to_string(),
            max_age: policy.max_age.clone(),
            allow_credentials: policy.allow_credentials,
        })
    }
}
