//! A sidecar beside a workload, as far as an API server without any node goes: tried, put there, found again, taken away.

use std::{sync::Arc, thread};

use egret_tests::mesh::{Api, eventually};
use serde_json::{Value, json};

use super::{Bench, api, namespace};
use crate::{
    cluster::{Cluster, SESSION},
    dto::{DeployDns, DeployMode, DeployOptions, DeployPhase, DeployPlace, DeployWay},
    events::Events,
    sidecar::deploy::{Deployment, IMAGE, Options, Prepared, prepare},
    traffic::Traffic,
};

/// A workload that is applied as people do it, so that its fields are `kubectl`'s.
pub fn workload(api: &Api, kind: &str, namespace: &str) {
    let spec = json!({"selector": {"matchLabels": {"app": "cart"}}, "template": {"metadata": {"labels": {"app": "cart"}},
        "spec": {"serviceAccountName": "cart", "containers": [{"name": "app", "image": "app:1", "env": [{"name": "A", "value": "b"}]}]}}});
    let object = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "cart", "namespace": namespace}, "spec": spec});
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "cart", "namespace": namespace}});
    api.apply(&account.to_string());
    api.apply(&object.to_string());
}

pub fn options(kind: &str, namespace: &str, place: DeployPlace, way: DeployWay) -> Options {
    Options::read(DeployOptions {
        kind: kind.into(),
        workload: format!("{namespace}/cart"),
        mode: DeployMode::Observe,
        place,
        way,
        dns: DeployDns::Workload,
        image: IMAGE.into(),
        staged: false,
    })
    .unwrap()
}

pub fn prepared(bench: &Bench, options: Options) -> Prepared {
    prepare(&bench.cluster, &bench.view(), None, options).unwrap()
}

/// The workload without what the server counts and dates.
pub fn stored(api: &Api, kind: &str, namespace: &str) -> (String, Vec<(String, Value)>) {
    let text = api.text(&[
        "get",
        kind,
        "cart",
        "-n",
        namespace,
        "-o",
        "json",
        "--show-managed-fields",
    ]);
    let object: Value = serde_json::from_str(&text).unwrap();
    let fields = object["metadata"]["managedFields"].as_array().unwrap().iter();
    let fields = fields.map(|entry| (entry["manager"].to_string(), entry["fieldsV1"].clone()));
    (object["spec"]["template"].to_string(), fields.collect())
}

pub fn put(cluster: &Cluster, prepared: &Prepared) {
    let uid = cluster.put_session(&prepared.config_map(1)).unwrap();
    let workload = prepared.workload(&uid);
    match prepared.options.place {
        DeployPlace::Copy => cluster.put_copy(&workload).unwrap(),
        DeployPlace::Workload => cluster.inject(&workload).unwrap(),
        DeployPlace::Pod => unreachable!("no pod runs without a node"),
    }
}

#[test]
fn a_workload_of_any_kind_is_after_the_removal_what_it_was_before_also_in_who_set_its_fields() {
    let Some(api) = api("a_workload_of_any_kind_is") else {
        return;
    };
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    for (kind, way) in [
        ("Deployment", DeployWay::Capture),
        ("StatefulSet", DeployWay::Capture),
        ("DaemonSet", DeployWay::Proxy),
    ] {
        let space = format!("inject-{}", kind.to_lowercase());
        namespace(api, &space);
        workload(api, kind, &space);
        let before = stored(api, kind, &space);
        let prepared = prepared(&bench, options(kind, &space, DeployPlace::Workload, way));
        put(&bench.cluster, &prepared);
        let between = stored(api, kind, &space);
        assert!(
            between.0.contains("egret-proxy") && between.1.iter().any(|(manager, _)| manager.contains("egret-inject"))
        );
        bench.cluster.inject(&prepared.workload("")).unwrap();
        assert_eq!(stored(api, kind, &space), between, "applied again it is the same");
        bench.cluster.eject(kind, &space, "cart").unwrap().unwrap();
        bench.cluster.delete_session(&space, &prepared.id).unwrap();
        assert_eq!(stored(api, kind, &space), before, "{kind}");
        assert_eq!(
            bench.cluster.session_objects(&space, &prepared.id).unwrap(),
            Vec::<String>::new()
        );
        assert!(
            bench.cluster.eject(kind, &space, "gone").unwrap().is_none(),
            "what is gone is not made anew"
        );
    }
}

