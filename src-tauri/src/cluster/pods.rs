//! Pods, as far as they matter here: whose they are, and what their sidecars were told to capture when they started. A
//! pod keeps the rules it was born with, whatever is written since.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::api::core::v1 as core;
use kube::core::{ApiResource, DynamicObject};
use proxy_core::{
    policy::{CAPTURE_ANNOTATIONS, Capture},
    record::FlowWorkload,
};
use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    follow::Sink,
    image,
    kinds::namespace_of,
    logs::{INJECTED, SIDECAR},
    mirror::file_of,
};

/// Containers of an injected pod that hold the settings of its rules: one sets them, the other checks what CNI set.
const INIT: &str = "istio-init";
const VALIDATION: &str = "istio-validation";
/// By which a pod has a sidecar's image of its own.
const OWN_IMAGE: &str = "sidecar.istio.io/proxyImage";
/// The flags of istio-iptables that say the same, in short and in long.
const FLAGS: [(&str, &str); 4] = [
    ("-i", "--istio-service-cidr"),
    ("-x", "--istio-service-exclude-cidr"),
    ("-q", "--istio-outbound-ports"),
    ("-o", "--istio-local-outbound-ports-exclude"),
];

/// One pod that has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Pod {
    pub name: String,
    /// The kind of what made it: a Deployment, a Job; `Pod` where nothing did.
    pub kind: String,
    /// Its namespace, what made it, and its labels.
    pub workload: FlowWorkload,
    /// When it was made, RFC 3339.
    pub created: String,
    /// What its sidecar captures; `None` where no sidecar was injected.
    pub sidecar: Option<PodSidecar>,
    /// A sidecar was injected that writes a log.
    pub injected: bool,
    /// That sidecar runs.
    pub logs: bool,
    /// Why a container of it cannot start, in Kubernetes' word.
    pub trouble: Option<String>,
}

/// The sidecar of a pod, as it was injected.
#[derive(Debug, Clone, PartialEq)]
pub struct PodSidecar {
    pub capture: Capture,
    /// The rules were set by the CNI plugin.
    pub cni: bool,
    /// The control plane's revision that injected it.
    pub revision: String,
    /// Its version; `None` where its image has no tag, or the pod's own annotation names it.
    pub version: Option<String>,
}

/// All pods.
#[derive(Debug, Default)]
pub(super) struct Pods {
    inner: Mutex<Inner>,
    /// Told of every change.
    pub changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By file.
    pods: BTreeMap<String, Held>,
    /// All were listed once.
    listed: bool,
    /// Else those of these namespaces.
    listed_in: HashSet<String>,
}

#[derive(Debug)]
struct Held {
    pod: Pod,
    /// It is about to end: its sidecar still writes.
    ending: bool,
    /// It came after all were listed.
    young: bool,
}

/// A pod whose sidecar writes a log.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Logging {
    pub name: String,
    pub workload: FlowWorkload,
    /// The sidecar runs now.
    pub runs: bool,
    /// It came up after the connection.
    pub young: bool,
}

impl Pods {
    /// Those that are not about to end, by namespace and name.
    pub fn all(&self) -> Vec<Pod> {
        let inner = self.lock();
        let all = inner.pods.values().filter(|held| !held.ending);
        all.map(|held| held.pod.clone()).collect()
    }

    /// Those whose sidecar writes a log, or did before it was started anew.
    pub fn logging(&self) -> BTreeMap<String, Logging> {
        let inner = self.lock();
        let injected = inner.pods.iter().filter(|(_, held)| held.pod.injected);
        injected
            .map(|(file, Held { pod, young, .. })| {
                let logging = Logging {
                    name: pod.name.clone(),
                    workload: pod.workload.clone(),
                    runs: pod.logs,
                    young: *young,
                };
                (file.clone(), logging)
            })
            .collect()
    }

    // Entries are replaced whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Pods {
    fn put(&self, object: &DynamicObject, resource: &ApiResource) -> io::Result<()> {
        let file = file_of(object, resource);
        let Some(pod) = parse(object).ok().and_then(|pod| read(&pod)) else {
            return self.remove(&file);
        };
        let ending = object.metadata.deletion_timestamp.is_some();
        let mut inner = self.lock();
        let known = inner.pods.get(&file);
        if known.is_some_and(|known| known.pod == pod && known.ending == ending) {
            return Ok(());
        }
        let listed = inner.listed || inner.listed_in.contains(namespace_of(&file));
        let young = known.map_or(listed, |known| known.young);
        inner.pods.insert(file, Held { pod, ending, young });
        self.changed.send_replace(());
        Ok(())
    }

    fn remove(&self, file: &str) -> io::Result<()> {
        if self.lock().pods.remove(file).is_some() {
            self.changed.send_replace(());
        }
        Ok(())
    }

    fn keep(&self, _kind: &str, wanted: &dyn Fn(&str) -> bool) -> io::Result<()> {
        self.lock().pods.retain(|file, _| wanted(file));
        self.changed.send_replace(());
        Ok(())
    }

    fn listed(&self, namespace: Option<&str>) {
        let mut inner = self.lock();
        match namespace {
            None => inner.listed = true,
            Some(namespace) => {
                inner.listed_in.insert(namespace.to_string());
            }
        }
    }
}

