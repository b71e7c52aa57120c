//! Where sidecars are missing: namespaces that nobody has decided about (IST0102) or somebody has twice (IST0123), pods of
//! an injected namespace without one (IST0103), and what runs under the sidecar's own user, which is not captured (IST0144). As Istio's
//! `injection.Analyzer` and `deployment.ApplicationUIDAnalyzer`.

use std::collections::HashSet;

use super::{Finding, finding::Report, istio};
use crate::{
    model::{Namespace, Object, WorkloadManifest, World},
    policy::{INJECT, INJECTION, MODE, REVISION},
};

pub(super) fn check(world: &World, findings: &mut Vec<Finding>) {
    let by_default = world
        .injectors
        .iter()
        .any(|injector| injector.spec.revision.is_empty() && injector.spec.enabled_by_default);
    let mut injected = HashSet::new();
    for namespace in world
        .namespaces
        .iter()
        .filter(|namespace| !is_its_own(world, namespace))
    {
        several_ways(namespace, findings);
        if namespace.meta.labels.get(MODE).is_some_and(|mode| mode == "ambient") {
            continue;
        }
        let injection = namespace.meta.labels.get(INJECTION).map_or("", String::as_str);
        let decided = !injection.is_empty() || namespace.meta.labels.contains_key(REVISION);
        if injection == "enabled" {
            injected.insert(&*namespace.meta.name);
        }
        if !decided && !by_default {
            undecided(namespace, findings);
        }
    }
    for workload in &world.workloads {
        let mut report = Report::new(findings, workload.spec.kind, workload);
        if injected.contains(&*workload.meta.namespace) && lacks_sidecar(workload) {
            let (namespace, name) = (&workload.meta.namespace, &workload.meta.name);
            let message = format!(
                "The pod {namespace}/{name} is missing the Istio proxy. This can often be resolved by restarting or \
                 redeploying the workload."
            );
            report.analyzed("IST0103", "", message, Some("restart its workload".into()));
        }
        if let Some(field) = &workload.spec.sidecar_user
            && !istio::is_control_plane(&workload.meta.labels)
        {
            let template = if workload.spec.kind == "Pod" {
                ""
            } else {
                "spec.template."
            };
            let message = "User ID (UID) 1337 is reserved for the sidecar proxy: what runs under it is not captured";
            let fix = "take another user".to_string();
            report.analyzed("IST0144", format!("{template}spec.{field}"), message, Some(fix));
        }
    }
}

/// Of Istio itself: nothing is to be injected there.
fn is_its_own(world: &World, namespace: &Object<Namespace>) -> bool {
    let name = &*namespace.meta.name;
    name == "istio-system" || world.mesh_configs.iter().any(|mesh| *mesh.meta.namespace == *name)
}

/// Ambient's ztunnel carries the traffic of the namespace; a label that asks for sidecars is stronger
/// (`util.NamespaceInAmbientMode`).
pub(super) fn is_ambient(world: &World, namespace: &str) -> bool {
    let mut declared = world.namespaces.iter().filter(|object| *object.meta.name == *namespace);
    declared.any(|object| {
        let label = |key: &str| object.meta.labels.get(key).map_or("", String::as_str);
        label(MODE) == "ambient" && label(INJECTION) != "enabled" && label(REVISION).is_empty()
    })
}

/// The same of one pod that runs.
pub(super) fn is_ambient_pod(workload: &Object<WorkloadManifest>) -> bool {
    let redirection = workload.spec.pod_annotations.get("ambient.istio.io/redirection");
    redirection.is_some_and(|redirection| redirection == "enabled")
}

/// Two labels that say what becomes of its pods. One that takes the namespace out says so of the others too.
fn several_ways(namespace: &Object<Namespace>, findings: &mut Vec<Finding>) {
    let labels = &namespace.meta.labels;
    if labels.get(INJECTION).is_some_and(|injection| injection != "enabled") {
        return;
    }
    let written: Vec<String> = [INJECTION, REVISION, MODE]
        .iter()
        .filter_map(|key| labels.get(*key).map(|value| format!("{key}={value}")))
        .collect();
    if written.len() > 1 {
        let message = format!(
            "The namespace has more than one type of injection labels [{}], which may lead to undefined behavior. Make \
             sure only one injection label exists.",
            written.join(" ")
        );
        let fix = "keep the one that is meant".to_string();
        Report::new(findings, "Namespace", namespace).analyzed("IST0123", "metadata.labels", message, Some(fix));
    }
}

fn undecided(namespace: &Object<Namespace>, findings: &mut Vec<Finding>) {
    let name = &namespace.meta.name;
    let message = format!(
        "The namespace is not enabled for Istio injection. Run 'kubectl label namespace {name} istio-injection=enabled' to \
         enable it, or 'kubectl label namespace {name} istio-injection=disabled' to explicitly mark it as not needing \
         injection."
    );
    Report::new(findings, "Namespace", namespace).analyzed("IST0102", "metadata.labels", message, None);
}

/// A pod that runs without a sidecar though its namespace has them injected. A manifest gets its sidecar when the pod is
/// made: only the API server writes a time of creation.
fn lacks_sidecar(workload: &Object<WorkloadManifest>) -> bool {
    let spec = &workload.spec;
    let said = spec.pod_labels.get(INJECT).or_else(|| spec.pod_annotations.get(INJECT));
    spec.kind == "Pod"
        && workload.meta.created.is_some()
        && !spec.host_network
        && !spec.has_sidecar
        && !said.is_some_and(|said| said.eq_ignore_ascii_case("false"))
}
