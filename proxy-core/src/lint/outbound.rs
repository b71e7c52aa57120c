//! Outbound modes that are not what they look like.

use super::{Finding, Level, finding::Report};
use crate::model::World;

const MESSAGE: &str = "outboundTrafficPolicy is written without a mode, and that means REGISTRY_ONLY, not the default";

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    let fix = || Some("write the mode out, or take outboundTrafficPolicy away".into());
    for mesh in world.mesh_configs.iter().filter(|mesh| mesh.spec.mode_is_implied) {
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
    for sidecar in world.sidecars.iter().filter(|sidecar| sidecar.spec.mode_is_implied) {
        let mut report = Report::new(findings, "Sidecar", sidecar);
        report.add("EGR01", Level::Warning, "spec.outboundTrafficPolicy", MESSAGE, fix());
    }
}
