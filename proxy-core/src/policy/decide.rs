//! The decision.

use super::{
    Action, Claims, Cluster, Decision, Facts, Forward, HttpClaims, Layer, Reply, Snapshot, Verdict, Witness,
    capture::OUTBOUND_PORT,
    listeners::{Chain, Listener, Seen, Target},
    routes::{Otherwise, Route, RouteAction, VirtualHost, WeightedCluster, pick},
    steps::{cluster_step, describe, listener_step, mode_step, no_proxy, route_step, step},
    version,
};
use crate::model::OutboundMode;

/// Decides about one connection or request. Total, deterministic, free of allocation with the silent witness.
pub fn decide<'s, W: Witness>(snapshot: &'s Snapshot, facts: &Facts<'_>, witness: &mut W) -> Decision<'s> {
    if let Some(rule) = snapshot.capture.bypass(facts.destination) {
        witness.saw(|| snapshot.capture.step(rule));
        return Decision {
            verdict: Verdict::Bypassed,
            listener: "",
            layer: Layer::Tcp,
            virtual_host: None,
            route: None,
            action: Action::Bypass,
            treatment: None,
        };
    }
    witness.saw(|| step("capture", "redirected to the sidecar".into(), None));
    if facts.destination.port() == OUTBOUND_PORT {
        witness.saw(|| {
            step(
                "listener",
                "virtualOutbound: the capture port itself is never a destination".into(),
                None,
            )
        });
        return cut("virtualOutbound", Some("BlackHoleCluster"), "UH", Verdict::Blocked);
    }
    let listener = snapshot.listener(facts.destination);
    witness.saw(|| listener_step(snapshot, listener, facts));
    let seen = Seen::of(listener, facts);
    if std::ptr::eq(listener, &snapshot.fallback) {
        return match (facts.claims, snapshot.mode.mode) {
            (Claims::Http(http), OutboundMode::AllowAnyDynamicDns) if seen.http => {
                request(snapshot, listener, None, &http, facts.draw, witness)
            }
            _ => unknown_stream(snapshot, listener, witness),
        };
    }
    match listener.chain(&seen).or(listener.default.as_deref()) {
        None => {
            witness.saw(|| step("chain", format!("no filter chain takes {}", describe(&seen)), None));
            unknown_stream(snapshot, listener, witness)
        }
        Some(chain) => match (&chain.target, facts.claims) {
            (Target::Http(table), Claims::Http(http)) => {
                witness.saw(|| {
                    step(
                        "chain",
                        format!("HTTP, routed by Host on port {}", facts.destination.port()),
                        None,
                    )
                });
                let named = |authority| version::names_a_route(snapshot.version, authority, facts.destination.port());
                let table = http.authority.is_none_or(named).then_some(*table);
                request(snapshot, listener, table, &http, facts.draw, witness)
            }
            (Target::Tcp(targets), _) => stream(listener, chain, targets, &seen, facts.draw, witness),
            // A Sidecar's own listener for HTTP, which asks nothing of the first bytes.
            (Target::Http(_), _) => not_http(listener, witness),
        },
    }
}

fn not_http<'s, W: Witness>(listener: &'s Listener, witness: &mut W) -> Decision<'s> {
    witness.saw(|| step("chain", "HTTP, and what was sent is none: 400".into(), None));
    Decision {
        verdict: Verdict::Blocked,
        listener: &listener.name,
        layer: Layer::Http,
        virtual_host: None,
        route: None,
        action: bare_reply(400, "DPE", "http1.codec_error"),
        treatment: None,
    }
}

fn stream<'s, W: Witness>(
    listener: &'s Listener,
    chain: &'s Chain,
    targets: &'s [(Option<std::sync::Arc<Cluster>>, u32)],
    seen: &Seen<'_>,
    draw: u32,
    witness: &mut W,
) -> Decision<'s> {
    witness.saw(|| {
        step(
            "chain",
            format!("a filter chain takes {}", describe(seen)),
            chain.object.clone(),
        )
    });
    let picked = pick(targets.iter().map(|(_, weight)| *weight), draw).and_then(|index| targets[index].0.as_deref());
    match picked {
        Some(cluster) => {
            witness.saw(|| cluster_step(cluster));
            Decision {
                verdict: Verdict::Registered,
                listener: &listener.name,
                layer: Layer::Tcp,
                virtual_host: None,
                route: None,
                action: Action::Forward(Forward {
                    stream: chain.stream.as_deref(),
                    ..Forward::plain(cluster)
                }),
                treatment: None,
            }
        }
        None => {
            witness.saw(|| {
                step(
                    "cluster",
                    "the destination's cluster does not exist".into(),
                    chain.object.clone(),
                )
            });
            cut(&listener.name, None, "NC", Verdict::Registered)
        }
    }
}

