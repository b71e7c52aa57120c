//! The Destinations screen: flows grouped by name, port and verdict.

use std::collections::{BTreeMap, BTreeSet};

use super::Traffic;
use crate::dto::{DestinationRow, ObjectRef, Verdict, VerdictCounts};

/// Durations kept a destination for the 95th percentile: the newest ones.
const DURATIONS: usize = 512;

#[derive(Default)]
struct Group {
    protocol: String,
    workloads: BTreeSet<String>,
    requests: u64,
    bytes: u64,
    durations: Vec<u64>,
    last_seen: String,
    last_id: u64,
    cluster: Option<String>,
}

/// One row a destination and verdict, most requests first. `rule` finds the object behind a flow.
pub fn destinations(traffic: &Traffic, rule: impl Fn(u64) -> Option<ObjectRef>) -> Vec<DestinationRow> {
    let mut groups: BTreeMap<(String, u16, Verdict), Group> = BTreeMap::new();
    traffic.each(|row| {
        let record = &row.record;
        let key = (row.name(), record.destination.port(), record.verdict.into());
        let group = groups.entry(key).or_default();
        group.protocol.clone_from(&record.protocol);
        group.workloads.insert(row.workload());
        let at = group.requests as usize % DURATIONS;
        match group.durations.get_mut(at) {
            Some(slot) => *slot = record.duration_ms,
            None => group.durations.push(record.duration_ms),
        }
        group.requests += 1;
        group.bytes += record.bytes_sent + record.bytes_received;
        group.last_seen.clone_from(&record.time);
        group.last_id = row.id;
        group.cluster.clone_from(&record.cluster);
    });
    let mut rows: Vec<DestinationRow> = groups
        .into_iter()
        .map(|((name, port, verdict), mut group)| DestinationRow {
            evidence: evidence(verdict, &group),
            name,
            port,
            protocol: group.protocol,
            verdict,
            workloads: group.workloads.into_iter().collect(),
            requests: group.requests,
            bytes: group.bytes,
            p95_ms: percentile_95(&mut group.durations),
            last_seen: group.last_seen,
            rule: (verdict == Verdict::Registered).then(|| rule(group.last_id)).flatten(),
        })
        .collect();
    rows.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.name.cmp(&b.name)));
    rows
}

/// Counts of flows, and of destinations by the verdict of their newest flow.
pub fn counts(traffic: &Traffic) -> (VerdictCounts, VerdictCounts) {
    let mut flows = VerdictCounts::default();
    let mut newest: BTreeMap<(String, u16), Verdict> = BTreeMap::new();
    traffic.each(|row| {
        let verdict = row.record.verdict.into();
        flows.add(verdict);
        newest.insert((row.name(), row.record.destination.port()), verdict);
    });
    let mut destinations = VerdictCounts::default();
    newest.into_values().for_each(|verdict| destinations.add(verdict));
    (flows, destinations)
}

fn evidence(verdict: Verdict, group: &Group) -> String {
    match (verdict, &group.cluster) {
        (Verdict::Bypassed, _) => format!("relay, flow {}", group.last_id),
        (_, Some(cluster)) => format!("log line of flow {}, {cluster}", group.last_id),
        (_, None) => format!("log line of flow {}", group.last_id),
    }
}

fn percentile_95(durations: &mut [u64]) -> u64 {
    durations.sort_unstable();
    // The smallest value that at least 95 of 100 do not exceed.
    let rank = (durations.len() * 95).div_ceil(100);
    durations.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}
