//! The Overview: what leaves this mesh, said in one sentence and shown by verdict, mode and namespace.

use std::collections::BTreeMap;

use proxy_core::policy::{Workload, mode_of};

use super::{
    View,
    bypass::bypass_view,
    health::{Watching, health, next_step, watching},
    planes::{Carried, Planes},
    policy::{modes, services},
};
use crate::{
    change::Changes,
    dto::{NamespaceRow, Overview, Plane, SandboxState, Verdict, VerdictCounts},
    traffic::{Traffic, counts},
};

/// Puts the Overview together.
pub fn overview(view: &View, traffic: &Traffic, sandbox: &SandboxState, changes: &Changes) -> Overview {
    let (flows, destinations) = counts(traffic);
    let mut by_namespace: BTreeMap<String, VerdictCounts> = BTreeMap::new();
    let mut unregistered = None;
    traffic.each(|row| {
        let verdict: Verdict = row.record.verdict.into();
        by_namespace
            .entry(row.record.workload.namespace.clone())
            .or_default()
            .add(verdict);
        if verdict == Verdict::Passthrough {
            unregistered = Some(row.name());
        }
    });
    Overview {
        sentence: sentence(&flows, &destinations, watching(view, sandbox)),
        modes: modes(view.world()),
        flows,
        destinations,
        services: services(view.world(), None),
        bypass: bypass_view(view),
        namespaces: namespaces(view, &by_namespace),
        health: health(view, sandbox, flows.total(), traffic.dropped(), &changes.recovered()),
        next: next_step(view, sandbox, &changes.staged(), &flows, unregistered),
    }
}

fn sentence(flows: &VerdictCounts, destinations: &VerdictCounts, watching: Watching) -> String {
    if flows.total() == 0 {
        return match watching {
            Watching::Sandbox => "The sidecar runs; nothing has left yet.".into(),
            Watching::Pods => "The mesh's sidecars are followed; nothing has left yet.".into(),
            Watching::Nothing => "Nothing was seen yet: no sidecar runs.".into(),
        };
    }
    let mut parts = Vec::new();
    let places = |count: u64| {
        if count == 1 {
            "1 destination".to_string()
        } else {
            format!("{count} destinations")
        }
    };
    let unnamed = destinations.passthrough;
    if destinations.registered > 0 {
        parts.push(format!("{} named by policy", places(destinations.registered)));
    }
    if unnamed > 0 {
        parts.push(format!("{} named by nothing and let through", places(unnamed)));
    }
    if destinations.blocked > 0 {
        parts.push(format!("{} blocked", places(destinations.blocked)));
    }
    if destinations.bypassed > 0 {
        parts.push(format!("{} past the sidecar", places(destinations.bypassed)));
    }
    let total = flows.total();
    let flows = if total == 1 {
        "1 flow".to_string()
    } else {
        format!("{total} flows")
    };
    format!("{flows} seen: {}.", parts.join(", "))
}

/// Namespaces of the folder, declared or used, each with the mode that its workloads meet.
fn namespaces(view: &View, counts: &BTreeMap<String, VerdictCounts>) -> Vec<NamespaceRow> {
    let planes = Planes::of(view);
    let declared = view.world().namespaces.iter();
    let mut workloads: BTreeMap<String, Vec<Carried>> = declared
        .map(|namespace| (namespace.meta.name.to_string(), Vec::new()))
        .collect();
    for (workload, host_network) in view.workloads_on_hosts() {
        let own = workloads.entry(workload.namespace.to_string()).or_default();
        own.push(planes.workload(&workload, host_network));
    }
    let row = |(namespace, workloads): (String, Vec<Carried>)| {
        // A workload without labels is subject to what holds for the namespace as a whole.
        let any = Workload {
            namespace: namespace.as_str().into(),
            ..Workload::default()
        };
        let mode = mode_of(view.world(), &any);
        let carried = planes.namespace(&namespace, &workloads);
        let without = workloads.iter().filter(|workload| workload.plane != Plane::Sidecar);
        NamespaceRow {
            mode: mode.mode.into(),
            inherited: mode.scope == "mesh",
            written_in: mode.object.as_ref().map_or_else(
                || "nowhere: Istio's default".into(),
                |object| format!("{}:{}", object.file, object.line),
            ),
            plane: carried.plane,
            plane_because: carried.because.map(str::to_string),
            without_sidecar: without.count(),
            workloads: workloads.len(),
            counts: counts.get(&namespace).copied().unwrap_or_default(),
            namespace,
        }
    };
    workloads.into_iter().map(row).collect()
}
