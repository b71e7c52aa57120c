//! Outbound modes that are not what they look like.

use super::{Finding, Level, finding::Report};
use crate::model::{Object, OutboundMode, Sidecar, World};

const MESSAGE: &str = "outboundTrafficPolicy is written without a mode, and that means REGISTRY_ONLY, not the default";

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    let fix = || Some("write the mode out, or take outboundTrafficPolicy away".into());
    for mesh in world
        .mesh_configs
        .iter()
        .filter(|mesh| mesh.spec.mode_is_implied && mesh.spec.mode_elsewhere.is_none())
    {
        let mut report = Report::new(findings, "ConfigMap", mesh);
        report.add(
            "EGR01",
            Level::Warning,
            "data.mesh.outboundTrafficPolicy",
            MESSAGE,
            fix(),
        );
        report.at(mesh.spec.mode_line);
    }
    for mesh in &world.mesh_configs {
        for (setting, line) in &mesh.spec.unapplied {
            let mut report = Report::new(findings, "ConfigMap", mesh);
            report.add(
                "EGR06",
                Level::Info,
                format!("data.mesh.{setting}"),
                format!("Egret's sidecar does not act on {setting}; Envoy does"),
                None,
            );
            report.at(*line);
        }
    }
    for sidecar in world.sidecars.iter().filter(|sidecar| sidecar.spec.mode_is_implied) {
        let mut report = Report::new(findings, "Sidecar", sidecar);
        report.add("EGR01", Level::Warning, "spec.outboundTrafficPolicy", MESSAGE, fix());
        report.patch("add", "/spec/outboundTrafficPolicy/mode", Some("REGISTRY_ONLY".into()));
    }
    for sidecar in world.sidecars.iter().filter(|sidecar| sidecar.spec.mode.is_none()) {
        past_the_default(world, sidecar, findings);
    }
}

/// A Sidecar for some workloads that says nothing of the mode takes the mesh's, not that of its namespace's Sidecar.
fn past_the_default(world: &World, sidecar: &Object<Sidecar>, findings: &mut Vec<Finding>) {
    if sidecar
        .spec
        .workload_selector
        .as_ref()
        .is_none_or(|labels| labels.is_empty())
    {
        return;
    }
    let default = world
        .sidecars
        .iter()
        .filter(|other| other.meta.namespace == sidecar.meta.namespace && other.spec.workload_selector.is_none())
        .min_by_key(|other| (other.meta.created, &other.meta.name));
    let mesh = world
        .mesh_config("")
        .map_or(OutboundMode::AllowAny, |mesh| mesh.spec.mode);
    let Some(mode) = default
        .and_then(|default| default.spec.mode)
        .filter(|mode| *mode != mesh)
    else {
        return;
    };
    let mut report = Report::new(findings, "Sidecar", sidecar);
    report.add(
        "EGR12",
        Level::Warning,
        "spec.workloadSelector",
        format!("the workloads it selects have the mesh's mode {mesh}, not {mode} of their namespace's Sidecar"),
        Some(format!("write outboundTrafficPolicy with mode {mode} here too")),
    );
    let policy = serde_json::json!({"mode": mode.to_string()});
    report.patch("add", "/spec/outboundTrafficPolicy", Some(policy));
}
