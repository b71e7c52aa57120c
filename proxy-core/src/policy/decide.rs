//! The decision.

use super::{
    Action, Claims, Cluster, Decision, Facts, Forward, Layer, Snapshot, StreamSettings, Verdict, Witness,
    capture::OUTBOUND_PORT,
    listeners::{Chain, Listener, Seen, Weighted},
    requests::{bare_reply, request},
    routes::pick,
    steps::{chain_step, cluster_step, describe, listener_step, mode_step, no_proxy, step},
    version,
};
use crate::model::OutboundMode;

/// Decides about one connection or request. Total, deterministic, free of allocation with the silent witness.
pub fn decide<'s, W: Witness>(snapshot: &'s Snapshot, facts: &Facts<'_>, witness: &mut W) -> Decision<'s> {
    let bypass = snapshot.capture.bypass(facts.destination);
    if let Some(rule) = bypass.filter(|_| !snapshot.opens(facts.destination)) {
        witness.saw(|| snapshot.capture.step(rule));
        return Decision {
            verdict: Verdict::Bypassed,
            listener: "",
            layer: Layer::Tcp,
            virtual_host: None,
            route: None,
            action: Action::Bypass,
            treatment: None,
            grpc_web: false,
        };
    }
    witness.saw(|| {
        let outcome = match bypass {
            Some(_) => "a socket that the Sidecar opens (captureMode NONE)",
            None => "redirected to the sidecar",
        };
        step("capture", outcome.into(), None)
    });
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
    match listener.chain(&seen).or(listener.default.as_ref()) {
        None => {
            witness.saw(|| step("chain", format!("no filter chain takes {}", describe(&seen)), None));
            unknown_stream(snapshot, listener, witness)
        }
        Some(chain) => match (chain, facts.claims) {
            (Chain::Http(chain), Claims::Http(http)) => {
                let port = facts.destination.port();
                let grpc_web = chain.grpc_web && version::has(snapshot.version, version::Change::GrpcWeb);
                witness.saw(|| {
                    let web = if grpc_web { ", gRPC-Web made into gRPC" } else { "" };
                    step("chain", format!("HTTP, routed by Host on port {port}{web}"), None)
                });
                let named = |authority| version::names_a_route(snapshot.version, authority, port);
                let table = http.authority.is_none_or(named).then_some(chain.table);
                Decision {
                    grpc_web,
                    ..request(snapshot, listener, table, &http, facts.draw, witness)
                }
            }
            (Chain::Own(cluster), _) => {
                witness.saw(|| chain_step(&seen, cluster.object.clone()));
                stream(listener, cluster, None, witness)
            }
            (Chain::Weighted(weighted), _) => {
                witness.saw(|| chain_step(&seen, Some(weighted.object.clone())));
                weighted_stream(listener, weighted, facts.draw, witness)
            }
            // A Sidecar's own listener for HTTP, which asks nothing of the first bytes.
            (Chain::Http(_), _) => not_http(listener, witness),
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
        grpc_web: false,
    }
}

fn stream<'s, W: Witness>(
    listener: &'s Listener,
    cluster: &'s Cluster,
    settings: Option<&'s StreamSettings>,
    witness: &mut W,
) -> Decision<'s> {
    witness.saw(|| cluster_step(cluster));
    Decision {
        verdict: Verdict::Registered,
        listener: &listener.name,
        layer: Layer::Tcp,
        virtual_host: None,
        route: None,
        action: Action::Forward(Forward {
            stream: settings,
            ..Forward::plain(cluster)
        }),
        treatment: None,
        grpc_web: false,
    }
}

fn weighted_stream<'s, W: Witness>(
    listener: &'s Listener,
    weighted: &'s Weighted,
    draw: u32,
    witness: &mut W,
) -> Decision<'s> {
    let weights = weighted.targets.iter().map(|(_, weight)| *weight);
    let picked = pick(weights, draw).and_then(|index| weighted.targets[index].0.as_deref());
    if let Some(cluster) = picked {
        if let Some(tunnel) = weighted.stream.as_ref().and_then(|stream| stream.tunnel.as_ref()) {
            let how = if tunnel.by_post { "POST" } else { "CONNECT" };
            let outcome = || {
                format!(
                    "the destination is a proxy, which is asked for {} by {how}",
                    tunnel.target
                )
            };
            witness.saw(|| step("tunnel", outcome(), Some(weighted.object.clone())));
        }
        return stream(listener, cluster, weighted.stream.as_deref(), witness);
    }
    witness.saw(|| {
        let outcome = "the destination's cluster does not exist";
        step("cluster", outcome.into(), Some(weighted.object.clone()))
    });
    cut(&listener.name, None, "NC", Verdict::Registered)
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
        grpc_web: false,
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
        grpc_web: false,
    }
}