#[test]
fn what_another_hand_changes_meanwhile_is_kept_when_the_sidecar_is_removed() {
    let Some(api) = api("what_another_hand_changes") else {
        return;
    };
    namespace(api, "inject-meanwhile");
    workload(api, "Deployment", "inject-meanwhile");
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let prepared = prepared(
        &bench,
        options(
            "Deployment",
            "inject-meanwhile",
            DeployPlace::Workload,
            DeployWay::Capture,
        ),
    );
    put(&bench.cluster, &prepared);
    api.text(&["set", "image", "deployment/cart", "app=app:2", "-n", "inject-meanwhile"]);
    bench.cluster.eject("Deployment", "inject-meanwhile", "cart").unwrap();
    let (template, managers) = stored(api, "Deployment", "inject-meanwhile");
    assert!(template.contains("app:2") && !template.contains("egret"), "{template}");
    assert!(!managers.iter().any(|(manager, _)| manager.contains("egret-inject")));
}

#[test]
fn a_dry_run_says_what_a_pod_would_be_refused_for_and_stores_nothing() {
    let Some(api) = api("a_dry_run_says") else { return };
    let space = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "strict", "labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    api.apply(&space.to_string());
    workload(api, "Deployment", "strict");
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let before = stored(api, "Deployment", "strict");
    let no_uid = "00000000-0000-0000-0000-000000000000";
    for place in [DeployPlace::Copy, DeployPlace::Workload] {
        let tried = |way| {
            let prepared = prepared(&bench, options("Deployment", "strict", place, way));
            bench
                .cluster
                .try_workload(&prepared.workload(no_uid), place == DeployPlace::Copy)
                .unwrap()
        };
        let refusal = tried(DeployWay::Capture).unwrap();
        assert!(
            refusal.code == 403 && refusal.words.contains("PodSecurity"),
            "{refusal:?}"
        );
        assert_eq!(tried(DeployWay::Proxy), None, "without a capability it is taken");
    }
    assert_eq!(stored(api, "Deployment", "strict"), before);
    let all = api.text(&[
        "get",
        "deployments,pods,configmaps",
        "-n",
        "strict",
        "-l",
        SESSION,
        "-o",
        "name",
    ]);
    assert_eq!(all, "");
}

#[test]
fn the_sidecars_own_container_passes_the_strictest_pod_security() {
    let Some(api) = api("the_sidecars_own_container") else {
        return;
    };
    let space = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "restricted", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    api.apply(&space.to_string());
    workload(api, "Deployment", "restricted");
    let secure = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "securityContext": {
        "runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"}}}]}}}});
    api.text(&[
        "patch",
        "deployment",
        "cart",
        "-n",
        "restricted",
        "-p",
        &secure.to_string(),
    ]);
    let bench = Bench::open(api.kubeconfig());
    let prepared = prepared(
        &bench,
        options("Deployment", "restricted", DeployPlace::Copy, DeployWay::Proxy),
    );
    let object = prepared.workload("00000000-0000-0000-0000-000000000000");
    assert_eq!(bench.cluster.try_workload(&object, true).unwrap(), None);
}

#[test]
fn a_start_that_is_called_off_leaves_nothing_behind() {
    let Some(api) = api("a_start_that_is_called_off") else {
        return;
    };
    namespace(api, "called-off");
    workload(api, "Deployment", "called-off");
    let bench = Bench::open(api.kubeconfig());
    let (event_tx, event_rx) = std::sync::mpsc::channel();
    let events = Events::new(move |event| {
        let _ = event_tx.send(event);
    });
    let deployment = Deployment::new(Arc::new(Traffic::default()), events);
    for place in [DeployPlace::Copy, DeployPlace::Workload] {
        bench.cluster.set_editing(true);
        let before = stored(api, "Deployment", "called-off");
        let prepared = prepared(&bench, options("Deployment", "called-off", place, DeployWay::Capture));
        let (own, cluster, turn) = (deployment.clone(), bench.cluster.clone(), deployment.turn());
        let starting = thread::spawn(move || own.start(&cluster, prepared, turn).unwrap());
        // No controller makes pods here: it waits.
        eventually("the second step", || {
            let step = deployment.state().steps.get(1)?.clone();
            step.text.contains("waits for").then_some(())
        });
        let made = [
            "get",
            "deployments,configmaps",
            "-n",
            "called-off",
            "-l",
            SESSION,
            "-o",
            "name",
        ];
        assert_eq!(
            api.text(&made).lines().count(),
            if place == DeployPlace::Copy { 2 } else { 1 }
        );
        // What was agreed to is taken back also with editing off.
        bench.cluster.set_editing(false);
        deployment.cancel();
        let state = starting.join().unwrap();
        let fault = state.fault.unwrap();
        assert_eq!((state.phase, fault.code.as_str()), (DeployPhase::Failed, "stopped"));
        assert!(fault.hint.unwrap().contains("Everything was taken away again"));
        assert_eq!(api.text(&made), "");
        assert_eq!(stored(api, "Deployment", "called-off"), before);
        assert_eq!(deployment.session(), None);
    }
    assert!(event_rx.try_iter().count() > 6, "each step is told");
}

