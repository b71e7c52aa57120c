//! Istio's validation of load balancing and outlier detection.

use std::cmp::Reverse;

use super::finding::Report;
use crate::{
    model::{ConsistentHash, HashAlgorithm, HashKey, LoadBalancer, LocalitySetting, OutlierDetection, TrafficPolicy},
    policy::{MAGLEV_SIZES_END, TOPOLOGY, is_prime},
};

/// Istio: `validateOutlierDetection`.
pub(super) fn outlier_detection(report: &mut Report<'_>, field: &str, outlier: &OutlierDetection) {
    if !outlier.splits_local && outlier.consecutive_local.is_some_and(|count| count > 0) {
        report.rejected(
            format!("{field}.consecutiveLocalOriginFailures"),
            "outlier detection consecutive local origin failures is specified, but split external local origin errors \
             is set to false",
        );
    }
    for (name, percent) in [
        ("maxEjectionPercent", outlier.max_ejection_percent),
        ("minHealthPercent", outlier.min_health_percent),
    ] {
        if !(0..=100).contains(&percent) {
            report.rejected(
                format!("{field}.{name}"),
                format!("percentage {percent} is not in range 0..100"),
            );
        }
    }
}

/// What Istio takes with a warning, of the policy at `field`. It forgets warnings about ports and subsets.
pub(super) fn warnings(report: &mut Report<'_>, field: &str, policy: &TrafficPolicy) {
    let outlier = policy.outlier_detection.as_ref();
    if outlier.is_some_and(|outlier| outlier.has_deprecated_errors) {
        report.warned(
            format!("{field}.outlierDetection.consecutiveErrors"),
            "outlier detection consecutive errors is deprecated, use consecutiveGatewayErrors or consecutive5xxErrors \
             instead",
        );
    }
    let Some(balancer) = &policy.load_balancer else { return };
    let hash = balancer.consistent_hash.as_ref();
    if hash.is_some_and(|hash| hash.minimum_ring_size > 0) {
        report.warned(
            format!("{field}.loadBalancer.consistentHash.minimumRingSize"),
            "consistent hash MinimumRingSize is deprecated, use ConsistentHashLB's RingHash configuration instead",
        );
    }
    let locality = balancer.locality.as_ref().filter(|locality| shares(locality).is_ok());
    for (name, setting) in [
        ("localityLbSetting", locality),
        ("zoneAwareLbSetting", balancer.zone_aware.as_ref()),
    ] {
        let fails_over =
            setting.is_some_and(|setting| !(setting.failover.is_empty() && setting.failover_priority.is_empty()));
        if fails_over && outlier.is_none() {
            report.warned(
                format!("{field}.loadBalancer.{name}"),
                "outlier detection policy must be provided for failover",
            );
        }
    }
}

/// Istio: `validateLoadBalancer`.
pub(super) fn load_balancer(report: &mut Report<'_>, field: &str, balancer: &LoadBalancer) {
    if let Some(hash) = &balancer.consistent_hash {
        consistent_hash(report, &format!("{field}.consistentHash"), hash);
    }
    if let Some(zones) = &balancer.zone_aware {
        zone_aware(report, &format!("{field}.zoneAwareLbSetting"), zones);
    }
    let Some(locality) = &balancer.locality else { return };
    if balancer.zone_aware.is_some() {
        report.rejected(field, "only one of localityLbSetting and zoneAwareLbSetting can be set");
    }
    let field = format!("{field}.localityLbSetting");
    if let Err((part, message)) = shares(locality) {
        report.rejected(format!("{field}{part}"), message);
        return;
    }
    regions(report, &field, locality, &LOCALITY_REGIONS);
}

/// Istio: `ValidateZoneAwareLbSetting`.
fn zone_aware(report: &mut Report<'_>, field: &str, zones: &LocalitySetting) {
    for label in zones
        .failover_priority
        .iter()
        .filter(|label| TOPOLOGY.contains(&label.as_str()))
    {
        report.rejected(
            format!("{field}.failoverPriority"),
            format!(
                "'failover_priority' for zone aware lb must not use topology label '{label}'; region- and zone-level routing \
                 are handled automatically"
            ),
        );
    }
    regions(report, field, zones, &ZONE_AWARE_REGIONS);
}

/// What Istio says of `failover` between regions that are the same, are more than regions, or are any.
const LOCALITY_REGIONS: [&str; 3] = [
    "locality lb failover settings must specify different regions",
    "locality lb failover only specify region",
    "locality lb failover region should not contain '*' wildcard",
];
const ZONE_AWARE_REGIONS: [&str; 3] = [
    "zone aware lb failover settings must specify different regions",
    "zone aware lb failover only specifies region; zone and subzone failover are handled automatically",
    "zone aware lb failover region should not contain '*' wildcard",
];

