//! One host and port with different protocols in several ServiceEntries (IST0177). As Istio's
//! `serviceentry.ConflictingServiceEntryProtocolAnalyzer`.

use std::collections::BTreeMap;

use super::{
    Finding,
    finding::Report,
    registry::{EVERYWHERE, scopes},
};
use crate::model::{Protocol, World};

/// Declared protocols by scope, host and port, each with the position of its entry.
type Declared<'w> = BTreeMap<(&'w str, &'w str, u16), Vec<(Protocol, usize)>>;

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    let entries = &world.service_entries;
    let mut declared: Declared<'_> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        for scope in scopes(&entry.spec.export_to, &entry.meta.namespace) {
            for host in &entry.spec.hosts {
                for port in entry.spec.ports.iter() {
                    let key = (scope, &**host, port.number);
                    declared.entry(key).or_default().push((port.protocol, index));
                }
            }
        }
    }
    let mut reported = vec![false; entries.len()];
    for ((scope, host, port), own) in &declared {
        let mut all = own.clone();
        if *scope != EVERYWHERE {
            all.extend(declared.get(&(EVERYWHERE, *host, *port)).into_iter().flatten());
        }
        if all.iter().all(|(protocol, _)| *protocol == all[0].0) {
            continue;
        }
        for (_, index) in all {
            if std::mem::replace(&mut reported[index], true) {
                continue;
            }
            let entry = &entries[index];
            let position = entry.spec.ports.iter().position(|own| own.number == *port);
            let mut report = Report::new(findings, "ServiceEntry", entry);
            report.analyzed(
                "IST0177",
                position.map_or("spec.ports".into(), |position| {
                    format!("spec.ports[{position}].protocol")
                }),
                format!("several ServiceEntries declare {host}, port {port}, with different protocols"),
                Some("declare the same protocol in all of them".into()),
            );
        }
    }
}
