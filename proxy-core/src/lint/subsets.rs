//! What DestinationRules are for: a host that there is (IST0174), and subsets that have pods (IST0173). As Istio's
//! `destinationrule.PodNotSelectedAnalyzer`, but where no pod at all is known nothing is said about subsets.

use super::{Finding, finding::Report, registry::Registry};
use crate::model::{Labels, World};

pub(super) fn check(world: &World, registry: &Registry<'_>, findings: &mut Vec<Finding>) {
    for rule in &world.destination_rules {
        let mut report = Report::new(findings, "DestinationRule", rule);
        let declared = registry.find(&rule.meta.namespace, &rule.spec.export_to, &rule.spec.host);
        if declared.is_empty() {
            report.analyzed(
                "IST0174",
                "spec.host",
                format!(
                    "The host {} defined in the DestinationRule does not match any services in the mesh",
                    rule.spec.host
                ),
                Some("add a ServiceEntry for it".into()),
            );
            continue;
        }
        if world.workloads.is_empty() {
            continue;
        }
        for (index, subset) in rule.spec.subsets.iter().enumerate() {
            // A subset's own labels win over the selector's.
            let selects = |selector: Option<&Labels>| {
                let mut labels = selector.cloned().unwrap_or_default();
                labels.extend(subset.labels.clone());
                let has = |pod: &Labels| labels.iter().all(|(key, value)| pod.get(key) == Some(value));
                world.workloads.iter().any(|workload| has(&workload.spec.pod_labels))
            };
            if !declared.iter().any(|one| selects(one.selector())) {
                report.analyzed(
                    "IST0173",
                    format!("spec.subsets[{index}]"),
                    format!("The subset {} selects no pods: requests to it get 503 UH", subset.name),
                    Some("give it labels that pods of the host have".into()),
                );
            }
        }
    }
}