fn regions(report: &mut Report<'_>, field: &str, setting: &LocalitySetting, [same, more, any]: &[&str; 3]) {
    for (index, (from, to)) in setting.failover.iter().enumerate() {
        let field = format!("{field}.failover[{index}]");
        if from == to {
            report.rejected(&field, *same);
        }
        if from.contains('/') || to.contains('/') {
            report.rejected(&field, *more);
        }
        if from.contains('*') || to.contains('*') {
            report.rejected(&field, *any);
        }
    }
}

fn consistent_hash(report: &mut Report<'_>, field: &str, hash: &ConsistentHash) {
    if let Some(HashKey::Cookie(cookie)) = &hash.key {
        if cookie.name.is_empty() {
            report.rejected(format!("{field}.httpCookie.name"), "name required for HttpCookie");
        }
        for (index, (name, _)) in cookie.attributes.iter().enumerate() {
            let field = format!("{field}.httpCookie.attributes[{index}].name");
            if name.is_empty() {
                report.rejected(field, "cookie attribute name cannot be empty");
            } else if cookie.attributes[..index].iter().any(|(earlier, _)| earlier == name) {
                report.rejected(field, format!("duplicate cookie attribute name: {name}"));
            }
        }
    }
    if hash.minimum_ring_size > 0 && hash.algorithm != HashAlgorithm::Unspecified {
        report.rejected(
            format!("{field}.minimumRingSize"),
            "only one of MinimumRingSize or Maglev/Ringhash can be specified",
        );
    }
    if let HashAlgorithm::Maglev(size) = hash.algorithm {
        let field = format!("{field}.maglev.tableSize");
        if size == 0 {
            report.rejected(&field, "tableSize must be set for maglev");
        }
        if size >= MAGLEV_SIZES_END {
            report.rejected(&field, "tableSize must be less than 5000011 for maglev");
        }
        if !is_prime(size) {
            report.rejected(&field, "tableSize must be a prime number for maglev");
        }
    }
}

/// What is wrong with where calls are to go, and at which part of the setting.
fn shares(locality: &LocalitySetting) -> Result<(), (String, String)> {
    let (distribute, failover) = (&locality.distribute, &locality.failover);
    if !distribute.is_empty() && !failover.is_empty() {
        let message = "can not simultaneously specify 'distribute' and 'failover'";
        return Err((String::new(), message.into()));
    }
    let label = locality
        .failover_priority
        .iter()
        .find(|label| TOPOLOGY.contains(&label.as_str()));
    if let Some(label) = label.filter(|_| !failover.is_empty()) {
        let message =
            format!("can not simultaneously set 'failover' and topology label '{label}' in 'failover_priority'");
        return Err((".failoverPriority".into(), message));
    }
    for (index, distribution) in distribute.iter().enumerate() {
        let at = |message: String| (format!(".distribute[{index}].to"), message);
        if distribution.to.values().any(|weight| !(1..=100).contains(weight)) {
            return Err(at("locality weight must be in range [1, 100]".into()));
        }
        let total: u32 = distribution.to.values().sum();
        if total != 100 {
            return Err(at(format!("total locality weight {total} != 100")));
        }
        // Istio goes through a map, and in some orders finds nothing wrong: those count here.
        let mut to: Vec<&String> = distribution.to.keys().collect();
        to.sort_by_key(|locality| (locality.contains('*'), Reverse(locality.len())));
        distinct(to.into_iter()).map_err(at)?;
    }
    let from = distribute.iter().map(|distribution| &distribution.from);
    distinct(from).map_err(|message| (".distribute".into(), message))
}

/// No locality covers another one. Istio: `validateLocalities`.
fn distinct<'l>(localities: impl Iterator<Item = &'l String>) -> Result<(), String> {
    let mut known: Vec<Vec<&str>> = Vec::new();
    for locality in localities {
        let stars = locality.matches('*').count();
        if stars > 1 || stars == 1 && !locality.ends_with('*') {
            return Err(format!(
                "locality {locality} wildcard '*' number can not exceed 1 and must be in the end"
            ));
        }
        let parts: Vec<&str> = locality.splitn(3, '/').collect();
        if parts.contains(&"") {
            return Err(format!(
                "locality {locality} must not contain empty region/zone/subzone info"
            ));
        }
        // What stands behind a star, or is not said, is everything.
        let covers = |wide: &[&str]| {
            let ends = wide.iter().position(|part| *part == "*").unwrap_or(wide.len());
            parts.len() >= ends && parts[..ends] == wide[..ends]
        };
        let narrows = |wide: &[&str]| parts.len() < wide.len() && wide.starts_with(&parts);
        if known.iter().any(|wide| covers(wide) || narrows(wide)) {
            return Err(format!("locality {locality} overlap with previous specified ones"));
        }
        known.push(parts);
    }
    Ok(())
}
