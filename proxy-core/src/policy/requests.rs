//! The decision about one request, once a listener has taken it for HTTP.

use super::{
    Action, Decision, Forward, HttpClaims, Layer, Reply, Snapshot, Verdict, Witness,
    listeners::Listener,
    paths,
    routes::{DEFAULT_ROUTE, Otherwise, OwnRoute, Route, RouteAction, Routes, VirtualHost, WeightedCluster, pick},
    steps::{cluster_step, mode_step, no_proxy, own_route_step, route_step, step},
    version,
};
use crate::model::OutboundMode;

/// Decides by the route table of that number, where the listener has one.
pub(super) fn request<'s, W: Witness>(
    snapshot: &'s Snapshot,
    listener: &'s Listener,
    table: Option<usize>,
    http: &HttpClaims<'_>,
    draw: u32,
    witness: &mut W,
) -> Decision<'s> {
    let reply = |verdict, virtual_host, status, flags, details| Decision {
        verdict,
        listener: &listener.name,
        layer: Layer::Http,
        virtual_host,
        route: None,
        action: bare_reply(status, flags, details),
        treatment: None,
        grpc_web: false,
    };
    let Some(authority) = http.authority else {
        witness.saw(|| step("virtual_host", "the request has no Host: 400".into(), None));
        return reply(Verdict::Blocked, None, 400, "-", "missing_host_header");
    };
    if paths::is_refused(snapshot.path_normalization, http.path) {
        witness.saw(|| step("path", "the path has an encoded zero byte: 400".into(), None));
        return reply(Verdict::Blocked, None, 400, "-", "path_normalization_failed");
    }
    let table = table.map(|table| &snapshot.tables[table]);
    let found = table.and_then(|table| table.virtual_host(authority));
    let nothing = found.is_none() && table.is_some_and(|table| matches!(table.otherwise, Otherwise::Nothing));
    let verdict = match found.is_some() || nothing {
        true => Verdict::Registered,
        false => Verdict::Blocked,
    };
    let virtual_host = match found {
        Some(virtual_host) => Some(virtual_host.name()),
        None => (!nothing).then(|| unknown(snapshot)),
    };
    if http.method == "CONNECT" {
        witness.saw(|| step("route", "CONNECT has no path, so no route takes it: 404".into(), None));
        return reply(verdict, virtual_host, 404, "NR", "route_not_found");
    }
    if !http.path.starts_with('/') {
        witness.saw(|| step("route", format!("{} is no path: 404", http.path), None));
        return reply(verdict, virtual_host, 404, "-", "absolute_path_rejected");
    }
    if nothing {
        witness.saw(|| {
            step(
                "virtual_host",
                "the listener has no virtual host at all: 404".into(),
                None,
            )
        });
        return reply(Verdict::Registered, None, 404, "NR", "route_not_found");
    }
    match found {
        Some(virtual_host) => known_request(listener, virtual_host, http, draw, witness),
        None => {
            witness.saw(|| {
                step(
                    "virtual_host",
                    format!("no virtual host has the domain {authority:?}"),
                    None,
                )
            });
            unknown_request(snapshot, listener, witness)
        }
    }
}

fn known_request<'s, W: Witness>(
    listener: &'s Listener,
    virtual_host: &'s VirtualHost,
    http: &HttpClaims<'_>,
    draw: u32,
    witness: &mut W,
) -> Decision<'s> {
    witness.saw(|| {
        step(
            "virtual_host",
            virtual_host.name().to_string(),
            Some(virtual_host.object.clone()),
        )
    });
    let routes = match &virtual_host.routes {
        Routes::Several(routes) => routes,
        Routes::Own(own) => return own_request(listener, virtual_host, own, witness),
    };
    let fits = |route: &&Route| route.condition.as_ref().is_none_or(|condition| condition.matches(http));
    let found = routes.iter().find(fits);
    let decision = |name, action| Decision {
        verdict: Verdict::Registered,
        listener: &listener.name,
        layer: Layer::Http,
        virtual_host: Some(virtual_host.name()),
        route: name,
        action,
        treatment: found.and_then(|route| route.treatment.as_deref()),
        grpc_web: false,
    };
    let reply = |status, flags, details, body, redirect| {
        Action::Reply(Reply {
            status,
            flags,
            details,
            body,
            redirect,
            closes: false,
        })
    };
    let Some(route) = found else {
        witness.saw(|| {
            step(
                "route",
                format!(
                    "no route of this host matches {} {}, and there is no way back: 404",
                    http.method, http.path
                ),
                Some(virtual_host.object.clone()),
            )
        });
        return decision(None, reply(404, "NR", "route_not_found", b"", None));
    };
    witness.saw(|| route_step(route, http));
    if let Some(treatment) = &route.treatment {
        witness.saw_all(|| treatment.steps());
    }
    let name = route.name.as_deref();
    match &route.action {
        RouteAction::Respond { status, body } => decision(name, reply(*status, "-", "direct_response", body, None)),
        RouteAction::Redirect(redirect) => {
            decision(name, reply(redirect.code, "-", "direct_response", b"", Some(redirect)))
        }
        RouteAction::Nothing => decision(None, reply(404, "NR", "route_not_found", b"", None)),
        RouteAction::Forward {
            clusters,
            timeout,
            retries,
            hash,
        } => {
            let picked = pick(clusters.iter().map(|cluster| cluster.weight), draw).map(|index| &clusters[index]);
            match picked {
                Some(WeightedCluster {
                    cluster: Some(cluster),
                    edits,
                    ..
                }) => {
                    if let Some(edits) = edits {
                        witness.saw(|| step("headers", edits.describe(), Some(route.object.clone())));
                    }
                    witness.saw(|| cluster_step(cluster));
                    decision(
                        name,
                        Action::Forward(Forward {
                            cluster,
                            timeout: *timeout,
                            retries: retries.as_deref(),
                            operation: route.operation.as_deref(),
                            edits: edits.as_deref(),
                            hash,
                            stream: None,
                        }),
                    )
                }
                missing => {
                    witness.saw(|| {
                        let name = missing.map_or("no destination", |cluster| &cluster.name);
                        step(
                            "cluster",
                            format!("{name} does not exist: 503"),
                            Some(route.object.clone()),
                        )
                    });
                    decision(name, reply(503, "NC", "cluster_not_found", b"", None))
                }
            }
        }
    }
}

