//! Annotations of Istio's that stand where nothing reads them, are not known, or will go (IST0107, IST0108, IST0135). As
//! Istio's `annotations.K8sAnalyzer`, which looks at what is written on the object itself, not in a pod template.

use super::{Finding, finding::Report, known_annotations::known};
use crate::{
    model::{Meta, World},
    policy::INJECT,
};

/// Of Kubernetes, but Istio documents it.
const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";
/// Written by Istio itself (`maturity.AlwaysIgnoredAnnotations`).
const ITS_OWN: [&str; 3] = [
    "sidecar.istio.io/status",
    "gateway.istio.io/controller-version",
    "istio.io/rev",
];

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    for namespace in &world.namespaces {
        of_object(
            &mut Report::new(findings, "Namespace", namespace),
            "Namespace",
            &namespace.meta,
        );
    }
    for service in &world.services {
        of_object(&mut Report::new(findings, "Service", service), "Service", &service.meta);
    }
    for workload in &world.workloads {
        let kind = workload.spec.kind;
        // Istio's analyzer does not look at the others.
        if matches!(kind, "Pod" | "Deployment") {
            of_object(&mut Report::new(findings, kind, workload), kind, &workload.meta);
        }
    }
}

fn of_object(report: &mut Report<'_>, kind: &str, meta: &Meta) {
    for key in meta.annotations.keys() {
        if is_istios(key) && !ITS_OWN.contains(&key.as_str()) {
            of_key(report, kind, meta, key);
        }
    }
}

fn of_key(report: &mut Report<'_>, kind: &str, meta: &Meta, key: &str) {
    let field = || format!("metadata.annotations[{key}]");
    let Some(known) = known(key) else {
        let fix = "look at how it is spelt: nothing reads it".to_string();
        return report.analyzed("IST0108", field(), format!("Unknown annotation: {key}"), Some(fix));
    };
    // A label of the same name is what this annotation is deprecated for.
    if known.deprecated && !(key == INJECT && meta.labels.contains_key(INJECT)) {
        let (instead, fix) = match key == INJECT {
            true => (
                format!(" in favor of the {INJECT:?} label"),
                Some("write it as a label".into()),
            ),
            false => (String::new(), None),
        };
        let message =
            format!("Annotation {key:?} has been deprecated{instead} and may not work in future Istio versions.");
        report.analyzed("IST0135", field(), message, fix);
    }
    let mut kinds = known.kinds.split(", ");
    if !kinds.any(|known| known == "Any" || known == kind) {
        let fix = match (kind, known.kinds) {
            ("Deployment", "Pod") => "write it in spec.template.metadata.annotations".into(),
            _ => format!("write it on a {}", known.kinds.replace(", ", " or a ")),
        };
        let message = format!("Misplaced annotation: {key} can only be applied to {}", known.kinds);
        report.analyzed("IST0107", field(), message, Some(fix));
    }
}

/// True for keys whose prefix ends as Istio's do.
fn is_istios(key: &str) -> bool {
    let prefix = key.split_once('/').map_or(key, |(prefix, _)| prefix);
    key == INGRESS_CLASS || prefix.ends_with("istio.io")
}