fn unknown_stream<'s, W: Witness>(snapshot: &'s Snapshot, listener: &'s Listener, witness: &mut W) -> Decision<'s> {
    let blocked = snapshot.mode.mode == OutboundMode::RegistryOnly;
    witness.saw(|| {
        mode_step(
            snapshot,
            if blocked {
                "cut"
            } else {
                "let through to its own address"
            },
        )
    });
    if blocked {
        return cut(&listener.name, Some("BlackHoleCluster"), "UH", Verdict::Blocked);
    }
    let Some(cluster) = &snapshot.unknown else {
        witness.saw(no_proxy);
        return cut(&listener.name, None, "NC", Verdict::Blocked);
    };
    witness.saw(|| cluster_step(cluster));
    Decision {
        verdict: Verdict::Passthrough,
        listener: &listener.name,
        layer: Layer::Tcp,
        virtual_host: None,
        route: None,
        action: Action::Forward(Forward::plain(cluster)),
        treatment: None,
    }
}

fn request<'s, W: Witness>(
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
    };
    let Some(authority) = http.authority else {
        witness.saw(|| step("virtual_host", "the request has no Host: 400".into(), None));
        return reply(Verdict::Blocked, None, 400, "-", "missing_host_header");
    };
    let table = table.map(|table| &snapshot.tables[table]);
    let found = table.and_then(|table| table.virtual_host(authority));
    let nothing = found.is_none() && table.is_some_and(|table| matches!(table.otherwise, Otherwise::Nothing));
    let verdict = match found.is_some() || nothing {
        true => Verdict::Registered,
        false => Verdict::Blocked,
    };
    let virtual_host = match found {
        Some(virtual_host) => Some(virtual_host.name.as_str()),
        None => (!nothing).then(|| unknown(snapshot)),
    };
    if http.method == "CONNECT" {
        witness.saw(|| step("route", "CONNECT has no path, so no route takes it: 404".into(), None));
        return reply(verdict, virtual_host, 404, "NR", "route_not_found");
    }
    if http.path == "*" {
        witness.saw(|| step("route", "OPTIONS * has no path: 404".into(), None));
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
            virtual_host.name.clone(),
            Some(virtual_host.object.clone()),
        )
    });
    let fits = |route: &&Route| route.condition.as_ref().is_none_or(|condition| condition.matches(http));
    let found = virtual_host.routes.iter().find(fits);
    let decision = |name, action| Decision {
        verdict: Verdict::Registered,
        listener: &listener.name,
        layer: Layer::Http,
        virtual_host: Some(&virtual_host.name),
        route: name,
        action,
        treatment: found.and_then(|route| route.treatment.as_deref()),
    };
    let reply = |status, flags, details, body, redirect| {
        Action::Reply(Reply {
            status,
            flags,
            details,
            body,
            redirect,
        })
    };
    let Some(route) = found else {
        witness.saw(|| {
            step(
                "route",
                "no route of this host matches, and there is no way back: 404".into(),
                None,
            )
        });
        return decision(None, reply(404, "NR", "route_not_found", "", None));
    };
    witness.saw(|| route_step(route));
    if let Some(treatment) = &route.treatment {
        witness.saw_all(|| treatment.steps());
    }
    let name = route.name.as_deref();
    match &route.action {
        RouteAction::Respond { status, body } => decision(name, reply(*status, "-", "direct_response", body, None)),
        RouteAction::Redirect(redirect) => {
            decision(name, reply(redirect.code, "-", "direct_response", "", Some(redirect)))
        }
        RouteAction::Nothing => decision(None, reply(404, "NR", "route_not_found", "", None)),
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
                    decision(name, reply(503, "NC", "cluster_not_found", "", None))
                }
            }
        }
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
    };
    let refuse = |status, flags, details| Decision {
        verdict: Verdict::Blocked,
        listener: &listener.name,
        layer: Layer::Http,
        virtual_host: Some(name),
        route: Some(name),
        action: bare_reply(status, flags, details),
        treatment: None,
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

fn cut<'s>(listener: &'s str, cluster: Option<&'static str>, flags: &'static str, verdict: Verdict) -> Decision<'s> {
    Decision {
        verdict,
        listener,
        layer: Layer::Tcp,
        virtual_host: None,
        route: None,
        action: Action::Cut { cluster, flags },
        treatment: None,
    }
}

/// A local reply with nothing but its status.
fn bare_reply<'s>(status: u16, flags: &'static str, details: &'static str) -> Action<'s> {
    Action::Reply(Reply {
        status,
        flags,
        details,
        body: "",
        redirect: None,
    })
}
