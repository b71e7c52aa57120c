//! What the pods of a cluster capture, beside what new ones would: a pod keeps the rules it was born with.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proxy_core::policy::{self, Capture, DataPlane, capture_under};

use super::{View, workload_name};
use crate::{
    cluster::{Cluster, Lives, OwnRanges, Pod, PodSidecar, ROLLING, Restart, StepState, version_of_tag},
    dto::{
        CaptureLists, OwnRangeRow, OwnRangesView, PodsRow, PodsView, RestartRow, RestartState, RestartStepState,
        RunsWith,
    },
};

/// The CNI plugin excludes this port where no annotation says otherwise.
const CNI_DEFAULT: u16 = 15020;

/// All workloads with pods, those with older rules first.
pub fn pods_view(view: &View, cluster: &Cluster) -> PodsView {
    PodsView {
        workloads: rows(view, cluster.pods()),
        restart: restart(cluster.restart()),
    }
}

fn rows(view: &View, pods: Vec<Pod>) -> Vec<PodsRow> {
    let declared: HashMap<String, policy::Workload> = view
        .workloads()
        .into_iter()
        .map(|workload| (workload_name(&workload), workload))
        .collect();
    let mut by_workload: BTreeMap<(String, String), Vec<Pod>> = BTreeMap::new();
    for pod in pods {
        let workload = format!("{}/{}", pod.workload.namespace, pod.workload.name);
        by_workload.entry((workload, pod.kind.clone())).or_default().push(pod);
    }
    let mut rows: Vec<_> = by_workload
        .into_iter()
        .map(|((workload, kind), pods)| {
            let declared = declared.get(&workload);
            row(view, declared, workload, kind, &pods)
        })
        .collect();
    rows.sort_by_key(|row| row.runs_with);
    rows
}

fn row(view: &View, declared: Option<&policy::Workload>, workload: String, kind: String, pods: &[Pod]) -> PodsRow {
    let (namespace, name) = workload.split_once('/').unwrap_or_default();
    let undeclared = policy::Workload {
        namespace: namespace.into(),
        name: name.into(),
        ..policy::Workload::default()
    };
    let workload_or = declared.unwrap_or(&undeclared);
    let revision = revision_of(view, workload_or, pods);
    let gets = capture_under(view.world(), workload_or, &revision);
    let injector = view
        .world()
        .injector(&revision)
        .and_then(|injector| injector.spec.proxy_tag.as_deref());
    let proxy_gets = injector.map(version_of_tag);
    let other_proxy = |sidecar: &PodSidecar| {
        let version = sidecar.version.clone().filter(|_| proxy_gets.is_some());
        version.filter(|version| Some(version) != proxy_gets.as_ref())
    };
    // What no manifest here declares may have annotations that nobody sees: only what is known is called older.
    let has_older_rules = |sidecar: &PodSidecar| declared.is_some() && !is_current(sidecar, &gets);
    let sidecars = || pods.iter().filter_map(|pod| pod.sidecar.as_ref());
    let proxy_has: BTreeSet<String> = sidecars().filter_map(other_proxy).collect();
    let stale: Vec<_> = pods
        .iter()
        .filter(|pod| {
            let sidecar = pod.sidecar.as_ref();
            sidecar.is_some_and(|sidecar| has_older_rules(sidecar) || other_proxy(sidecar).is_some())
        })
        .collect();
    let shown = pods
        .iter()
        .find(|pod| pod.sidecar.as_ref().is_some_and(has_older_rules))
        .or_else(|| pods.iter().find(|pod| pod.sidecar.is_some()));
    let own = declared.is_some_and(|workload| {
        let mut keys = workload.annotations.keys();
        keys.any(|key| key.starts_with("traffic.sidecar.istio.io/") && key.contains("Outbound"))
    });
    PodsRow {
        pods: pods.len(),
        stale: stale.len(),
        runs_with: match shown {
            Some(_) if sidecars().any(has_older_rules) => RunsWith::Older,
            Some(_) if !proxy_has.is_empty() => RunsWith::OlderProxy,
            Some(_) => RunsWith::Current,
            None => RunsWith::None,
        },
        proxy_has: proxy_has.into_iter().collect(),
        proxy_gets,
        has: shown.and_then(|pod| Some(lists(&pod.sidecar.as_ref()?.capture))),
        gets: lists(&gets),
        own,
        revision,
        since: stale.iter().map(|pod| pod.created.clone()).min(),
        restarts: declared.is_some() && ROLLING.contains(&kind.as_str()),
        kind,
        workload,
    }
}

/// The revision that injects a new pod. Where no label names one, as after `istioctl kube-inject`, it is that of the pods
/// that are there.
fn revision_of(view: &View, workload: &policy::Workload, pods: &[Pod]) -> String {
    let world = view.world();
    let by_labels = DataPlane::of(world, workload, false);
    let own = pods.iter().find_map(|pod| pod.sidecar.as_ref());
    match (by_labels, own) {
        (DataPlane::Nothing { .. } | DataPlane::Ambient { .. }, Some(sidecar)) => {
            world.revision_called(&sidecar.revision).to_string()
        }
        _ => by_labels.revision(world).to_string(),
    }
}

/// As the window shows it.
pub fn own_ranges_view(ranges: OwnRanges) -> OwnRangesView {
    let found = ranges.found.into_iter().map(|range| OwnRangeRow {
        range: range.range.to_string(),
        lives: match range.lives {
            Lives::Services => "services",
            Lives::Pods => "pods",
            Lives::Nodes => "nodes",
        }
        .into(),
        sources: range.sources.into_iter().collect(),
        certain: range.certain,
    });
    OwnRangesView {
        found: found.collect(),
        unread: ranges.unread,
    }
}

/// Under CNI two things differ: the plugin's own port, and that injection loses a mesh value that is empty.
fn is_current(sidecar: &PodSidecar, gets: &Capture) -> bool {
    if !sidecar.cni {
        return sidecar.capture.is_same(gets);
    }
    let plain = |capture: &Capture| {
        let mut capture = capture.clone();
        capture.exclude_ports.retain(|port| *port != CNI_DEFAULT);
        capture
    };
    let (has, mut gets) = (plain(&sidecar.capture), plain(gets));
    let by_mesh = gets.written[0]
        .as_ref()
        .is_some_and(|object| object.kind == "ConfigMap");
    if by_mesh && gets.include_ranges.as_ref().is_some_and(Vec::is_empty) {
        gets.include_ranges = None;
    }
    has.is_same(&gets)
}

fn lists(capture: &Capture) -> CaptureLists {
    let [include_ranges, exclude_ranges, include_ports, exclude_ports] = capture.lists();
    CaptureLists {
        include_ranges,
        exclude_ranges,
        include_ports,
        exclude_ports,
    }
}

fn restart(restart: Restart) -> RestartState {
    let steps = restart.steps.into_iter().map(|step| RestartRow {
        workload: format!("{}/{}", step.namespace, step.name),
        step: match step.state {
            StepState::Waiting => RestartStepState::Waiting,
            StepState::Rolling(new, all) => RestartStepState::Rolling { new, all },
            StepState::Done => RestartStepState::Done,
            StepState::Failed(fault) => RestartStepState::Failed { fault },
            StepState::Left => RestartStepState::Left,
        },
    });
    RestartState {
        steps: steps.collect(),
        paused: restart.paused,
        running: restart.running,
    }
}
