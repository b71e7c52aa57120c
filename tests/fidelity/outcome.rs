//! What became of a call, field by field in Envoy's words, from either side.
//!
//! Not compared, because a side cannot tell: names of filter chains (the engine has none; where a chain leads is compared),
//! and where a Kubernetes Service's endpoints come from (the engine dials its cluster address, as there is no pod network
//! outside of a cluster).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use proxy_core::{
    model::Limits,
    policy::{
        Action, CertificateChecks, Claims, Cluster, Decision, Endpoints, Facts, Forward, HttpClaims, HttpVersion,
        Layer, OriginateTls, RetryPolicy, Snapshot, UpstreamHttp, decide,
    },
};
use serde_json::{Value, json};

use crate::{
    balance,
    oracle::{Answer, Matched, Target},
    treatment::{self, Destinations, edits_of_engine},
    world::Call,
};

/// Fields by name; absent ones are not known to either side or do not apply.
pub type Outcome = BTreeMap<&'static str, Value>;

/// All fields, in the order in which a call is decided.
const FIELDS: [&str; 16] = [
    "listener",
    "http",
    "grpc_web",
    "virtual_host",
    "route",
    "clusters",
    "status",
    "details",
    "body",
    "redirect",
    "timeout_ms",
    "retries",
    "operation",
    "hash",
    "stream",
    "upstream",
];

/// Stands for any cluster that does not exist.
pub const NO_CLUSTER: &str = "(a cluster that does not exist)";

/// Kind of a Kubernetes Service's cluster, whose endpoints are not compared.
const OF_A_SERVICE: &str = "(a Service's)";

/// What Istio and Envoy make of a call.
pub fn of_istio(answer: &Answer) -> Outcome {
    let mut outcome = Outcome::new();
    outcome.insert("listener", json!(answer.listener));
    outcome.insert("http", json!(answer.http));
    outcome.insert("grpc_web", json!(answer.grpc_web));
    outcome.insert("virtual_host", json!(answer.virtual_host));
    let forwarded = answer.clusters.iter().any(|target| !target.kind.is_empty());
    if answer.clusters.is_empty() {
        outcome.insert("status", json!(answer.status));
        outcome.insert("details", json!(answer.details));
        outcome.insert("body", json!(answer.body));
    }
    let route = answer.route.as_ref();
    outcome.insert("route", json!(route.map_or("", |route| route.name.as_str())));
    if let Some(redirect) = route.and_then(|route| route.redirect.clone()) {
        outcome.insert("redirect", redirect);
    }
    if let Some(route) = route {
        treatment::of_istio(&mut outcome, route, answer);
    }
    if let Some(route) = route.filter(|_| forwarded) {
        acting(&mut outcome, route);
    }
    // A stream that is cut has nothing to keep.
    let cut = |target: &Target| target.kind.is_empty() || target.cluster == "BlackHoleCluster";
    if !answer.http && !answer.clusters.iter().all(cut) {
        outcome.insert("stream", answer.stream.clone());
    }
    let mut shares: BTreeMap<&str, u32> = BTreeMap::new();
    for target in &answer.clusters {
        let name = if target.kind.is_empty() {
            NO_CLUSTER
        } else {
            &target.cluster
        };
        *shares.entry(name).or_default() += target.weight;
    }
    shares.retain(|_, share| *share > 0);
    outcome.insert("clusters", json!(shares));
    let existing = answer
        .clusters
        .iter()
        .filter(|target| !target.kind.is_empty() && target.weight > 0);
    let facts: BTreeMap<&str, Value> = existing
        .filter(|target| target.cluster != "BlackHoleCluster")
        .map(|target| (target.cluster.as_str(), cluster_of_istio(target)))
        .collect();
    outcome.insert("upstream", json!(facts));
    outcome
}

fn acting(outcome: &mut Outcome, route: &Matched) {
    outcome.insert("timeout_ms", json!(route.timeout_ms));
    outcome.insert("operation", json!(route.operation));
    outcome.insert("hash", json!(route.hash));
    let retries = route.retries.as_ref().map(|retries| {
        json!({
            "attempts": retries.attempts, "retry_on": retries.retry_on.join(","), "statuses": retries.statuses,
            "per_try_timeout_ms": retries.per_try_timeout_ms,
            // Envoy's default where none is written.
            "back_off_ms": if retries.back_off_ms == 0 { 25 } else { retries.back_off_ms },
            "avoids_previous": retries.avoids_previous,
        })
    });
    outcome.insert("retries", json!(retries));
}

fn cluster_of_istio(target: &Target) -> Value {
    // The same name twice is no other place.
    let names: BTreeSet<&String> = target.names.iter().collect();
    json!({
        "kind": target.kind,
        "names": names,
        "port_override": target.port_override,
        "connect_timeout_ms": target.connect_timeout_ms,
        "http": target.http,
        "tls": target.tls,
        "proxy_protocol": target.proxy_protocol,
        "limits": target.limits,
        "balance": balance::of_istio(&target.balance),
        "upkeep": target.upkeep,
    })
}

