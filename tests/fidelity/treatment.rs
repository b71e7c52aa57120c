//! What a route does to a request and its response beside where it sends it, in the same words from either side.

use std::collections::{BTreeMap, BTreeSet};

use proxy_core::{
    model::TextMatch,
    policy::{Action, Cors, Decision, DestinationEdits, Fault, HeaderEdits, Template},
};
use serde_json::{Value, json};

use crate::{
    oracle::{Answer, Matched, Target},
    outcome::{NO_CLUSTER, Outcome},
};

/// Fields of an outcome that this file fills.
pub const FIELDS: [&str; 8] = [
    "sent_path",
    "sent_host",
    "request_headers",
    "response_headers",
    "fault",
    "mirrors",
    "cors",
    "destinations",
];

/// Notes what is said; what says nothing is left out.
fn put(outcome: &mut Outcome, field: &'static str, value: Value) {
    let empty = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    if !empty {
        outcome.insert(field, value);
    }
}

/// The treatment of a request whose route is known.
pub fn of_istio(outcome: &mut Outcome, route: &Matched, answer: &Answer) {
    let own = &route.treatment;
    put(outcome, "response_headers", own.response_headers.clone());
    put(outcome, "fault", own.fault.clone());
    if answer.clusters.is_empty() {
        return;
    }
    put(outcome, "sent_path", json!(own.path));
    put(outcome, "sent_host", json!(own.host));
    put(outcome, "request_headers", own.request_headers.clone());
    put(outcome, "cors", own.cors.clone());
    let mirrors = own.mirrors.iter();
    let mirrors = mirrors.map(|mirror| (if mirror.exists { &mirror.cluster } else { NO_CLUSTER }, mirror.share));
    put(outcome, "mirrors", json!(mirrors.collect::<Vec<_>>()));
    let mut edited = Destinations::default();
    let existing = answer
        .clusters
        .iter()
        .filter(|target| !target.kind.is_empty() && target.weight > 0);
    for target in existing {
        edited.add(&target.cluster, edits_of_istio(target));
    }
    edited.put(outcome);
}

fn edits_of_istio(target: &Target) -> Value {
    shown_edits(
        &target.host,
        target.request_headers.clone(),
        target.response_headers.clone(),
    )
}

/// What the engine says of the same.
pub fn of_engine(outcome: &mut Outcome, decision: &Decision<'_>, path: &str) {
    let treatment = decision.treatment;
    let response = treatment.map(|treatment| &treatment.response);
    put(outcome, "response_headers", lines(response));
    let faults = treatment.and_then(|treatment| treatment.fault.as_ref());
    put(outcome, "fault", faults.map_or(Value::Null, fault));
    let forwards = match decision.action {
        Action::Forward(_) => true,
        Action::Reply(reply) => reply.details == "cluster_not_found",
        _ => false,
    };
    if !forwards {
        return;
    }
    let rewrite = treatment.map(|treatment| &treatment.rewrite);
    let sent = rewrite
        .and_then(|rewrite| rewrite.path.as_ref())
        .map(|rewrite| rewrite.apply(path));
    put(outcome, "sent_path", json!(sent.unwrap_or_default()));
    let host = rewrite.and_then(|rewrite| rewrite.authority.as_deref());
    put(outcome, "sent_host", json!(host.unwrap_or_default()));
    put(
        outcome,
        "request_headers",
        lines(treatment.map(|treatment| &treatment.request)),
    );
    let crossing = treatment.and_then(|treatment| treatment.cors.as_ref());
    put(outcome, "cors", crossing.map_or(Value::Null, cors));
    let mirrors = treatment
        .map(|treatment| treatment.mirrors.as_slice())
        .unwrap_or_default();
    let mirrors = mirrors.iter().map(|mirror| {
        let name = mirror.cluster().map_or(NO_CLUSTER, |cluster| &*cluster.name);
        (name, mirror.percentage.millionths())
    });
    put(outcome, "mirrors", json!(mirrors.collect::<Vec<_>>()));
}

/// Edits of the destinations that a request is shared among, by their cluster.
#[derive(Default)]
pub struct Destinations(BTreeMap<String, BTreeSet<String>>);

impl Destinations {
    /// Adds those of one destination.
    pub fn add(&mut self, cluster: &str, edits: Value) {
        if !edits.is_null() {
            self.0.entry(cluster.to_string()).or_default().insert(edits.to_string());
        }
    }

    /// Notes them in an outcome.
    pub fn put(&self, outcome: &mut Outcome) {
        put(outcome, "destinations", json!(self.0));
    }
}

/// The engine's edits of one destination.
pub fn edits_of_engine(edits: &DestinationEdits) -> Value {
    let host = edits.authority.as_deref().unwrap_or_default();
    shown_edits(host, lines(Some(&edits.request)), lines(Some(&edits.response)))
}

fn shown_edits(host: &str, request: Value, response: Value) -> Value {
    if host.is_empty() && request.is_null() && response.is_null() {
        return Value::Null;
    }
    json!({"host": host, "request": request, "response": response})
}

fn lines(edits: Option<&HeaderEdits>) -> Value {
    let Some(edits) = edits.filter(|edits| !edits.is_empty()) else {
        return Value::Null;
    };
    let pair = |(name, value): &(String, Template)| (name.clone(), value.written.clone());
    let pairs = |lines: &[(String, Template)]| lines.iter().map(pair).collect::<Vec<_>>();
    json!({"remove": edits.remove, "set": pairs(&edits.set), "add": pairs(&edits.add)})
}

fn fault(fault: &Fault) -> Value {
    let mut shown = json!({});
    if let Some((share, delay)) = fault.delay {
        shown["delay_ms"] = json!(delay.as_millis() as u64);
        shown["delayed"] = json!(share.millionths());
    }
    if let Some(abort) = &fault.abort {
        shown["aborts_with"] = json!(abort.status);
        shown["aborted"] = json!(abort.percentage.millionths());
    }
    shown
}

fn cors(cors: &Cors) -> Value {
    let policy = &cors.policy;
    let origin = |text: &TextMatch| match text {
        TextMatch::Exact(text) => Some(("exact", text.clone())),
        TextMatch::Prefix(text) => Some(("prefix", text.clone())),
        TextMatch::Regex(text) => Some(("regex", text.clone())),
        TextMatch::Present => None,
    };
    json!({
        "allowed": policy.allow_origins.iter().filter_map(origin).collect::<Vec<_>>(),
        "methods": policy.allow_methods, "headers": policy.allow_headers, "exposed": policy.expose_headers,
        "max_age": policy.max_age.as_deref().unwrap_or_default(), "credentials": policy.allow_credentials,
        "ignores_unmatched": policy.ignore_unmatched,
    })
}