/// Reads what the object holds where it stands: a pod is long, and there are many.
fn parse(object: &DynamicObject) -> serde_json::Result<core::Pod> {
    Ok(core::Pod {
        metadata: object.metadata.clone(),
        spec: Option::deserialize(&object.data["spec"])?,
        status: Option::deserialize(&object.data["status"])?,
    })
}

/// `None` for a pod that has ended.
fn read(pod: &core::Pod) -> Option<Pod> {
    let (metadata, spec) = (&pod.metadata, pod.spec.as_ref()?);
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    let owner = metadata.owner_references.iter().flatten();
    let owner_kind = owner.into_iter().find(|owner| owner.controller == Some(true));
    let kind = match owner_kind.map(|owner| owner.kind.as_str()) {
        Some("ReplicaSet") => "Deployment",
        Some(kind) => kind,
        None => "Pod",
    };
    let labels = metadata.labels.as_ref();
    let injected = labels.is_some_and(|labels| labels.contains_key(INJECTED));
    Some(Pod {
        name: metadata.name.clone().unwrap_or_default(),
        kind: kind.to_string(),
        workload: workload(pod),
        created: metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0.to_string())
            .unwrap_or_default(),
        sidecar: sidecar(pod, spec),
        injected,
        logs: injected && sidecar_runs(pod),
        trouble: status.and_then(trouble),
    })
}

fn sidecar(pod: &core::Pod, spec: &core::PodSpec) -> Option<PodSidecar> {
    let mut inits = spec.init_containers.iter().flatten();
    let init = inits.find(|container| [INIT, VALIDATION].contains(&container.name.as_str()))?;
    let none = BTreeMap::new();
    let annotations = pod.metadata.annotations.as_ref().unwrap_or(&none);
    let cni = init.name == VALIDATION;
    // The CNI plugin reads annotations only.
    let capture = if cni {
        Capture::read(CAPTURE_ANNOTATIONS.map(|key| annotations.get(key).map(String::as_str)))
    } else {
        // Istio 1.4 wrote them behind the command.
        let arguments: Vec<String> = init.command.iter().chain(&init.args).flatten().cloned().collect();
        Capture::read(FLAGS.map(|(short, long)| argument(&arguments, short, long)))
    };
    let injection = annotations.get("sidecar.istio.io/status");
    let injection: Value = injection
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    Some(PodSidecar {
        capture,
        cni,
        revision: injection["revision"].as_str().unwrap_or_default().to_string(),
        version: version(spec).filter(|_| !annotations.contains_key(OWN_IMAGE)),
    })
}

/// The version of the sidecar, which is an init container where it is a native one.
fn version(spec: &core::PodSpec) -> Option<String> {
    let mut all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let sidecar = all.find(|container| container.name == SIDECAR)?;
    image::version(sidecar.image.as_deref()?)
}

/// The value after `-i`, or of `--istio-service-cidr=…`.
fn argument<'a>(arguments: &'a [String], short: &str, long: &str) -> Option<&'a str> {
    arguments.iter().enumerate().find_map(|(index, argument)| {
        if argument == short || argument == long {
            return arguments.get(index + 1).map(String::as_str);
        }
        argument.strip_prefix(long)?.strip_prefix('=')
    })
}

/// The reason why a container waits, where waiting will not help.
fn trouble(status: &core::PodStatus) -> Option<String> {
    let containers = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten();
    containers
        .filter_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.clone())
        .find(|reason| {
            matches!(
                reason.as_str(),
                "CrashLoopBackOff"
                    | "ImagePullBackOff"
                    | "ErrImagePull"
                    | "InvalidImageName"
                    | "CreateContainerConfigError"
                    | "CreateContainerError"
                    | "RunContainerError"
            )
        })
}

/// Among the containers, or among the init containers where it is a native sidecar.
fn sidecar_runs(pod: &core::Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let all = status
        .container_statuses
        .iter()
        .chain(&status.init_container_statuses)
        .flatten();
    let runs =
        |container: &core::ContainerStatus| container.state.as_ref().is_some_and(|state| state.running.is_some());
    all.filter(|container| container.name == SIDECAR).any(runs)
}

/// The Deployment, StatefulSet or DaemonSet that the pod is of.
pub(super) fn workload(pod: &core::Pod) -> FlowWorkload {
    let metadata = &pod.metadata;
    let labels = metadata.labels.clone().unwrap_or_default();
    let owner = metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true));
    let hash = labels.get("pod-template-hash");
    let name = match owner {
        Some(owner) if owner.kind == "ReplicaSet" => {
            let of_deployment = hash.and_then(|hash| owner.name.strip_suffix(&format!("-{hash}")));
            of_deployment.unwrap_or(&owner.name).to_string()
        }
        Some(owner) => owner.name.clone(),
        None => metadata.name.clone().unwrap_or_default(),
    };
    FlowWorkload {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name,
        labels: labels.into_iter().collect(),
    }
}

/// Says that it is ready, and is not about to end.
pub(super) fn is_ready(pod: &core::Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    pod.metadata.deletion_timestamp.is_none() && ready.any(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests;
