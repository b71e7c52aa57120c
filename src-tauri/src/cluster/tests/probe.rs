//! Bringing curl along, as far as an API server without any node goes.

use std::{sync::Arc, thread, time::Duration};

use serde_json::json;

use super::{Bench, api, namespace};
use crate::{
    cluster::{Place, Stands},
    events::{Event, Events},
    probe::{Bringing, ways},
    settings::Settings,
};

/// A pod that no node will ever run.
fn pod(api: &egret_tests::mesh::Api, namespace: &str) -> Place {
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}});
    api.apply(&account.to_string());
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": namespace},
        "spec": {"automountServiceAccountToken": false, "containers": [{"name": "app", "image": "app:1"}]}});
    api.apply(&pod.to_string());
    Place {
        namespace: namespace.into(),
        pod: "p".into(),
        containers: vec!["app".into()],
        added: None,
        sidecar: false,
        addresses: Vec::new(),
    }
}

#[test]
fn a_container_is_added_only_with_editing_switched_on_and_under_a_new_name_each_time() {
    let Some(api) = api("a_container_is_added_only") else {
        return;
    };
    namespace(api, "adding");
    let place = pod(api, "adding");
    let bench = Bench::open(api.kubeconfig());
    assert_eq!(
        bench.cluster.add_container(&place, "curl:1").unwrap_err().code,
        "read-only"
    );
    bench.cluster.set_editing(true);
    assert_eq!(bench.cluster.add_container(&place, "curl:1").unwrap(), "egret-probe-1");
    assert_eq!(bench.cluster.add_container(&place, "curl:2").unwrap(), "egret-probe-2");
    let stands = bench.cluster.added_container(&place, "egret-probe-2").unwrap();
    assert!(matches!(stands, Stands::Waiting(_)), "{stands:?}");
    for (name, image) in [("egret-probe-1", "curl:1"), ("egret-probe-2", "curl:2")] {
        let path = format!("jsonpath={{.spec.ephemeralContainers[?(@.name=='{name}')].image}}");
        assert_eq!(api.text(&["get", "pod", "p", "-n", "adding", "-o", &path]), image);
    }
}

#[test]
fn a_probe_that_is_not_waited_for_is_taken_away_again() {
    let Some(api) = api("a_probe_that_is_not_waited_for") else {
        return;
    };
    namespace(api, "probing");
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let (step_tx, step_rx) = std::sync::mpsc::channel();
    let bringing = Arc::new(Bringing::new(Events::new(move |event| {
        if let Event::ProbeChanged(step) = event {
            let _ = step_tx.send(step.step);
        }
    })));
    let (own, cluster) = (bringing.clone(), bench.cluster.clone());
    let deploying = thread::spawn(move || own.deployment(&cluster, "probing", "curl:1"));
    let said = step_rx.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(said.unwrap().starts_with("Waiting for"));
    let made = [
        "get",
        "deployment,serviceaccount",
        "-n",
        "probing",
        "-l",
        "app.kubernetes.io/managed-by=egret",
        "-o",
        "name",
    ];
    assert_eq!(
        api.text(&made),
        "deployment.apps/egret-probe\nserviceaccount/egret-probe\n"
    );
    assert_eq!(bringing.remove(&bench.cluster, "probing").unwrap_err().code, "busy");
    bringing.cancel();
    let fault = deploying.join().unwrap().unwrap_err();
    assert_eq!(fault.code, "stopped");
    assert!(fault.hint.unwrap().contains("taken away"));
    assert_eq!(api.text(&made), "");
}

#[test]
fn what_somebody_else_calls_like_the_probe_is_left_alone() {
    let Some(api) = api("what_somebody_else_calls") else {
        return;
    };
    namespace(api, "theirs");
    let theirs = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "egret-probe", "namespace": "theirs"}});
    api.apply(&theirs.to_string());
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    for fault in [
        bench.cluster.deploy_probe("theirs", "curl:1").unwrap_err(),
        bench.cluster.remove_probe("theirs").unwrap_err(),
    ] {
        assert_eq!(fault.code, "taken", "{fault:?}");
    }
    let left = api.text(&["get", "deployments,serviceaccounts", "-n", "theirs", "-o", "name"]);
    assert_eq!(left, "serviceaccount/egret-probe\n");
}

#[test]
fn who_may_not_bring_curl_along_is_told_which_right_is_missing() {
    let Some(api) = api("who_may_not_bring") else { return };
    let data = tempfile::tempdir().unwrap();
    let settings = Settings::open(data.path());
    let of = |kubeconfig| ways(&Bench::open(kubeconfig).cluster, &settings, "default/sleep").unwrap();
    let admin = of(api.kubeconfig());
    assert_eq!((admin.container_missing, admin.deployment_missing), (None, None));
    let viewer = of(api.user("viewer").kubeconfig());
    assert!(
        viewer
            .container_missing
            .unwrap()
            .contains("patch pods/ephemeralcontainers")
    );
    assert!(viewer.deployment_missing.unwrap().contains("deployments.apps"));
}
