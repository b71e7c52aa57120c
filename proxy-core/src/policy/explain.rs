//! One decision in full: what, why, by which object and line, and what would change it.

use std::borrow::Cow;

use serde::Serialize;

use super::{
    Action, Change, Claims, Cluster, Endpoints, ExplainedCors, ExplainedEdits, ExplainedFault, ExplainedMirror,
    ExplainedRewrite, Facts, HttpClaims, Layer, Snapshot, Step, Verdict, asked, decide,
    explain_endpoint::endpoint_step,
    explain_treatment, location, otherwise,
    steps::{rule_step, step},
};
use crate::model::World;

/// A decision with its trace; serialises to the decision JSON that tests and scripts rely on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub reason: String,
    /// Cluster.
    pub cluster: Option<String>,
    /// Listener.
    pub listener: Option<String>,
    /// Virtual host.
    pub virtual_host: Option<String>,
    /// Route.
    pub route: Option<String>,
    /// The local reply, where there is one.
    pub response: Option<ExplainedResponse>,
    /// Where it is sent.
    pub upstream: Option<ExplainedUpstream>,
    /// The route's timeout.
    pub timeout_ms: Option<u64>,
    /// Retries.
    pub retries: Option<ExplainedRetries>,
    /// TLS towards the upstream.
    pub tls: Option<ExplainedTls>,
    /// The path and Host that are sent instead.
    pub rewrite: Option<ExplainedRewrite>,
    /// Edits of the request's headers.
    pub request_headers: Option<ExplainedEdits>,
    /// Edits of the response's headers.
    pub response_headers: Option<ExplainedEdits>,
    /// Faults that are injected.
    pub fault: Option<ExplainedFault>,
    /// Copies that are sent elsewhere.
    pub mirrors: Vec<ExplainedMirror>,
    /// Answers to cross-origin requests.
    pub cors: Option<ExplainedCors>,
    /// Steps in their order.
    pub trace: Vec<Step>,
    /// What would change it.
    pub otherwise: Option<String>,
    /// The same as values that can be applied; any one of them suffices.
    #[serde(skip)]
    pub changes: Vec<Change>,
}

/// A local reply or the flags of a cut connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedResponse {
    /// Status; 0 for a cut connection.
    pub status: u16,
    /// Flags.
    pub flags: String,
    /// Details.
    pub details: String,
    /// Where a redirect leads.
    pub location: Option<String>,
}

/// Where a cluster's endpoints come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedUpstream {
    /// `dns`, `static`, `original_dst` or `dynamic_dns`.
    pub kind: &'static str,
    /// Addresses, or names with their port.
    pub addresses: Vec<String>,
}

/// Retries of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedRetries {
    /// After the first attempt.
    pub attempts: u32,
    /// Limit of one attempt.
    pub per_try_timeout_ms: Option<u64>,
    /// Envoy's `retry_on`.
    pub retry_on: String,
}

/// TLS that the sidecar originates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedTls {
    /// Server name; `None` takes the request's host.
    pub sni: Option<String>,
}

/// Steps that follow from a decision.
const FOLLOWING: [&str; 9] = [
    "rule", "tunnel", "cluster", "endpoint", "fault", "cors", "headers", "rewrite", "mirror",
];

/// Decides, says why, and what would change it in `world`, of which `snapshot` was made. Tries each change, and so takes as
/// long as compiling the policy a few times.
pub fn explain_in(world: &World, snapshot: &Snapshot, facts: &Facts<'_>) -> Explanation {
    let normalised = normalised(snapshot, facts);
    let mut explanation = explained(snapshot, facts, &normalised);
    let facts = &with_path(*facts, &normalised);
    let changes = otherwise::changes(world, snapshot, facts, explanation.verdict, &explanation.trace);
    explanation.otherwise = (!changes.is_empty()).then(|| {
        let sentences: Vec<_> = changes.iter().map(Change::to_string).collect();
        sentences.join("; or ")
    });
    explanation.changes = changes;
    explanation
}

/// Decides and says why.
pub fn explain(snapshot: &Snapshot, facts: &Facts<'_>) -> Explanation {
    explained(snapshot, facts, &normalised(snapshot, facts))
}

/// The path that is decided of what is asked; empty where it is no request.
fn normalised<'f>(snapshot: &Snapshot, facts: &Facts<'f>) -> Cow<'f, str> {
    match facts.claims {
        Claims::Http(http) => snapshot.normalised(http.path),
        _ => Cow::default(),
    }
}

fn with_path<'f>(facts: Facts<'f>, path: &'f str) -> Facts<'f> {
    match facts.claims {
        Claims::Http(http) => Facts {
            claims: Claims::Http(HttpClaims { path, ..http }),
            ..facts
        },
        _ => facts,
    }
}

