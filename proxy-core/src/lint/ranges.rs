//! Lists of ranges and ports that the injector reads: no spaces, a mask on every range, single ports only.

use ipnet::IpNet;

use super::{Finding, Level, finding::Report};
use crate::model::World;

const PREFIX: &str = "traffic.sidecar.istio.io/";

/// Keys of the injector's values, and of the annotation that replaces each.
const LISTS: [(&str, &str); 4] = [
    ("includeIPRanges", "includeOutboundIPRanges"),
    ("excludeIPRanges", "excludeOutboundIPRanges"),
    ("includeOutboundPorts", "includeOutboundPorts"),
    ("excludeOutboundPorts", "excludeOutboundPorts"),
];

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    for injector in &world.injectors {
        let spec = &injector.spec;
        let lists = [
            &spec.include_ip_ranges,
            &spec.exclude_ip_ranges,
            &spec.include_outbound_ports,
            &spec.exclude_outbound_ports,
        ];
        let mut report = Report::new(findings, "ConfigMap", injector);
        for (index, list) in lists.into_iter().enumerate() {
            let Some((message, fix)) = list.as_deref().and_then(|list| wrong(index, list)) else {
                continue;
            };
            let field = format!("data.values.global.proxy.{}", LISTS[index].0);
            let message = format!("{message}; new pods would not start with it");
            report.add("EGR15", Level::Warning, field, message, fix);
            report.at(spec.lines[index]);
        }
    }
    for workload in &world.workloads {
        let template = if workload.spec.kind == "Pod" {
            ""
        } else {
            "spec.template."
        };
        let mut report = Report::new(findings, workload.spec.kind, workload);
        for (index, (_, annotation)) in LISTS.iter().enumerate() {
            let key = format!("{PREFIX}{annotation}");
            let list = workload.spec.pod_annotations.get(&key);
            let Some((message, fix)) = list.and_then(|list| wrong(index, list)) else {
                continue;
            };
            let field = format!("{template}metadata.annotations[{key}]");
            // Istio's analyzer looks at pods alone.
            let code = if workload.spec.kind == "Pod" {
                "IST0125"
            } else {
                "EGR15"
            };
            report.add(
                code,
                Level::Warning,
                field,
                format!("Invalid annotation {key}: {message}"),
                fix,
            );
        }
    }
}

/// What is wrong with the list, and what to write.
fn wrong(index: usize, list: &str) -> Option<(String, Option<String>)> {
    let include_ranges = index == 0;
    if list.is_empty() || (list == "*" && include_ranges) {
        return None;
    }
    let ranges = index < 2;
    list.split(',').find_map(|entry| match ranges {
        true if entry == "*" && include_ranges => Some(("`*` stands only alone".into(), None)),
        true if entry == "*" => Some(("`*` cannot be excluded".into(), None)),
        true if entry.trim() != entry => Some((
            format!("{entry:?} has spaces around it"),
            Some("write the ranges with commas and no spaces".into()),
        )),
        true if entry.parse::<IpNet>().is_ok() => None,
        true => Some((
            format!("{entry:?} is no range: a mask is needed"),
            entry
                .parse::<std::net::IpAddr>()
                .ok()
                .map(|address| format!("write {}", IpNet::from(address))),
        )),
        false if entry.trim().parse::<u16>().is_ok() => None,
        false => Some((
            format!("{entry:?} is no port; ranges of ports are not supported"),
            Some("name each port".into()),
        )),
    })
}
