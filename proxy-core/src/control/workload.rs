//! Which workload the sidecar stands beside, as its policy knows it.

use super::WorkloadChoice;
use crate::{
    model::{Object, UnknownWorkload, WorkloadManifest},
    policy::Workload,
    source::Reading,
};

/// Who calls: the workload of the folder that was named, or else the one with these labels, gives its name and annotations.
pub(super) fn workload(reading: &Reading, choice: &WorkloadChoice) -> Result<Workload, UnknownWorkload> {
    Ok(Workload {
        dns_capture: choice.dns_capture,
        ..found(reading, choice)?
    })
}

fn found(reading: &Reading, choice: &WorkloadChoice) -> Result<Workload, UnknownWorkload> {
    if let Some(named) = &choice.named {
        return named
            .find(&reading.world, &choice.namespace)
            .map(|found| declared(found));
    }
    let found = reading.world.workloads.iter().find(|workload| {
        *workload.meta.namespace == *choice.namespace
            && !choice.labels.is_empty()
            && choice
                .labels
                .iter()
                .all(|(key, value)| workload.spec.pod_labels.get(key) == Some(value))
    });
    Ok(match found {
        Some(found) => declared(found),
        None => Workload {
            namespace: choice.namespace.as_str().into(),
            name: choice.labels.get("app").map_or("", String::as_str).into(),
            labels: choice.labels.clone(),
            ..Workload::default()
        },
    })
}

fn declared(workload: &Object<WorkloadManifest>) -> Workload {
    Workload {
        namespace: workload.meta.namespace.clone(),
        name: workload.meta.name.clone(),
        labels: workload.spec.pod_labels.clone(),
        annotations: workload.spec.pod_annotations.clone(),
        dns_capture: None,
    }
}