fn explained(snapshot: &Snapshot, asked: &Facts<'_>, normalised: &str) -> Explanation {
    let mut trace = Vec::new();
    let facts = &with_path(*asked, normalised);
    let decision = decide(snapshot, facts, &mut trace);
    if let Claims::Http(http) = asked.claims
        && decision.layer == Layer::Http
        && http.path != normalised
    {
        let is_of_request = |step: &Step| step.step == "virtual_host";
        let at = trace.iter().position(is_of_request).unwrap_or(trace.len());
        let how = snapshot.path_normalization;
        trace.insert(
            at,
            step("path", format!("{:?} becomes {normalised:?} ({how})", http.path), None),
        );
    }
    let forward = match decision.action {
        Action::Forward(forward) => Some(forward),
        _ => None,
    };
    let upstream = forward.map(|forward| upstream(forward.cluster, facts));
    if let (Some(forward), Some(upstream)) = (&forward, &upstream) {
        // The last that was decided is the cluster.
        let cluster = trace.len().saturating_sub(1);
        trace.splice(cluster..cluster, rule_step(forward.cluster));
        trace.push(endpoint_step(forward, upstream, facts));
    }
    let treatment = decision.treatment;
    let own = forward.and_then(|forward| forward.edits);
    let path = match facts.claims {
        Claims::Http(http) => Some(http.path),
        _ => None,
    };
    Explanation {
        verdict: decision.verdict,
        // The cluster and what is done on the way there follow from the decision; the step before is where it was made.
        // A cluster that is not there is what decides.
        reason: trace
            .iter()
            .rev()
            .find(|step| !FOLLOWING.contains(&step.step) || forward.is_none() && step.step == "cluster")
            .map(|step| step.outcome.clone())
            .unwrap_or_default(),
        cluster: match decision.action {
            Action::Forward(forward) => Some(forward.cluster.name.to_string()),
            Action::Cut { cluster, .. } => cluster.map(str::to_string),
            Action::Reply(_) | Action::Bypass => None,
        },
        listener: (!decision.listener.is_empty()).then(|| decision.listener.to_string()),
        virtual_host: decision.virtual_host.map(str::to_string),
        route: decision.route.map(str::to_string),
        response: match decision.action {
            Action::Reply(reply) => Some(ExplainedResponse {
                status: reply.status,
                flags: reply.flags.to_string(),
                details: reply.details.to_string(),
                location: reply.redirect.and_then(|redirect| match facts.claims {
                    Claims::Http(http) => Some(location(redirect, http.scheme(), http.authority?, http.path)),
                    _ => None,
                }),
            }),
            Action::Cut { flags, .. } => Some(ExplainedResponse {
                status: 0,
                flags: flags.to_string(),
                details: "-".to_string(),
                location: None,
            }),
            Action::Forward(_) | Action::Bypass => None,
        },
        upstream,
        timeout_ms: forward
            .and_then(|forward| forward.timeout)
            .map(|timeout| timeout.as_millis() as u64),
        retries: forward
            .and_then(|forward| forward.retries)
            .map(|retries| ExplainedRetries {
                attempts: retries.attempts,
                per_try_timeout_ms: retries.per_try_timeout.map(|timeout| timeout.as_millis() as u64),
                retry_on: retries.retry_on.clone(),
            }),
        tls: forward
            .and_then(|forward| forward.cluster.settings.tls.as_ref())
            .map(|tls| ExplainedTls {
                sni: tls.sni.as_deref().map(str::to_string),
            }),
        rewrite: explain_treatment::rewrite(&decision, path),
        request_headers: explain_treatment::edits(
            own.map(|own| &own.request),
            treatment
                .filter(|_| forward.is_some())
                .map(|treatment| &treatment.request),
        ),
        response_headers: explain_treatment::edits(
            own.map(|own| &own.response),
            treatment.map(|treatment| &treatment.response),
        ),
        fault: treatment.and_then(ExplainedFault::of),
        mirrors: treatment.map(ExplainedMirror::of).unwrap_or_default(),
        cors: treatment.and_then(ExplainedCors::of),
        otherwise: None,
        changes: Vec::new(),
        trace,
    }
}

fn upstream(cluster: &Cluster, facts: &Facts<'_>) -> ExplainedUpstream {
    let (kind, addresses) = match &cluster.endpoints {
        Endpoints::OriginalDst(port) => {
            let (address, own) = (facts.destination.ip(), facts.destination.port());
            (
                "original_dst",
                vec![std::net::SocketAddr::new(address, port.unwrap_or(own)).to_string()],
            )
        }
        Endpoints::Static(addresses) => ("static", addresses.iter().map(ToString::to_string).collect()),
        Endpoints::Host(port) => ("dns", vec![format!("{}:{port}", cluster.host)]),
        Endpoints::Dns(names) => (
            "dns",
            names.iter().map(|(name, port)| format!("{name}:{port}")).collect(),
        ),
        Endpoints::DynamicDns(port) => {
            let name = match facts.claims {
                Claims::Http(http) => http.authority,
                Claims::Tls { sni } => sni,
                Claims::Tcp => None,
            };
            let name = name.map(|name| asked(name, *port));
            (
                "dynamic_dns",
                name.iter().map(|(host, port)| format!("{host}:{port}")).collect(),
            )
        }
    };
    ExplainedUpstream { kind, addresses }
}