/// The sum of the weights that Istio shares a call by: as many draws see each of the engine's destinations.
pub fn draws(answer: &Answer) -> u32 {
    answer.clusters.iter().map(|target| target.weight).sum::<u32>().max(1)
}

/// What the engine makes of a call, over all of `draws`.
pub fn of_engine(snapshot: &Snapshot, call: &Call, draws: u32) -> Outcome {
    let headers: Vec<(String, String)> = call.headers.clone().into_iter().collect();
    let http = |version| {
        Claims::Http(HttpClaims {
            version,
            method: &call.method,
            authority: Some(&call.host),
            path: &call.path,
            headers: &headers,
        })
    };
    let claims = match call.protocol.as_str() {
        "http" => http(HttpVersion::Http11),
        "http1.0" => http(HttpVersion::Http10),
        "http2" => http(HttpVersion::H2c),
        "tls" => Claims::Tls {
            sni: (!call.sni.is_empty()).then_some(&*call.sni),
        },
        _ => Claims::Tcp,
    };
    let address = call.address.parse().expect("calls go to addresses");
    let at = |draw| {
        let facts = Facts {
            destination: SocketAddr::new(address, call.port),
            claims,
            draw,
        };
        decide(snapshot, &facts, &mut ())
    };
    let mut shares: BTreeMap<&str, u32> = BTreeMap::new();
    let mut upstream: BTreeMap<&str, Value> = BTreeMap::new();
    let mut shown: Option<Decision<'_>> = None;
    let mut edited = Destinations::default();
    for decision in (0..draws).map(at) {
        let name = match decision.action {
            Action::Forward(forward) => {
                upstream.insert(&forward.cluster.name, cluster_of_engine(forward.cluster));
                if let Some(edits) = forward.edits {
                    edited.add(&forward.cluster.name, edits_of_engine(edits));
                }
                Some(&*forward.cluster.name)
            }
            Action::Cut { cluster, .. } => Some(cluster.unwrap_or(NO_CLUSTER)),
            Action::Reply(reply) => (reply.details == "cluster_not_found").then_some(NO_CLUSTER),
            Action::Bypass => Some("(bypass)"),
        };
        if let Some(name) = name {
            *shares.entry(name).or_default() += 1;
        }
        // Where some destinations do not exist, what is done with the others is told by a draw that meets one of these.
        if shown.is_none() || matches!(decision.action, Action::Forward(_)) {
            shown = Some(decision);
        }
    }
    let shown = shown.expect("there is at least one draw");
    let mut outcome = Outcome::new();
    outcome.insert("listener", json!(shown.listener));
    outcome.insert("http", json!(shown.layer == Layer::Http));
    outcome.insert("grpc_web", json!(shown.grpc_web));
    outcome.insert("virtual_host", json!(shown.virtual_host.unwrap_or_default()));
    outcome.insert("route", json!(shown.route.unwrap_or_default()));
    outcome.insert("clusters", json!(shares));
    outcome.insert("upstream", json!(upstream));
    treatment::of_engine(&mut outcome, &shown, &call.path);
    edited.put(&mut outcome);
    match shown.action {
        Action::Forward(forward) if shown.layer == Layer::Http => forwarding(&mut outcome, &forward),
        Action::Forward(forward) => {
            outcome.insert("stream", balance::stream_of_engine(forward.stream));
        }
        Action::Reply(reply) if shares.is_empty() => {
            outcome.insert("status", json!(reply.status));
            outcome.insert("details", json!(reply.details));
            outcome.insert("body", json!(String::from_utf8_lossy(reply.body)));
            if let Some(redirect) = reply.redirect {
                outcome.insert("redirect", redirect_of_engine(redirect));
            }
        }
        _ => {}
    }
    outcome
}

fn forwarding(outcome: &mut Outcome, forward: &Forward<'_>) {
    let milliseconds = |duration: Option<Duration>| duration.map_or(0, |duration| duration.as_millis() as u64);
    outcome.insert("timeout_ms", json!(milliseconds(forward.timeout)));
    outcome.insert("operation", json!(forward.operation.unwrap_or_default()));
    outcome.insert(
        "hash",
        json!(forward.hash.iter().map(balance::hash_of_engine).collect::<Vec<_>>()),
    );
    let retries = forward.retries.map(|retries: &RetryPolicy| {
        json!({
            "attempts": retries.attempts, "retry_on": retries.retry_on, "statuses": retries.statuses,
            "per_try_timeout_ms": milliseconds(retries.per_try_timeout),
            "back_off_ms": retries.back_off.as_millis() as u64,
            "avoids_previous": retries.avoid_previous_hosts,
        })
    });
    outcome.insert("retries", json!(retries));
}

