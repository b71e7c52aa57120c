//! The bypass ranges as written, and the workloads that override them.

use proxy_core::model::InjectorConfig;

use super::{View, workload_name};
use crate::dto::{BypassView, Place, WorkloadOverrides};

/// Annotations by which a pod overrides the injector's values.
const OVERRIDES: &str = "traffic.sidecar.istio.io/";

/// What the injector says, and who says otherwise.
pub fn bypass_view(view: &View) -> BypassView {
    let injector = view.world().injector("");
    let text = |get: fn(&InjectorConfig) -> &Option<String>| {
        injector
            .and_then(|injector| get(&injector.spec).clone())
            .unwrap_or_default()
    };
    let line = |injector: &InjectorConfig| injector.lines.iter().copied().find(|line| *line > 0);
    BypassView {
        include_ranges: injector.map_or("*".into(), |injector| {
            injector.spec.include_ip_ranges.clone().unwrap_or_else(|| "*".into())
        }),
        exclude_ranges: text(|spec| &spec.exclude_ip_ranges),
        include_ports: text(|spec| &spec.include_outbound_ports),
        exclude_ports: text(|spec| &spec.exclude_outbound_ports),
        written: injector.map(|injector| Place {
            file: injector.place.file.to_string(),
            line: line(&injector.spec).unwrap_or(injector.place.line),
            column: 1,
        }),
        workloads: overrides(view),
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
