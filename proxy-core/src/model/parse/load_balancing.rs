//! Load balancing, outlier detection and keep-alive of a traffic policy.

use super::{cursor::Cursor, service_entry::choice};
use crate::model::{
    ConsistentHash, Distribution, HashAlgorithm, HashCookie, HashKey, Keepalive, LoadBalancer, LocalitySetting,
    OutlierDetection, SimpleBalancer, Warmup,
};

/// `loadBalancer`.
pub fn load_balancer(balancer: Cursor<'_>) -> LoadBalancer {
    let ways = [
        ("UNSPECIFIED", SimpleBalancer::Unspecified),
        ("LEAST_CONN", SimpleBalancer::LeastRequest),
        ("RANDOM", SimpleBalancer::Random),
        ("PASSTHROUGH", SimpleBalancer::Passthrough),
        ("ROUND_ROBIN", SimpleBalancer::RoundRobin),
        ("LEAST_REQUEST", SimpleBalancer::LeastRequest),
    ];
    one_of(balancer, &["simple", "consistentHash"]);
    LoadBalancer {
        simple: choice(balancer, "simple", &ways).unwrap_or_default(),
        consistent_hash: balancer.mapping("consistentHash").map(consistent_hash),
        locality: balancer.mapping("localityLbSetting").map(locality_setting),
        zone_aware: balancer.mapping("zoneAwareLbSetting").map(zone_aware_setting),
        warmup: balancer.mapping("warmup").map(warmup),
        warmup_duration: balancer.duration("warmupDurationSecs"),
    }
}

fn warmup(written: Cursor<'_>) -> Warmup {
    if !written.has("duration") {
        written.error("duration is required");
    }
    let percent = written.number("minimumPercent");
    if percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        written.error_at("minimumPercent", "expected a number from 0 to 100");
    }
    let aggression = written.number("aggression");
    if aggression.is_some_and(|aggression| aggression <= 0.0) {
        written.error_at("aggression", "aggression should be greater than 0");
    }
    let default = Warmup::default();
    Warmup {
        duration: written.duration("duration"),
        aggression: aggression.unwrap_or(default.aggression),
        minimum_percent: percent.unwrap_or(default.minimum_percent),
    }
}

fn consistent_hash(hash: Cursor<'_>) -> ConsistentHash {
    one_of(
        hash,
        &["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"],
    );
    one_of(hash, &["ringHash", "maglev"]);
    let key = if let Some(name) = hash.text("httpHeaderName") {
        Some(HashKey::Header(name.to_string()))
    } else if let Some(cookie) = hash.mapping("httpCookie") {
        Some(HashKey::Cookie(hash_cookie(cookie)))
    } else if let Some(name) = hash.text("httpQueryParameterName") {
        Some(HashKey::QueryParameter(name.to_string()))
    } else {
        hash.boolean("useSourceIp").map(HashKey::SourceIp)
    };
    let size = |owner: Cursor<'_>, key: &str| owner.count(key).map_or(0, u64::from);
    let algorithm = if let Some(maglev) = hash.mapping("maglev") {
        HashAlgorithm::Maglev(size(maglev, "tableSize"))
    } else if let Some(ring) = hash.mapping("ringHash") {
        HashAlgorithm::Ring(size(ring, "minimumRingSize"))
    } else {
        HashAlgorithm::Unspecified
    };
    ConsistentHash {
        key,
        algorithm,
        minimum_ring_size: size(hash, "minimumRingSize"),
    }
}

fn hash_cookie(cookie: Cursor<'_>) -> HashCookie {
    if !cookie.has("name") {
        cookie.error("expected the cookie's name");
    }
    HashCookie {
        name: cookie.text("name").unwrap_or_default().to_string(),
        path: cookie.text("path").unwrap_or_default().to_string(),
        ttl: cookie.any_duration("ttl"),
        attributes: cookie.mappings("attributes", |attribute| {
            if !attribute.has("name") {
                attribute.error("expected the attribute's name");
            }
            let text = |key| attribute.text(key).unwrap_or_default().to_string();
            Some((text("name"), text("value")))
        }),
    }
}

/// `localityLbSetting` of a rule or of the mesh config.
pub fn locality_setting(setting: Cursor<'_>) -> LocalitySetting {
    let text = |owner: &Cursor<'_>, key: &str| owner.text(key).unwrap_or_default().to_string();
    LocalitySetting {
        enabled: setting.boolean("enabled"),
        distribute: setting.mappings("distribute", |distribution| {
            Some(Distribution {
                from: text(&distribution, "from"),
                to: distribution
                    .pairs("to", |_, share| share.as_count())
                    .into_iter()
                    .collect(),
            })
        }),
        failover: setting.mappings("failover", |failover| {
            Some((text(&failover, "from"), text(&failover, "to")))
        }),
        failover_priority: setting.texts("failoverPriority"),
    }
}

/// `zoneAwareLbSetting`.
pub fn zone_aware_setting(setting: Cursor<'_>) -> LocalitySetting {
    LocalitySetting {
        distribute: Vec::new(),
        ..locality_setting(setting)
    }
}

/// `outlierDetection`.
pub fn outlier_detection(outlier: Cursor<'_>) -> OutlierDetection {
    let percent = |key| outlier.integer(key).unwrap_or_default();
    OutlierDetection {
        consecutive_5xx: outlier.count("consecutive5xxErrors"),
        consecutive_gateway: outlier.count("consecutiveGatewayErrors"),
        splits_local: outlier.boolean("splitExternalLocalOriginErrors").unwrap_or_default(),
        consecutive_local: outlier.count("consecutiveLocalOriginFailures"),
        interval: outlier.duration("interval"),
        base_ejection_time: outlier.duration("baseEjectionTime"),
        max_ejection_percent: percent("maxEjectionPercent"),
        min_health_percent: percent("minHealthPercent"),
        has_deprecated_errors: outlier.integer("consecutiveErrors").is_some_and(|errors| errors != 0),
    }
}

/// `tcpKeepalive`.
pub fn keepalive(keepalive: Cursor<'_>) -> Keepalive {
    Keepalive {
        probes: keepalive.count("probes").unwrap_or_default(),
        time: keepalive.duration("time"),
        interval: keepalive.duration("interval"),
    }
}

/// The API server takes one of several fields alone.
fn one_of(owner: Cursor<'_>, keys: &[&str]) {
    let written: Vec<&str> = keys.iter().copied().filter(|key| owner.has(key)).collect();
    if let [_, second, ..] = &*written {
        owner.error_at(second, format!("expected only one of {}", written.join(" and ")));
    }
}
