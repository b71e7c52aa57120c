//! What the flows seen so far would meet under another policy: every distinct flow is decided twice, by the engine,
//! under the World as it is and under the proposed one.

use std::{collections::HashMap, net::SocketAddr};

use proxy_core::{
    model::World,
    policy::{Snapshot, compile, decide, explain},
    record::FlowRecord,
};

use crate::{
    dto::{Impact, ImpactRow, Verdict},
    session::View,
    traffic::{Traffic, facts},
};

/// What the engine's answer depends on.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    workload: String,
    destination: SocketAddr,
    protocol: String,
    name: Option<String>,
    method: Option<String>,
    path: Option<String>,
}

struct Group {
    record: FlowRecord,
    flows: u64,
}

/// Rows by (workload, name, port, before, after).
type Rows = HashMap<(String, String, u16, Verdict, Verdict), ImpactRow>;

/// Decides all kept flows under `view` and under `proposed`.
pub fn impact(view: &View, proposed: &World, traffic: &Traffic) -> Impact {
    let groups = groups(traffic);
    let mut impact = Impact::default();
    let mut rows = Rows::new();
    let mut after: HashMap<String, Option<Snapshot>> = HashMap::new();
    for (key, group) in groups {
        impact.seen += group.flows;
        let snapshot = after.entry(key.workload.clone()).or_insert_with(|| {
            let workload = view.workload(&key.workload)?;
            // The proposal may change the workload's own annotations.
            let own = proposed
                .workloads
                .iter()
                .find(|object| object.meta.namespace == workload.namespace && object.meta.name == workload.name)?;
            let mut workload = workload;
            workload.annotations.clone_from(&own.spec.pod_annotations);
            Some(compile(proposed, &workload))
        });
        let (Some(facts), Some(after)) = (facts(&group.record), snapshot) else {
            impact.undecidable += group.flows;
            continue;
        };
        let before = view.snapshot(&key.workload);
        let was = Verdict::from(decide(&before, &facts, &mut ()).verdict);
        let will = Verdict::from(decide(after, &facts, &mut ()).verdict);
        if was == will {
            impact.same += group.flows;
            continue;
        }
        let reason = |snapshot: &Snapshot| explain(snapshot, &facts).reason;
        let port = key.destination.port();
        let host = key.name.clone();
        let name = host.clone().unwrap_or_else(|| key.destination.ip().to_string());
        let row = rows.entry((key.workload.clone(), name.clone(), port, was, will));
        row.or_insert_with(|| ImpactRow {
            workload: key.workload,
            destination: format!("{name}:{port}"),
            flows: 0,
            before: was,
            after: will,
            before_why: reason(&before),
            after_why: reason(after),
            host,
            port,
        })
        .flows += group.flows;
    }
    sort_into(&mut impact, rows);
    impact
}

fn groups(traffic: &Traffic) -> HashMap<Key, Group> {
    let mut groups: HashMap<Key, Group> = HashMap::new();
    traffic.each(|row| {
        let record = &row.record;
        let key = Key {
            workload: row.workload(),
            destination: record.destination,
            protocol: record.protocol.clone(),
            name: (record.host.is_some() || record.sni.is_some()).then(|| row.name()),
            method: record.method.clone(),
            path: record.path.clone(),
        };
        let group = groups.entry(key).or_insert_with(|| Group {
            record: record.clone(),
            flows: 0,
        });
        group.flows += 1;
    });
    groups
}

fn sort_into(impact: &mut Impact, rows: Rows) {
    let mut rows: Vec<ImpactRow> = rows.into_values().collect();
    rows.sort_by(|a, b| b.flows.cmp(&a.flows).then_with(|| a.destination.cmp(&b.destination)));
    for row in rows {
        let list = match (row.before, row.after) {
            (_, Verdict::Blocked) => &mut impact.newly_blocked,
            (Verdict::Blocked, _) => &mut impact.newly_allowed,
            _ => &mut impact.changed,
        };
        list.push(row);
    }
}
