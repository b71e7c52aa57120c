//! DestinationRule: Istio's validation of what this engine reads.

use super::{Finding, export_to, finding::Report, hosts::is_wildcard_domain};
use crate::model::World;

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    for rule in &world.destination_rules {
        let mut report = Report::new(findings, "DestinationRule", rule);
        let spec = &rule.spec;
        if !is_wildcard_domain(&spec.host) {
            report.rejected("spec.host", format!("domain name {:?} invalid", spec.host));
        }
        for (index, subset) in spec.subsets.iter().enumerate() {
            let subset = &subset.name;
            if subset.is_empty() {
                report.rejected(format!("spec.subsets[{index}].name"), "subset name is required");
            } else if spec.subsets[..index].iter().any(|earlier| earlier.name == *subset) {
                report.rejected(
                    format!("spec.subsets[{index}].name"),
                    format!("duplicate subset names: {subset}"),
                );
            }
        }
        export_to::check(&mut report, &spec.export_to, &rule.meta.namespace, false);
    }
}
