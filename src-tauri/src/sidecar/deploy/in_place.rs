//! The sidecar in the workload itself: by server-side apply under a manager of its own, so that applying nothing takes
//! exactly that away again, whatever else has changed since.

use serde_json::{Value, json};

use super::{
    containers::{self, is_proxy_variable},
    options::{Identity, Options, Target},
};
use crate::{
    cluster::{SESSION, no_fields},
    dto::DeployWay,
};

/// The fields that are Egret's in the workload.
pub fn injection(workload: &Value, options: &Options, identity: &Identity, id: &str) -> Value {
    let mut spec = json!({
        "initContainers": containers::init_containers(options, identity),
        "volumes": containers::volumes(id),
    });
    if options.way == DeployWay::Proxy {
        let own = workload["spec"]["template"]["spec"]["containers"]
            .as_array()
            .into_iter()
            .flatten();
        let each = own.map(|each| json!({"name": each["name"], "env": containers::proxy_variables()}));
        spec["containers"] = each.collect::<Vec<_>>().into();
    }
    let Target { kind, namespace, name } = &options.target;
    let mut object = no_fields(kind, namespace, name);
    object["metadata"]["annotations"] = json!({SESSION: id});
    object["spec"] = json!({"template": {"metadata": {"labels": {SESSION: id}}, "spec": spec}});
    object
}

/// A variable that the workload sets itself and that would be another one's: taking it back would delete it.
pub fn own_proxy_variable(workload: &Value) -> Option<String> {
    let own = workload["spec"]["template"]["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten();
    let mut variables = own.flat_map(|each| each["env"].as_array().into_iter().flatten());
    let named = variables.find_map(|each| each["name"].as_str().filter(|name| is_proxy_variable(name)))?;
    Some(named.to_string())
}
