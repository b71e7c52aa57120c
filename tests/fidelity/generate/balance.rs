//! How a DestinationRule has endpoints chosen, and which it leaves out.

use serde_json::{Value, json};

use crate::seed::Seed;

pub fn load_balancer(seed: &mut Seed) -> Value {
    let mut balancer = match seed.below(8) {
        0 => json!({"simple": "PASSTHROUGH"}),
        1 => json!({"simple": "ROUND_ROBIN"}),
        2 => json!({"simple": seed.text(&["RANDOM", "LEAST_CONN", "LEAST_REQUEST", "UNSPECIFIED"])}),
        3 => json!({}),
        _ => json!({"consistentHash": consistent_hash(seed)}),
    };
    if seed.once_in(3) || balancer == json!({}) {
        match seed.once_in(4) {
            true => balancer["zoneAwareLbSetting"] = zone_aware_setting(seed),
            false => balancer["localityLbSetting"] = locality_setting(seed),
        }
    }
    if seed.once_in(4) {
        warm_up(seed, &mut balancer);
    }
    balancer
}

/// For turns and for who is less busy; Istio leaves it out elsewhere.
fn warm_up(seed: &mut Seed, balancer: &mut Value) {
    let written = [
        json!({"duration": "30s"}),
        json!({"duration": "1m30s", "aggression": 2.5}),
        json!({"duration": "5s", "minimumPercent": 0, "aggression": 1}),
        json!({"duration": "5s", "minimumPercent": 40}),
    ];
    if !seed.once_in(3) {
        balancer["warmup"] = seed.pick(&written).clone();
    }
    if seed.once_in(3) {
        balancer["warmupDurationSecs"] = json!("20s");
    }
}

fn consistent_hash(seed: &mut Seed) -> Value {
    let mut hash = match seed.below(6) {
        0 => json!({"useSourceIp": true}),
        1 => json!({"httpQueryParameterName": "q"}),
        2 => json!({"httpCookie": {"name": "c", "path": "/p", "ttl": seed.text(&["0s", "30s"])}}),
        3 => {
            json!({"httpCookie": {"name": "c", "attributes": [{"name": "SameSite", "value": "Lax"}, {"name": "Secure"}]}})
        }
        4 => json!({"useSourceIp": false}),
        _ => json!({"httpHeaderName": "x-one"}),
    };
    match seed.below(5) {
        0 => hash["ringHash"] = json!({"minimumRingSize": seed.pick(&[0, 16])}),
        1 => hash["maglev"] = json!({"tableSize": 251}),
        2 => hash["minimumRingSize"] = json!(32),
        _ => {}
    }
    hash
}

fn locality_setting(seed: &mut Seed) -> Value {
    match seed.below(6) {
        0 => json!({"enabled": false}),
        1 => json!({"enabled": true, "failover": [{"from": "r1", "to": "r3"}]}),
        2 => json!({"failoverPriority": ["version=v1"]}),
        3 => json!({"distribute": [{"from": "r1/z1/*", "to": {"r1/*": 70, "r2": 30}}]}),
        4 => json!({"distribute": [{"from": "r9", "to": {"r1": 100}}, {"from": "r1/*", "to": {"r1/z1/s1": 100}}]}),
        _ => json!({"distribute": [{"from": "*", "to": {"r1": 20, "r2/*": 80}}]}),
    }
}

fn zone_aware_setting(seed: &mut Seed) -> Value {
    match seed.below(4) {
        0 => json!({"enabled": false}),
        1 => json!({"failover": [{"from": "r1", "to": "r3"}], "minClusterSize": 2}),
        2 => json!({"enabled": true, "failoverPriority": ["version=v1"]}),
        _ => json!({}),
    }
}

pub fn outlier_detection(seed: &mut Seed) -> Value {
    let mut outlier = json!({});
    for (setting, value) in [
        ("consecutive5xxErrors", json!(seed.pick(&[0, 1, 7]))),
        ("consecutiveGatewayErrors", json!(seed.pick(&[0, 3]))),
        ("interval", json!("5s")),
        ("baseEjectionTime", json!("3m")),
        ("maxEjectionPercent", json!(seed.pick(&[0, 50, 100]))),
        ("minHealthPercent", json!(seed.pick(&[0, 40]))),
    ] {
        if seed.once_in(3) {
            outlier[setting] = value;
        }
    }
    if seed.once_in(4) {
        outlier["splitExternalLocalOriginErrors"] = json!(true);
        if seed.once_in(2) {
            outlier["consecutiveLocalOriginFailures"] = json!(seed.pick(&[0, 2]));
        }
    }
    outlier
}

pub fn keepalive(seed: &mut Seed) -> Value {
    let all = [
        json!({}),
        json!({"time": "30s"}),
        json!({"probes": 3, "interval": "1500ms"}),
        json!({"probes": 9, "time": "10s", "interval": "5s"}),
    ];
    seed.pick(&all).clone()
}