#[test]
fn nothing_is_put_there_with_editing_switched_off() {
    let Some(api) = api("nothing_is_put_there") else { return };
    namespace(api, "locked");
    workload(api, "Deployment", "locked");
    let bench = Bench::open(api.kubeconfig());
    let prepared = prepared(
        &bench,
        options("Deployment", "locked", DeployPlace::Workload, DeployWay::Capture),
    );
    for fault in [
        bench.cluster.put_session(&prepared.config_map(1)).unwrap_err(),
        bench.cluster.put_copy(&prepared.workload("")).unwrap_err(),
        bench.cluster.inject(&prepared.workload("")).unwrap_err(),
    ] {
        assert_eq!(fault.code, "read-only");
    }
}

#[test]
fn a_policy_is_not_brought_to_a_config_map_that_was_deleted_nor_to_one_in_its_place() {
    let Some(api) = api("a_policy_is_not_brought_to") else {
        return;
    };
    namespace(api, "deleted-map");
    workload(api, "Deployment", "deleted-map");
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let prepared = prepared(
        &bench,
        options("Deployment", "deleted-map", DeployPlace::Copy, DeployWay::Capture),
    );
    let uid = bench.cluster.put_session(&prepared.config_map(1)).unwrap();
    let generation = || {
        let path = "jsonpath={.items[*].data.generation}";
        api.text(&["get", "configmaps", "-n", "deleted-map", "-l", SESSION, "-o", path])
    };
    // Its policy is kept up also with editing off.
    bench.cluster.set_editing(false);
    bench.cluster.put_policy(&prepared.config_map(2), &[], &uid).unwrap();
    assert_eq!(generation(), "2");
    let refused = || {
        bench
            .cluster
            .put_policy(&prepared.config_map(3), &[], &uid)
            .unwrap_err()
    };
    bench.cluster.delete_session("deleted-map", &prepared.id).unwrap();
    assert_eq!(refused().code, "gone");
    assert_eq!(generation(), "", "it is not made anew");
    bench.cluster.set_editing(true);
    bench.cluster.put_session(&prepared.config_map(1)).unwrap();
    assert_eq!(refused().code, "gone");
    assert_eq!(generation(), "1");
}

#[test]
fn what_a_killed_app_left_is_found_by_label_and_by_manager() {
    let Some(api) = api("what_a_killed_app_left") else {
        return;
    };
    for space in ["left-copy", "left-inside"] {
        namespace(api, space);
        workload(api, "Deployment", space);
    }
    let killed = Bench::open(api.kubeconfig());
    killed.cluster.set_editing(true);
    let copy = prepared(
        &killed,
        options("Deployment", "left-copy", DeployPlace::Copy, DeployWay::Capture),
    );
    let inside = prepared(
        &killed,
        options("Deployment", "left-inside", DeployPlace::Workload, DeployWay::Capture),
    );
    put(&killed.cluster, &copy);
    put(&killed.cluster, &inside);
    drop(killed);
    // Somebody tidied up by hand, and did not get everything.
    api.text(&["delete", "configmaps", "-n", "left-inside", "-l", SESSION]);

    let bench = Bench::open(api.kubeconfig());
    let own = |bench: &Bench| {
        let all = bench.cluster.left_sessions().unwrap().into_iter();
        all.filter(|each| each.namespace.starts_with("left-"))
            .collect::<Vec<_>>()
    };
    let left = own(&bench);
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(
        (left[0].id.as_str(), left[0].workload.as_str()),
        (copy.id.as_str(), "Deployment left-copy/cart")
    );
    assert_eq!(left[0].objects.len(), 2);
    assert_eq!(left[1].injected, [("Deployment".to_string(), "cart".to_string())]);
    for session in left {
        for (kind, name) in &session.injected {
            bench.cluster.eject(kind, &session.namespace, name).unwrap();
        }
        bench.cluster.delete_session(&session.namespace, &session.id).unwrap();
    }
    assert_eq!(own(&bench), []);
}

#[test]
fn who_may_not_deploy_is_told_which_right_is_missing() {
    let Some(api) = api("who_may_not_deploy") else { return };
    namespace(api, "no-right");
    let bench = Bench::open(api.user("editor").kubeconfig());
    let missing = bench
        .cluster
        .missing(crate::cluster::Feature::DeploySidecar, "no-right")
        .unwrap()
        .unwrap();
    assert!(
        missing.reason.contains("configmaps") && missing.role.contains("pods/portforward"),
        "{missing:?}"
    );
}
