//! The two containers that make a pod's traffic meet the sidecar, and the volumes that they need. Their arguments are
//! `egret-proxy`'s own command line.

use serde_json::{Value, json};

use super::{
    options::{Identity, Options},
    policy::config_maps,
};
use crate::{
    cluster::{OWN_SIDECAR, PUSH_TOKEN, attached_name},
    dto::{DeployMode, DeployWay},
};

/// The init container that sets the redirection.
pub const CAPTURE: &str = "egret-capture";
/// Where the sidecar answers the app, on the pod's loopback.
pub const ADMIN_PORT: u16 = 15_900;
/// Where it takes redirected connections.
const OUTBOUND_PORT: u16 = 15_901;
/// Where it is an HTTP proxy.
const EXPLICIT_PORT: u16 = 15_902;
/// Where it answers DNS.
const DNS_PORT: u16 = 15_953;
/// Where it says whether it is ready, and its metrics.
const HEALTH_PORT: u16 = 15_921;
/// Who it runs as: nothing that this user sends is redirected.
const USER: u32 = 1339;
/// Who Istio's sidecar runs as. Its connections are its own, not the workload's: they would come back in a loop.
const ISTIO_USER: u32 = 1337;
const POLICY: &str = "/etc/egret/policy";
/// A folder of the image with nothing in it.
const EMPTY: &str = "/policy";
const KEPT: &str = "/var/lib/egret";
/// Where Kubernetes mounts a token into every container that mounts nothing there itself.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The variables of an HTTP proxy; programs read one or the other case.
const PROXY_VARIABLES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];
const NO_PROXY_VARIABLES: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The init containers, in their order: the sidecar takes connections before anything is redirected to it.
pub fn init_containers(options: &Options, identity: &Identity) -> Vec<Value> {
    let mut all = vec![proxy(options, identity)];
    if options.way == DeployWay::Capture {
        all.push(capture(options, identity));
    }
    all
}

/// The sidecar for a pod that runs already, and what redirects to it: ephemeral containers, which mount nothing, have no
/// resources of their own and are not started again. The sidecar's policy is pushed, by who knows `token`; the rules are
/// held, so that they go with it.
pub fn attached(options: &Options, identity: &Identity, id: &str, token: &str) -> (Value, Value) {
    let ephemeral = |mut container: Value, name: &str, change: &dyn Fn(&mut Vec<Value>)| {
        if let Some(fields) = container.as_object_mut() {
            for field in ["restartPolicy", "startupProbe", "resources", "volumeMounts"] {
                fields.remove(field);
            }
        }
        if let Some(arguments) = container["args"].as_array_mut() {
            change(arguments);
        }
        container["name"] = json!(attached_name(name, id));
        container
    };
    let mut sidecar = ephemeral(proxy(options, identity), OWN_SIDECAR, &|arguments| {
        arguments.retain(|each| !is_of(each, "--keep") && !is_of(each, "--policy"));
        arguments.push(json!(format!("--policy={EMPTY}")));
    });
    sidecar["env"] = json!([{"name": PUSH_TOKEN, "value": token}]);
    let capture = ephemeral(capture(options, identity), CAPTURE, &|arguments| {
        arguments[1] = json!("hold");
    });
    (sidecar, capture)
}

fn is_of(argument: &Value, option: &str) -> bool {
    let value = argument.as_str().and_then(|argument| argument.strip_prefix(option));
    value.is_some_and(|value| value.starts_with('='))
}