/// By the route of a service that no VirtualService has.
fn own_request<'s, W: Witness>(
    listener: &'s Listener,
    virtual_host: &'s VirtualHost,
    own: &'s OwnRoute,
    witness: &mut W,
) -> Decision<'s> {
    witness.saw(|| own_route_step(virtual_host, own));
    witness.saw(|| cluster_step(&own.cluster));
    Decision {
        verdict: Verdict::Registered,
        listener: &listener.name,
        layer: Layer::Http,
        virtual_host: Some(virtual_host.name()),
        route: Some(DEFAULT_ROUTE),
        action: Action::Forward(Forward {
            retries: own.retries.as_deref(),
            operation: own.traced.then(|| virtual_host.own_operation()),
            ..Forward::plain(&own.cluster)
        }),
        treatment: None,
        grpc_web: false,
    }
}

fn unknown_request<'s, W: Witness>(snapshot: &'s Snapshot, listener: &'s Listener, witness: &mut W) -> Decision<'s> {
    let name = unknown(snapshot);
    let forward = |cluster, timeout| Decision {
        verdict: Verdict::Passthrough,
        listener: &listener.name,
        layer: Layer::Http,
        virtual_host: Some(name),
        route: Some(name),
        action: Action::Forward(Forward {
            timeout,
            ..Forward::plain(cluster)
        }),
        treatment: None,
        grpc_web: false,
    };
    let refuse = |status, flags, details| Decision {
        verdict: Verdict::Blocked,
        listener: &listener.name,
        layer: Layer::Http,
        virtual_host: Some(name),
        route: Some(name),
        action: bare_reply(status, flags, details),
        treatment: None,
        grpc_web: false,
    };
    match snapshot.mode.mode {
        OutboundMode::RegistryOnly => {
            witness.saw(|| mode_step(snapshot, "answered 502 by route block_all"));
            refuse(502, "-", "direct_response")
        }
        OutboundMode::AllowAny => {
            witness.saw(|| mode_step(snapshot, "let through to its own address by route allow_any"));
            let Some(cluster) = &snapshot.unknown else {
                witness.saw(no_proxy);
                return refuse(503, "NC", "cluster_not_found");
            };
            witness.saw(|| cluster_step(cluster));
            forward(cluster, version::limit_of_unknown(snapshot.version))
        }
        OutboundMode::AllowAnyDynamicDns => {
            witness.saw(|| mode_step(snapshot, "resolved by its Host by route allow_any_dynamic_dns"));
            witness.saw(|| cluster_step(&snapshot.dynamic_dns));
            forward(&snapshot.dynamic_dns, None)
        }
    }
}

/// The virtual host for what no other one has, which is its only route's name too.
fn unknown(snapshot: &Snapshot) -> &'static str {
    match snapshot.mode.mode {
        OutboundMode::RegistryOnly => "block_all",
        OutboundMode::AllowAny => "allow_any",
        OutboundMode::AllowAnyDynamicDns => "allow_any_dynamic_dns",
    }
}

/// A local reply with nothing but its status.
pub(super) fn bare_reply<'s>(status: u16, flags: &'static str, details: &'static str) -> Action<'s> {
    Action::Reply(Reply {
        status,
        flags,
        details,
        body: b"",
        redirect: None,
        // Envoy: who sends what is no request sends no other one behind it.
        closes: status == 400,
    })
}
