//! What a decision's steps say, in words a platform engineer uses.

use super::{
    Balance, Claims, Cluster, Facts, Forward, Snapshot, Step,
    listeners::{Listener, Seen},
    routes::{Route, RouteAction},
};
use crate::model::{HashKey, ObjectRef};

pub(super) fn no_proxy() -> Step {
    let outcome = "the cluster of the Sidecar's egressProxy does not exist; import its host under egress";
    step("cluster", outcome.into(), None)
}

pub(super) fn step(step: &'static str, outcome: String, object: Option<ObjectRef>) -> Step {
    Step { step, outcome, object }
}

pub(super) fn listener_step(snapshot: &Snapshot, listener: &Listener, facts: &Facts<'_>) -> Step {
    let outcome = if std::ptr::eq(listener, &snapshot.fallback) {
        format!("virtualOutbound: nothing declares port {}", facts.destination.port())
    } else {
        listener.name.clone()
    };
    step("listener", outcome, None)
}

pub(super) fn mode_step(snapshot: &Snapshot, outcome: &str) -> Step {
    let mode = &snapshot.mode;
    let written = if mode.object.is_some() {
        ""
    } else {
        " (written nowhere: Istio's default)"
    };
    step(
        "route",
        format!("{} holds in the {}{written}: {outcome}", mode.mode, mode.scope),
        mode.object.clone(),
    )
}

pub(super) fn route_step(route: &Route) -> Step {
    let mut outcome = match &route.name {
        Some(name) => format!("route {name}"),
        None => "a route without a name".to_string(),
    };
    if let RouteAction::Forward {
        timeout: Some(timeout), ..
    } = &route.action
    {
        outcome.push_str(&format!(", timeout {} ms", timeout.as_millis()));
    }
    step("route", outcome, Some(route.object.clone()))
}

pub(super) fn cluster_step(cluster: &Cluster) -> Step {
    let mut outcome = cluster.name.to_string();
    let limits = &cluster.limits;
    for (limit, of) in [
        (limits.connections, "connections"),
        (limits.pending, "waiting requests"),
        (limits.requests, "requests"),
        (limits.retries, "retries"),
    ] {
        if let Some(limit) = limit {
            outcome.push_str(&format!(", at most {limit} {of} at once"));
        }
    }
    if !cluster.unapplied.is_empty() {
        outcome.push_str(&format!(
            "; not done by Egret's sidecar: {}",
            cluster.unapplied.join(", ")
        ));
    }
    step("cluster", outcome, cluster.object.clone())
}

/// Who of a cluster's endpoints is called, where something is said of it. `forward` goes to it.
pub(super) fn endpoint_step(forward: &Forward<'_>, facts: &Facts<'_>) -> Option<Step> {
    let balance = forward.cluster.balance.as_deref()?;
    let mut parts = Vec::new();
    match balance.spread.as_ref().map(|spread| (spread, spread.by_locality)) {
        Some((spread, true)) => parts.push(format!("a locality by its weight: {}", spread)),
        Some((spread, false)) => parts.push(format!("{spread}")),
        None => {}
    }
    parts.push(match balance.balancer.hashes() {
        true => hashed(forward, facts, balance),
        false => balance.balancer.to_string(),
    });
    if let Some(outlier) = &balance.outlier {
        parts.push(outlier.to_string());
        if balance.panic_percent > 0 {
            parts.push(format!(
                "with less than {} % left all are called",
                balance.panic_percent
            ));
        }
    }
    Some(step("endpoint", parts.join("; "), forward.cluster.object.clone()))
}

/// Whom a hash leads to.
fn hashed(forward: &Forward<'_>, facts: &Facts<'_>, balance: &Balance) -> String {
    let by_source = forward.stream.is_some_and(|stream| stream.by_source);
    let of: Vec<String> = match (facts.claims, by_source) {
        (Claims::Http(_), _) => forward.hash.iter().map(key).collect(),
        (_, true) => vec!["the caller's address".into()],
        (_, false) => Vec::new(),
    };
    match of.is_empty() {
        true => format!("no hash, so that one is drawn, by {}", balance.balancer),
        false => format!("by the hash of {}, {}", of.join(" and "), balance.balancer),
    }
}

fn key(key: &HashKey) -> String {
    match key {
        HashKey::Header(name) => format!("header {name}"),
        HashKey::Cookie(cookie) if cookie.ttl.is_some() => {
            format!("cookie {}, which is set where there is none", cookie.name)
        }
        HashKey::Cookie(cookie) => format!("cookie {}", cookie.name),
        HashKey::SourceIp(_) => "the caller's address".into(),
        HashKey::QueryParameter(name) => format!("query parameter {name}"),
    }
}

pub(super) fn describe(seen: &Seen<'_>) -> String {
    match (seen.tls, seen.name) {
        (true, Some(name)) => format!("TLS to {name}"),
        (true, None) => "TLS without a server name".into(),
        (false, _) if seen.http => "HTTP".into(),
        (false, _) => format!("a byte stream to {}", seen.address),
    }
}