/// The sidecar is a native one: an init container that goes on, and ends after all others (Kubernetes 1.29).
fn proxy(options: &Options, identity: &Identity) -> Value {
    let workload = &identity.workload;
    let labels: Vec<String> = workload
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let mut arguments = vec![
        "run".to_string(),
        format!("--policy={POLICY}"),
        format!("--namespace={}", workload.namespace),
        format!("--labels={}", labels.join(",")),
        format!("--service-account={}", identity.service_account),
        format!("--outbound=127.0.0.1:{OUTBOUND_PORT}"),
        format!("--outbound=[::1]:{OUTBOUND_PORT}"),
        format!("--admin=127.0.0.1:{ADMIN_PORT}"),
        format!("--health=0.0.0.0:{HEALTH_PORT}"),
        format!("--keep={KEPT}"),
    ];
    if let Some(version) = identity.istio_version {
        arguments.push(format!("--istio-version={version}"));
    }
    if let Some(chosen) = workload.dns_capture {
        arguments.push(format!("--dns-capture={chosen}"));
    }
    if options.mode == DeployMode::Observe {
        arguments.push("--observe".into());
    }
    match options.way {
        DeployWay::Proxy => arguments.push(format!("--explicit=127.0.0.1:{EXPLICIT_PORT}")),
        DeployWay::Capture if identity.captures_dns => {
            arguments.extend(["127.0.0.1", "[::1]"].map(|address| format!("--dns={address}:{DNS_PORT}")));
        }
        DeployWay::Capture => {}
    }
    let mut container = json!({
        "name": OWN_SIDECAR,
        "image": options.image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "args": arguments,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "runAsUser": USER, "runAsGroup": USER, "runAsNonRoot": true, "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "egret-policy", "mountPath": POLICY, "readOnly": true},
            {"name": "egret-kept", "mountPath": KEPT},
            {"name": "egret-no-token", "mountPath": TOKEN, "readOnly": true},
        ],
    });
    // Who calls it comes next then; where there are rules, what sets them waits for it.
    if options.way == DeployWay::Proxy {
        // By its own client, from inside: a probe of the kubelet's would meet Istio's sidecar, which may ask for mTLS.
        let ready = format!("http://127.0.0.1:{HEALTH_PORT}/ready");
        container["startupProbe"] = json!({"exec": {"command": ["/egret-proxy", "get", "-f", "-s", ready]},
            "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 60});
    }
    container
}

fn capture(options: &Options, identity: &Identity) -> Value {
    let users = if identity.beside_istio {
        format!("{USER},{ISTIO_USER}")
    } else {
        USER.to_string()
    };
    let mut arguments = vec![
        "capture".to_string(),
        "apply".into(),
        // Nothing is redirected before the sidecar is ready. It is asked here and not by a startup probe, whose answer would
        // hold this container up until the node next looks.
        format!("--sidecar=127.0.0.1:{ADMIN_PORT}"),
        format!("--port={OUTBOUND_PORT}"),
        format!("--uid={users}"),
    ];
    if identity.captures_dns {
        arguments.push(format!("--dns-port={DNS_PORT}"));
    }
    let [include_ranges, exclude_ranges, include_ports, exclude_ports] = identity.capture.lists();
    for (name, list) in [
        ("include-ranges", include_ranges),
        ("exclude-ranges", exclude_ranges),
        ("include-ports", include_ports),
        ("exclude-ports", exclude_ports),
    ] {
        // Everything is captured where nothing says otherwise.
        if !list.is_empty() && list != "*" {
            arguments.push(format!("--{name}={list}"));
        }
    }
    json!({
        "name": CAPTURE,
        "image": options.image,
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {
            "runAsUser": 0, "runAsGroup": 0, "runAsNonRoot": false, "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "egret-no-token", "mountPath": TOKEN, "readOnly": true}],
    })
}

/// The volumes. A pod that starts without the policy, as after somebody deleted it, is not kept from starting: this is
/// somebody's workload. All ConfigMaps that a policy may grow into are named, in one folder: a pod's volumes stay as they are.
pub fn volumes(id: &str) -> Vec<Value> {
    let sources = config_maps(id)
        .into_iter()
        .map(|name| json!({"configMap": {"name": name, "optional": true}}));
    vec![
        json!({"name": "egret-policy", "projected": {"sources": sources.collect::<Vec<_>>()}}),
        json!({"name": "egret-kept", "emptyDir": {"sizeLimit": "32Mi"}}),
        json!({"name": "egret-no-token", "emptyDir": {"sizeLimit": "1Mi"}}),
    ]
}

/// The variables by which programs that obey them use the sidecar as their HTTP proxy.
pub fn proxy_variables() -> Vec<Value> {
    let proxy = format!("http://127.0.0.1:{EXPLICIT_PORT}");
    let own = PROXY_VARIABLES.map(|name| json!({"name": name, "value": proxy}));
    let not = NO_PROXY_VARIABLES.map(|name| json!({"name": name, "value": "localhost,127.0.0.1,::1"}));
    own.into_iter().chain(not).collect()
}

/// True for a variable that [`proxy_variables`] sets.
pub fn is_proxy_variable(name: &str) -> bool {
    PROXY_VARIABLES.contains(&name) || NO_PROXY_VARIABLES.contains(&name)
}
