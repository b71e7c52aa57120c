//! A copy of a workload: one pod with the sidecar, which no Service sends anything to. It has the workload's account,
//! variables and volumes; what only one pod can hold at a time is replaced by something empty.

use serde_json::{Map, Value, json};

use super::{
    containers::{self, is_proxy_variable},
    names,
    options::{Identity, Options},
};
use crate::{
    cluster::{MADE_BY, SESSION},
    dto::DeployWay,
};

/// Containers that were injected by hand and stand in the manifest.
const ISTIO: [&str; 3] = ["istio-proxy", "istio-init", "istio-validation"];
/// Seconds after which Kubernetes itself gives a copy up.
const DEADLINE: u32 = 120;

/// The Deployment, from the workload as the API server has it. `owner` is the session's ConfigMap: name and uid.
pub fn copy(workload: &Value, options: &Options, identity: &Identity, id: &str, owner: (&str, &str)) -> Value {
    let name = names::copy(&options.target, id);
    let selector = json!({SESSION: id});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": options.target.namespace,
            "labels": names::labels(id),
            "annotations": names::annotations(options),
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": owner.0, "uid": owner.1}],
        },
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 0,
            "progressDeadlineSeconds": DEADLINE,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": selector},
            "template": template(workload, options, identity, id),
        },
    })
}

fn template(workload: &Value, options: &Options, identity: &Identity, id: &str) -> Value {
    let template = &workload["spec"]["template"];
    let mut annotations = template["metadata"]["annotations"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    annotations.retain(|key, _| key != "sidecar.istio.io/status" && key != "kubectl.kubernetes.io/restartedAt");
    annotations.insert("sidecar.istio.io/inject".into(), json!("false"));
    let mut spec = template["spec"].as_object().cloned().unwrap_or_default();
    // A pod that is bound to a node may find no room there beside the one that it is a copy of.
    spec.remove("nodeName");
    for list in ["containers", "initContainers"] {
        if let Some(all) = spec.get_mut(list).and_then(Value::as_array_mut) {
            all.retain(|each| !each["name"].as_str().is_some_and(|name| ISTIO.contains(&name)));
            all.iter_mut().for_each(|each| container(each, options.way));
        }
    }
    let mut init = containers::init_containers(options, identity);
    init.extend(
        spec.get("initContainers")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default(),
    );
    spec.insert("initContainers".into(), init.into());
    let mut volumes: Vec<Value> = spec
        .get("volumes")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let claims = workload["spec"]["volumeClaimTemplates"]
        .as_array()
        .into_iter()
        .flatten();
    volumes.extend(claims.map(|claim| json!({"name": claim["metadata"]["name"], "emptyDir": {}})));
    volumes.iter_mut().for_each(volume);
    volumes.extend(containers::volumes(id));
    spec.insert("volumes".into(), volumes.into());
    json!({"metadata": {"labels": pod_labels(options, id), "annotations": annotations}, "spec": spec})
}

/// None of the workload's own, so that nothing that selects it selects the copy.
fn pod_labels(options: &Options, id: &str) -> Value {
    json!({
        MADE_BY.0: MADE_BY.1,
        "app.kubernetes.io/part-of": "egret",
        SESSION: id,
        names::COPY_OF: names::cut(&options.target.name, 63),
        // Neither of Istio's data planes takes it: the sidecar is all that stands between the workload and the world.
        "sidecar.istio.io/inject": "false",
        "istio.io/dataplane-mode": "none",
    })
}

fn container(container: &mut Value, way: DeployWay) {
    for port in container["ports"].as_array_mut().into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            port.remove("hostPort");
            port.remove("hostIP");
        }
    }
    if way == DeployWay::Proxy {
        let mut variables = container["env"].as_array().cloned().unwrap_or_default();
        variables.retain(|each| !each["name"].as_str().is_some_and(is_proxy_variable));
        variables.extend(containers::proxy_variables());
        container["env"] = variables.into();
    }
}

/// A claim belongs to the pod that has it: of two writers at least one would be wrong.
fn volume(volume: &mut Value) {
    let Some(fields) = volume.as_object_mut() else { return };
    if fields.contains_key("persistentVolumeClaim") || fields.contains_key("ephemeral") {
        let name = fields.get("name").cloned().unwrap_or_default();
        *fields = Map::from_iter([("name".to_string(), name), ("emptyDir".to_string(), json!({}))]);
    }
}

/// What the copy has not, in words for a person; empty where it has everything.
pub fn leaves_out(workload: &Value) -> Vec<String> {
    let spec = &workload["spec"]["template"]["spec"];
    let mut all = Vec::new();
    let own = spec["volumes"].as_array().into_iter().flatten();
    let claimed =
        own.filter(|volume| volume.get("persistentVolumeClaim").is_some() || volume.get("ephemeral").is_some());
    let mut names: Vec<String> = claimed
        .map(|volume| volume["name"].as_str().unwrap_or_default().to_string())
        .collect();
    let templates = workload["spec"]["volumeClaimTemplates"]
        .as_array()
        .into_iter()
        .flatten();
    names.extend(templates.map(|claim| claim["metadata"]["name"].as_str().unwrap_or_default().to_string()));
    if !names.is_empty() {
        all.push(format!(
            "its claimed volumes are empty in the copy: {}",
            names.join(", ")
        ));
    }
    let containers = spec["containers"].as_array().into_iter().flatten();
    let mut ports = containers.flat_map(|each| each["ports"].as_array().into_iter().flatten());
    if ports.any(|port| port.get("hostPort").is_some()) {
        all.push("its ports of the node are not opened".to_string());
    }
    all
}