fn redirect_of_engine(redirect: &proxy_core::model::Redirect) -> Value {
    let mut shown = json!({"status": redirect.code});
    for (key, text) in [
        ("scheme", &redirect.scheme),
        ("host", &redirect.authority),
        ("path", &redirect.uri),
        ("prefix", &redirect.prefix_rewrite),
    ] {
        if let Some(text) = text {
            shown[key] = json!(text);
        }
    }
    if let Some(port) = redirect.port {
        shown["port"] = json!(port);
    }
    shown
}

fn cluster_of_engine(cluster: &Cluster) -> Value {
    let of_service = cluster.object.as_ref().is_some_and(|object| object.kind == "Service");
    let (kind, names, port_override) = match &cluster.endpoints {
        _ if of_service => (OF_A_SERVICE, BTreeSet::new(), 0),
        Endpoints::OriginalDst(port) => ("original_dst", BTreeSet::new(), port.unwrap_or_default()),
        Endpoints::Static(_) => ("static", BTreeSet::new(), 0),
        Endpoints::Host(port) => ("dns", [format!("{}:{port}", cluster.host)].into(), 0),
        Endpoints::Dns(names) => (
            "dns",
            names.iter().map(|(name, port)| format!("{name}:{port}")).collect(),
            0,
        ),
        Endpoints::DynamicDns(_) => ("dynamic_dns", BTreeSet::new(), 0),
    };
    json!({
        "kind": kind,
        "names": names,
        "port_override": port_override,
        "connect_timeout_ms": cluster.settings.connect_timeout.as_millis() as u64,
        "http": match cluster.settings.http {
            UpstreamHttp::Http1 => "1",
            UpstreamHttp::Http2 => "2",
            UpstreamHttp::AsCaller => "the caller's",
        },
        "tls": cluster.settings.tls.as_ref().map(tls),
        "proxy_protocol": cluster.settings.proxy_protocol.map_or(String::new(), |version| format!("{version:?}")),
        "limits": limits(cluster.settings.limits),
        "balance": balance::of_engine(cluster),
        "upkeep": balance::upkeep_of_engine(cluster),
    })
}

fn tls(tls: &OriginateTls) -> Value {
    let mut shown = json!({
        "verifies": tls.checks != CertificateChecks::None,
        "of_host": tls.checks == CertificateChecks::AuthorityAndHost,
    });
    if let Some(sni) = &tls.sni {
        shown["sni"] = json!(sni);
    }
    if !tls.names.is_empty() {
        shown["names"] = json!(tls.names);
    }
    if let Some(files) = &tls.files {
        let authorities = files.authorities.as_ref().map(|path| format!("file-root:{path}"));
        let revoked = files.revoked.as_ref().map(ToString::to_string);
        let identity = files
            .identity
            .as_ref()
            .map(|[certificate, key]| format!("file-cert:{certificate}~{key}"));
        let all: Vec<String> = authorities.into_iter().chain(revoked).chain(identity).collect();
        shown["files"] = json!(all);
    }
    shown
}

/// Limits by name; those that are none are left out.
fn limits(limits: Limits) -> Value {
    let named = [
        ("connections", limits.connections),
        ("pending", limits.pending),
        ("requests", limits.requests),
        ("retries", limits.retries),
        ("requests_per_connection", limits.requests_per_connection),
        ("streams", limits.streams),
    ];
    let named = named
        .into_iter()
        .filter_map(|(name, limit)| Some((name, json!(limit?))));
    let budget = limits.retry_budget;
    let budget = budget.map(|budget| {
        let mut made = json!({"share": budget.share.millionths(), "minimum": budget.minimum});
        if !budget.interval.is_zero() {
            made["interval_ms"] = json!(budget.interval.as_millis());
        }
        made
    });
    named
        .chain(budget.map(|budget| ("budget", budget)))
        .map(|(name, limit)| (name.to_string(), limit))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Takes Istio's word for where the endpoints of Kubernetes Services come from.
fn settle_services(istio: &Outcome, engine: &mut Outcome) {
    let Some(Value::Object(clusters)) = engine.get_mut("upstream") else {
        return;
    };
    for (name, cluster) in clusters
        .iter_mut()
        .filter(|(_, cluster)| cluster["kind"] == OF_A_SERVICE)
    {
        for field in ["kind", "names", "port_override", "balance"] {
            cluster[field] = istio["upstream"][name][field].clone();
        }
    }
}

/// Where an outcome differs, field by field: Istio's value, the engine's.
pub fn differences(istio: &Outcome, engine: &Outcome) -> Vec<(&'static str, Value, Value)> {
    let mut engine = engine.clone();
    settle_services(istio, &mut engine);
    FIELDS
        .into_iter()
        .chain(treatment::FIELDS)
        .filter_map(|field| {
            let side = |outcome: &Outcome| outcome.get(field).cloned().unwrap_or(Value::Null);
            let (istio, engine) = (side(istio), side(&engine));
            (istio != engine).then_some((field, istio, engine))
        })
        .collect()
}
