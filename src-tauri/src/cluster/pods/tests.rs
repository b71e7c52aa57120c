use kube::core::GroupVersionKind;
use serde_json::json;

use super::*;

fn pods(object: Value) -> Vec<Pod> {
    let pods = Pods::default();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
    pods.put(&serde_json::from_value(object).unwrap(), &resource).unwrap();
    pods.all()
}

fn pod(init: &str, arguments: &[&str], annotations: Value, state: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "cart-7d-x", "namespace": "shop", "creationTimestamp": "2026-11-28T07:00:00Z",
            "labels": {"pod-template-hash": "7d"}, "annotations": annotations,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-7d", "uid": "u",
                "controller": true}]},
        "spec": {"containers": [{"name": "app"}, {"name": "istio-proxy"}],
            "initContainers": [{"name": init, "args": arguments}]},
        "status": {"containerStatuses": [{"name": "app", "state": state, "image": "i", "imageID": "",
            "ready": true, "restartCount": 0}]},
    })
}

#[test]
fn a_pod_says_what_its_init_container_was_told() {
    let told = [
        "istio-iptables",
        "-i",
        "*",
        "-x",
        "10.0.0.0/8",
        "--istio-outbound-ports=8080",
    ];
    let status = json!({"sidecar.istio.io/status": "{\"revision\":\"1-31\"}"});
    let found = pods(pod("istio-init", &told, status, json!({"running": {}})));
    let [found] = found.as_slice() else { panic!() };
    let sidecar = found.sidecar.as_ref().unwrap();
    assert_eq!(sidecar.capture.lists(), ["*", "10.0.0.0/8", "8080", ""]);
    assert_eq!((sidecar.revision.as_str(), sidecar.cni), ("1-31", false));
    assert_eq!(
        (found.kind.as_str(), found.workload.name.as_str()),
        ("Deployment", "cart")
    );
    assert_eq!(
        (found.trouble.as_deref(), found.created.as_str()),
        (None, "2026-11-28T07:00:00Z")
    );
}

#[test]
fn under_cni_the_annotations_say_it() {
    let annotations = json!({CAPTURE_ANNOTATIONS[0]: "10.0.0.0/8"});
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let found = pods(pod("istio-validation", &["-i", "*"], annotations, waiting));
    let sidecar = found[0].sidecar.as_ref().unwrap();
    assert_eq!((sidecar.capture.lists()[0].as_str(), sidecar.cni), ("10.0.0.0/8", true));
    assert_eq!(found[0].trouble.as_deref(), Some("CrashLoopBackOff"));
}

#[test]
fn a_pod_without_rules_has_no_sidecar_and_one_that_ends_is_none() {
    let plain = pod("migrate", &[], json!({}), json!({"running": {}}));
    assert_eq!(pods(plain.clone())[0].sidecar, None);
    let mut ending = plain;
    ending["metadata"]["deletionTimestamp"] = json!("2026-11-28T08:00:00Z");
    assert!(pods(ending).is_empty());
}

#[test]
fn a_pod_that_is_about_to_end_still_writes_and_one_that_comes_later_is_young() {
    let pods = Pods::default();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
    let put = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut object = pod("istio-init", &[], json!({}), json!({"running": {}}));
        object["metadata"]["name"] = json!(name);
        object["metadata"]["labels"][INJECTED] = json!("istio");
        object["status"]["containerStatuses"][0]["name"] = json!(SIDECAR);
        change(&mut object);
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        pods.put(&object, &resource).unwrap();
        file_of(&object, &resource)
    };
    let old = put("old", &|_| {});
    pods.keep("Pod", &|file| file == old).unwrap();
    pods.listed(None);
    let new = put("new", &|_| {});
    put("old", &|object| {
        object["metadata"]["deletionTimestamp"] = json!("2026-11-28T08:00:00Z")
    });
    let names: Vec<_> = pods.all().into_iter().map(|pod| pod.name).collect();
    assert_eq!(names, ["new"]);
    let stands = |file: &str| pods.logging().get(file).map(|pod| (pod.runs, pod.young));
    assert_eq!((stands(&old), stands(&new)), (Some((true, false)), Some((true, true))));
    put("new", &|object| {
        object["status"]["containerStatuses"][0]["state"] = json!({"waiting": {}})
    });
    assert_eq!(stands(&new), Some((false, true)), "it is being started anew");
    put("new", &|object| object["status"]["phase"] = json!("Succeeded"));
    assert_eq!(stands(&new), None);
}

fn core_pod(owner: &str, kind: &str, containers: serde_json::Value) -> core::Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "sleep-6d-x", "namespace": "default", "labels": {"app": "sleep", "pod-template-hash": "6d"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "u", "controller": true}]},
        "status": containers,
    }))
    .unwrap()
}

#[test]
fn a_pod_is_known_by_its_workload_and_its_running_sidecar() {
    let container = |name: &str, state: &str| {
        let state = json!({ state: {} });
        json!([{"name": name, "state": state, "image": "i", "imageID": "", "ready": true, "restartCount": 0}])
    };
    let running = core_pod(
        "sleep-6d",
        "ReplicaSet",
        json!({"containerStatuses": container("istio-proxy", "running")}),
    );
    assert_eq!(workload(&running).name, "sleep");
    assert!(sidecar_runs(&running));
    let native = core_pod(
        "db",
        "StatefulSet",
        json!({"initContainerStatuses": container("istio-proxy", "running")}),
    );
    assert_eq!(workload(&native).name, "db");
    assert!(sidecar_runs(&native));
    for other in [container("istio-proxy", "waiting"), container("app", "running")] {
        assert!(!sidecar_runs(&core_pod(
            "sleep-6d",
            "ReplicaSet",
            json!({"containerStatuses": other})
        )));
    }
}

#[test]
fn a_pod_is_ready_when_it_says_so_and_is_not_about_to_end() {
    let pod = |metadata, ready: &str| {
        let status =
            json!({"conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}]});
        serde_json::from_value::<core::Pod>(json!({"metadata": metadata, "status": status})).unwrap()
    };
    assert!(is_ready(&pod(json!({}), "True")));
    assert!(!is_ready(&pod(json!({}), "False")));
    assert!(!is_ready(&pod(
        json!({"deletionTimestamp": "2026-11-30T03:00:00Z"}),
        "True"
    )));
    assert!(!is_ready(&core::Pod::default()));
}
