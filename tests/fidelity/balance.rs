//! How one of several endpoints is chosen and how connections are kept, in the words of the oracle.

use std::time::Duration;

use proxy_core::{
    model::HashKey,
    policy::{Balance, Balancer, Cluster, Endpoints, Outlier, Place, Spread, StreamSettings},
};
use serde_json::{Value, json};

/// What the engine makes of a cluster's endpoints; nothing where there are none to choose from.
pub fn of_engine(cluster: &Cluster) -> Value {
    let names: Vec<String> = match &cluster.endpoints {
        Endpoints::OriginalDst(_) | Endpoints::DynamicDns(_) => return Value::Null,
        Endpoints::Static(addresses) => addresses.iter().map(ToString::to_string).collect(),
        Endpoints::Host(port) => vec![format!("{}:{port}", cluster.host)],
        Endpoints::Dns(names) => names.iter().map(|(name, port)| format!("{name}:{port}")).collect(),
    };
    let default = Balance::default();
    let balance = cluster.settings.balance.as_deref().unwrap_or(&default);
    let policy = match balance.balancer {
        Balancer::LeastRequest => "LEAST_REQUEST".into(),
        Balancer::RoundRobin => "ROUND_ROBIN".into(),
        Balancer::Random => "RANDOM".into(),
        Balancer::Ring { minimum } => format!("RING_HASH {minimum}"),
        Balancer::Maglev { size } => format!("MAGLEV {size}"),
    };
    json!({
        "policy": policy,
        "warmup": balance.warmup.map(|warmup| json!({
            "window_ms": warmup.window.as_millis() as u64,
            "aggression": warmup.aggression,
            "minimum": warmup.minimum_percent,
        })),
        "outlier": balance.outlier.map(outlier),
        "panic": balance.panic_percent,
        "places": places(&names, balance.spread.as_ref()),
    })
}

fn outlier(outlier: Outlier) -> Value {
    json!({
        "errors": outlier.consecutive_5xx, "gateway": outlier.consecutive_gateway,
        "local": outlier.consecutive_local.unwrap_or_default(), "interval_ms": outlier.interval.as_millis() as u64,
        "base_ms": outlier.base_time.as_millis() as u64, "percent": outlier.max_percent,
    })
}

/// Endpoints with weight and priority, and their part of their priority where localities are weighted.
fn places(names: &[String], spread: Option<&Spread>) -> Value {
    let mut places: Vec<Value> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let Some(spread) = spread else {
                return json!([name, 1, 0, 0]);
            };
            let Place { weight, group } = spread.places[at];
            let group = &spread.groups[group];
            json!([
                name,
                weight,
                group.priority,
                if spread.by_locality { group.weight } else { 0 }
            ])
        })
        .collect();
    places.sort_by_key(Value::to_string);
    // The same name twice is no other place.
    places.dedup();
    json!(places)
}

/// The oracle's words for a cluster, as far as they mean anything: where all endpoints are alike, what they weigh does not, and
/// one locality alone has the whole of its priority.
pub fn of_istio(told: &Value) -> Value {
    let Some(all) = told
        .get("policy")
        .map(|_| told["places"].as_array().cloned().unwrap_or_default())
    else {
        return Value::Null;
    };
    let by_locality = told["by_locality"] == true;
    let differ = |field: &str| all.windows(2).any(|two| two[0][field] != two[1][field]);
    let alike = !(differ("weight") || differ("priority") || by_locality && differ("locality"));
    let mut places: Vec<Value> = all
        .iter()
        .map(|place| match alike {
            true => json!([place["name"], 1, 0, 0]),
            false => {
                let share = place.get("locality_weight").cloned().unwrap_or(json!(0));
                json!([place["name"], place["weight"], place["priority"], share])
            }
        })
        .collect();
    places.sort_by_key(Value::to_string);
    // The same name twice is no other place.
    places.dedup();
    let outlier = told.get("outlier").cloned().unwrap_or(Value::Null);
    let numbers = |warmup: &Value| {
        let number = |field| warmup[field].as_f64();
        json!({"window_ms": warmup["window_ms"], "aggression": number("aggression"), "minimum": number("minimum")})
    };
    let warmup = told.get("warmup").map(numbers);
    json!({"policy": told["policy"], "warmup": warmup, "outlier": outlier, "panic": told["panic"], "places": places})
}

/// What is hashed.
pub fn hash_of_engine(key: &HashKey) -> String {
    match key {
        HashKey::Header(name) => format!("header {name}"),
        HashKey::Cookie(cookie) => {
            let mut text = format!("cookie {} path {}", cookie.name, cookie.path);
            if let Some(ttl) = cookie.ttl {
                text.push_str(&format!(" for {} ms", ttl.as_millis()));
            }
            for (name, value) in &cookie.attributes {
                text.push_str(&format!(" {name}={value}"));
            }
            text
        }
        HashKey::SourceIp(used) => format!("source {used}"),
        HashKey::QueryParameter(name) => format!("parameter {name}"),
    }
}

/// How connections to a cluster are kept.
pub fn upkeep_of_engine(cluster: &Cluster) -> Value {
    let upkeep = cluster.settings.upkeep.as_deref().copied().unwrap_or_default();
    let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs();
    let mut shown = limits(upkeep.idle_timeout, upkeep.max_duration);
    if let Some(keepalive) = upkeep.keepalive {
        let (time, interval) = (seconds(keepalive.time), seconds(keepalive.interval));
        shown["keepalive"] = json!(format!(
            "{} probes, after {time} s, each {interval} s",
            keepalive.probes
        ));
    }
    shown
}

/// How a stream is kept.
pub fn stream_of_engine(settings: Option<&StreamSettings>) -> Value {
    let settings = settings.cloned().unwrap_or_default();
    let mut shown = limits(settings.idle_timeout, settings.max_duration);
    if settings.by_source {
        shown["by_source"] = json!(true);
    }
    if let Some(tunnel) = settings.tunnel {
        let how = if tunnel.by_post { "POST" } else { "CONNECT" };
        shown["tunnel"] = json!(format!("{how} {}", tunnel.target));
    }
    shown
}

fn limits(idle: Option<Duration>, duration: Option<Duration>) -> Value {
    let mut shown = json!({});
    for (name, limit) in [("idle_ms", idle), ("duration_ms", duration)] {
        if let Some(limit) = limit {
            shown[name] = json!(limit.as_millis() as u64);
        }
    }
    shown
}
