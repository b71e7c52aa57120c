//! What a decision's steps say, in words a platform engineer uses.

use super::{
    Cluster, Facts, HttpClaims, Snapshot, Step, UpstreamHttp,
    listeners::{Listener, Seen},
    redirect::location,
    routes::{DEFAULT_ROUTE, OwnRoute, Route, RouteAction, VirtualHost, WeightedCluster},
};
use crate::model::ObjectRef;

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

pub(super) fn route_step(route: &Route, http: &HttpClaims<'_>) -> Step {
    let mut outcome = match &route.name {
        Some(name) => format!("route {name}"),
        None => "a route without a name".to_string(),
    };
    match &route.action {
        RouteAction::Forward {
            clusters,
            timeout,
            retries,
            ..
        } => {
            if let Some(timeout) = timeout {
                outcome.push_str(&format!(", timeout {} ms", timeout.as_millis()));
            }
            if let Some(retries) = retries {
                outcome.push_str(&format!(", at most {} retries", retries.attempts));
                if let Some(limit) = retries.per_try_timeout {
                    outcome.push_str(&format!(" of {} ms each", limit.as_millis()));
                }
            }
            outcome.push_str(&shares(clusters));
        }
        RouteAction::Redirect(redirect) => {
            let authority = http.authority.unwrap_or_default();
            let target = location(redirect, http.scheme(), authority, http.path);
            outcome.push_str(&format!(": answered {}, to {target}", redirect.code));
        }
        RouteAction::Respond { status, .. } => outcome.push_str(&format!(": answered {status}")),
        RouteAction::Nothing => outcome.push_str(": a redirect whose code cannot be sent, so that the answer is 404"),
    }
    step("route", outcome, Some(route.object.clone()))
}

/// How requests are shared out, where there are several destinations.
fn shares(clusters: &[WeightedCluster]) -> String {
    if clusters.len() < 2 {
        return String::new();
    }
    let all: u64 = clusters.iter().map(|cluster| u64::from(cluster.weight)).sum();
    let share = |cluster: &WeightedCluster| format!("{} of {all} to {}", cluster.weight, cluster.name);
    let shares: Vec<_> = clusters.iter().map(share).collect();
    format!(", requests shared out: {}", shares.join(", "))
}

pub(super) fn own_route_step(virtual_host: &VirtualHost, own: &OwnRoute) -> Step {
    let object = virtual_host.object.at(own.line);
    step("route", format!("route {DEFAULT_ROUTE}"), Some(object))
}

/// The DestinationRule that holds for a cluster, where one does.
pub(super) fn rule_step(cluster: &Cluster) -> Option<Step> {
    let rule = cluster.rule.as_deref()?;
    let mut outcome = format!("DestinationRule {} holds", rule.name);
    if let Some(tls) = &cluster.settings.tls {
        let name = tls.sni.as_deref().unwrap_or("the request's Host");
        outcome.push_str(&format!(": TLS to the destination, with {name} as server name"));
    }
    Some(step("rule", outcome, Some(rule.clone())))
}

pub(super) fn cluster_step(cluster: &Cluster) -> Step {
    let mut outcome = cluster.name.to_string();
    if cluster.settings.http == UpstreamHttp::Http2 {
        outcome.push_str(", in HTTP/2");
    }
    let limits = &cluster.settings.limits;
    for (limit, of) in [
        (limits.connections, "connections"),
        (limits.pending, "waiting requests"),
        (limits.requests, "requests"),
        (limits.retries.filter(|_| limits.retry_budget.is_none()), "retries"),
    ] {
        if let Some(limit) = limit {
            outcome.push_str(&format!(", at most {limit} {of} at once"));
        }
    }
    if let Some(budget) = limits.retry_budget {
        let (share, minimum) = (budget.share, budget.minimum);
        let of = match budget.interval.as_millis() {
            0 => "the requests".to_string(),
            interval => format!("the requests of the last {interval} ms"),
        };
        outcome.push_str(&format!(", retries at once for {share} of {of}, {minimum} in any case"));
    }
    if let Some(version) = cluster.settings.proxy_protocol {
        outcome.push_str(&format!(
            ", each connection with a header of the PROXY protocol ({version:?})"
        ));
    }
    let unapplied = &cluster.settings.unapplied;
    if !unapplied.is_empty() {
        outcome.push_str(&format!("; not done by Egret's sidecar: {}", unapplied.join(", ")));
    }
    step("cluster", outcome, cluster.object.clone())
}

pub(super) fn chain_step(seen: &Seen<'_>, object: Option<ObjectRef>) -> Step {
    step("chain", format!("a filter chain takes {}", describe(seen)), object)
}

pub(super) fn describe(seen: &Seen<'_>) -> String {
    match (seen.tls, seen.name) {
        (true, Some(name)) => format!("TLS to {name}"),
        (true, None) => "TLS without a server name".into(),
        (false, _) if seen.http => "HTTP".into(),
        (false, _) => format!("a byte stream to {}", seen.address),
    }
}
