use super::*;

fn deployment_of(status: Value) -> Deployment {
    serde_json::from_value(json!({"metadata": {"name": PROBE}, "status": status})).unwrap()
}

fn pod_of(status: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap()
}

fn container_of(name: &str, state: Value) -> Value {
    json!({"name": name, "state": state, "image": "curl:1", "imageID": "", "ready": false, "restartCount": 0})
}

#[test]
fn a_name_is_never_given_twice_in_a_pods_life() {
    let next = |names: &[&str]| next_name(names.iter().map(ToString::to_string));
    assert_eq!(next(&[]), "egret-probe-1");
    assert_eq!(
        next(&["debugger", "egret-probe-1", "egret-probe-7", "egret-probe-x"]),
        "egret-probe-8"
    );
}

#[test]
fn what_egret_brings_is_no_user_that_the_sidecar_lets_past_and_is_labelled() {
    let made = deployment("curl:1", json!([{"name": "pull"}]));
    let pod = &made["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["securityContext"]["runAsUser"], 65534);
    assert_eq!(pod["containers"][0]["image"], "curl:1");
    assert_eq!(pod["imagePullSecrets"][0]["name"], "pull");
    for labelled in [&made, &account()] {
        assert_eq!(labelled["metadata"]["labels"]["app.kubernetes.io/managed-by"], "egret");
    }
    let read: Deployment = serde_json::from_value(made).unwrap();
    assert_eq!(read.spec.unwrap().selector.match_labels.unwrap()["app"], PROBE);
}

#[test]
fn a_container_waits_for_its_image_fails_with_the_nodes_words_or_is_ready() {
    let of = |state_of: Value| state(&serde_json::from_value(container_of("c", state_of)).unwrap());
    assert_eq!(of(json!({"running": {}})), Stands::Ready);
    let Stands::Waiting(what) = of(json!({"waiting": {"reason": "ContainerCreating"}})) else {
        panic!("it is still waited for")
    };
    assert!(what.contains("curl:1"));
    for reason in ["ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError"] {
        let failed = of(json!({"waiting": {"reason": reason, "message": "no such host"}}));
        assert_eq!(failed, Stands::Failed(format!("{reason}: no such host")));
    }
    let ended = of(json!({"terminated": {"exitCode": 128, "reason": "StartError"}}));
    assert!(matches!(ended, Stands::Failed(words) if words.contains("StartError")));
}

#[test]
fn a_rollout_is_done_when_a_pod_is_ready_and_has_failed_when_the_cluster_says_so() {
    let fine = deployment_of(json!({}));
    let refused = deployment_of(json!({"conditions": [{"type": "ReplicaFailure", "status": "True",
        "message": "violates PodSecurity"}]}));
    assert_eq!(rollout(&refused, &[]), Stands::Failed("violates PodSecurity".into()));
    assert!(matches!(rollout(&fine, &[]), Stands::Waiting(_)));
    let ready = |on: &str| pod_of(json!({"conditions": [{"type": "Ready", "status": on}]}));
    assert_eq!(rollout(&fine, &[ready("False"), ready("True")]), Stands::Ready);
    assert!(matches!(rollout(&fine, &[ready("False")]), Stands::Waiting(_)));
    // The init container that redirects has done its work, which is no failure.
    let init = json!([container_of(
        "istio-init",
        json!({"terminated": {"exitCode": 0, "reason": "Completed"}})
    )]);
    let pulling = json!([container_of(
        "probe",
        json!({"waiting": {"reason": "ContainerCreating"}})
    )]);
    let waits = pod_of(json!({"initContainerStatuses": init, "containerStatuses": pulling}));
    assert!(matches!(rollout(&fine, &[waits]), Stands::Waiting(what) if what.contains("curl:1")));
    let missing = json!([container_of(
        "probe",
        json!({"waiting": {"reason": "ErrImagePull", "message": "404"}})
    )]);
    let fails = pod_of(json!({"initContainerStatuses": init, "containerStatuses": missing}));
    assert_eq!(
        rollout(&fine, &[fails]),
        Stands::Failed("probe: ErrImagePull: 404".into())
    );
}
