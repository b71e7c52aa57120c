//! The bypass ranges as written, one set a revision of the control plane, and the workloads that override them.

use std::collections::{BTreeSet, HashMap};

use proxy_core::model::{InjectorConfig, InjectorLayout, Object};

use super::{View, planes::Planes, workload_name};
use crate::dto::{BypassView, CaptureList, CaptureLists, InjectorRow, Place, Plane, WorkloadOverrides};

/// Annotations by which a pod overrides the injector's values.
const OVERRIDES: &str = "traffic.sidecar.istio.io/";
/// The lists in the order of the model.
const LISTS: [CaptureList; 4] = [
    CaptureList::IncludeRanges,
    CaptureList::ExcludeRanges,
    CaptureList::IncludePorts,
    CaptureList::ExcludePorts,
];
const TEMPLATE: &str = "This release of Istio (1.0 to 1.3) keeps the lists inside its injection template, where Helm has \
                        rendered them: the next helm upgrade writes its own values there. Set the chart's \
                        global.proxy.includeIPRanges and its like too.";

/// What each injector says, and who says otherwise.
pub fn bypass_view(view: &View) -> BypassView {
    let world = view.world();
    let (uses, mut unknown) = uses(view);
    let used = |revision: &str| uses.get(revision).copied().unwrap_or_default();
    let mut injectors: Vec<_> = world
        .injectors
        .iter()
        .map(|injector| InjectorRow {
            tags: tags(view, &injector.spec.revision),
            workloads: used(&injector.spec.revision),
            ..row(injector)
        })
        .collect();
    injectors.sort_by(|a, b| a.revision.cmp(&b.revision));
    if injectors.is_empty() {
        injectors.push(unwritten(used("")));
    }
    let known: BTreeSet<&str> = injectors.iter().map(|row| row.revision.as_str()).collect();
    let missing = uses
        .keys()
        .filter(|revision| !revision.is_empty() && !known.contains(revision.as_str()));
    let mut missing: Vec<_> = missing
        .map(|revision| format!("Namespaces or pods ask for revision {revision}, whose injector is not here."))
        .collect();
    missing.sort();
    unknown.extend(missing);
    BypassView {
        injectors,
        workloads: overrides(view),
        unknown,
    }
}

/// How many workloads each revision injects, and what is not known of that.
fn uses(view: &View) -> (HashMap<String, usize>, Vec<String>) {
    let planes = Planes::of(view);
    let mut uses: HashMap<String, usize> = HashMap::new();
    for (workload, host_network) in view.workloads_on_hosts() {
        let carried = planes.workload(&workload, host_network);
        if carried.plane == Plane::Sidecar {
            *uses.entry(carried.revision).or_default() += 1;
        }
    }
    let unread = view.origin.cluster().and_then(|cluster| cluster.unread_tags());
    let unread = unread.map(|fault| {
        format!(
            "Tags of revisions cannot be read, so a tag is taken for a revision of that name: {}",
            fault.message
        )
    });
    (uses, unread.into_iter().collect())
}

fn tags(view: &View, revision: &str) -> Vec<String> {
    let tags = view.world().tags.iter().filter(|tag| tag.spec.revision == revision);
    tags.map(|tag| tag.spec.tag.clone()).collect()
}

fn row(injector: &Object<InjectorConfig>) -> InjectorRow {
    let spec = &injector.spec;
    let line = spec.lines.iter().copied().find(|line| *line > 0).unwrap_or(0);
    let text = |list: &Option<String>| list.clone().unwrap_or_default();
    let unsettable = LISTS.into_iter().zip(spec.settable()).filter(|(_, settable)| !settable);
    InjectorRow {
        revision: spec.revision.clone(),
        tags: Vec::new(),
        lists: CaptureLists {
            include_ranges: spec.include_ip_ranges.clone().unwrap_or_else(|| "*".into()),
            exclude_ranges: text(&spec.exclude_ip_ranges),
            include_ports: text(&spec.include_outbound_ports),
            exclude_ports: text(&spec.exclude_outbound_ports),
        },
        object: Some((&injector.reference("ConfigMap", line)).into()),
        written: Some(Place {
            file: injector.place.file.to_string(),
            line: if line == 0 { injector.place.line } else { line },
            column: 1,
        }),
        unsettable: unsettable.map(|(list, _)| list).collect(),
        note: (spec.layout == InjectorLayout::Template).then(|| TEMPLATE.to_string()),
        workloads: 0,
    }
}

/// Where no injector is written: everything is captured.
fn unwritten(workloads: usize) -> InjectorRow {
    InjectorRow {
        revision: String::new(),
        tags: Vec::new(),
        lists: CaptureLists {
            include_ranges: "*".into(),
            exclude_ranges: String::new(),
            include_ports: String::new(),
            exclude_ports: String::new(),
        },
        object: None,
        written: None,
        unsettable: Vec::new(),
        note: None,
        workloads,
    }
}

fn overrides(view: &View) -> Vec<WorkloadOverrides> {
    let workloads = view.workloads().into_iter().map(|workload| WorkloadOverrides {
        workload: workload_name(&workload),
        overrides: workload
            .annotations
            .iter()
            .filter_map(|(key, value)| Some(format!("{}: {value}", key.strip_prefix(OVERRIDES)?)))
            .collect(),
    });
    workloads.filter(|workload| !workload.overrides.is_empty()).collect()
}
