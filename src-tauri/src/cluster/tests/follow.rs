//! Whose logs are followed, on a real API server with more pods than the bound. Nothing runs there: the streams fail, and
//! which pods they are for is still what is asked.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::*;
use crate::{
    cluster::{Chosen, LogState, MAX_PODS},
    fault::Fault,
};

/// Pods of one workload.
const PODS: usize = MAX_PODS + 5;

/// A pod `NAME-INDEX` whose sidecar runs, as the kubelet would say it.
fn pods(bench: &Bench, name: &'static str, count: usize) {
    let client = bench.cluster.client.clone();
    let made = bench.cluster.call(async move {
        let api: Api<Pod> = Api::namespaced(client, "followed");
        for index in 0..count {
            let pod = json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("{name}-{index}"), "labels": {"security.istio.io/tlsMode": "istio"},
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": "u", "controller": true}]},
                "spec": {"containers": [{"name": "istio-proxy", "image": "i"}]}});
            let status = json!({"status": {"containerStatuses": [{"name": "istio-proxy", "image": "i", "imageID": "",
                "ready": true, "restartCount": 0, "state": {"running": {}}}]}});
            let pod: Pod = serde_json::from_value(pod).map_err(|error| Fault::new("test", error.to_string()))?;
            let told = |error: kube::Error| Fault::new("test", error.to_string());
            api.create(&PostParams::default(), &pod).await.map_err(told)?;
            let (name, parameters) = (format!("{name}-{index}"), PatchParams::default());
            let patched = api.patch_status(&name, &parameters, &Patch::Merge(&status)).await;
            patched.map_err(told)?;
        }
        Ok(())
    });
    made.unwrap();
}

#[test]
fn the_bound_is_told_and_a_choice_goes_before_it() {
    let Some(api) = api("the_bound_is_told") else { return };
    namespace(api, "followed");
    api.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default, namespace: followed}\n");
    let bench = Bench::open(api.kubeconfig());
    pods(&bench, "many", PODS);
    pods(&bench, "other", 1);
    bench.cluster.follow_logs(Arc::default(), || {});
    let becomes = |what: &str, holds: &dyn Fn(&LogState) -> bool| {
        eventually(what, || Some(bench.cluster.logs()).filter(holds));
    };
    becomes("the bound", &|state| {
        (state.pods, state.followed) == (PODS + 1, MAX_PODS)
            && state.workloads.values().map(|(_, followed)| followed).sum::<usize>() == MAX_PODS
    });
    let choose = |names: &[&str]| {
        let names: Chosen = names.iter().map(ToString::to_string).collect();
        bench.cluster.choose_logs(names);
    };
    choose(&["followed/other"]);
    becomes("the one workload", &|state| {
        (state.followed, state.workloads["followed/other"]) == (1, (1, 1)) && state.workloads["followed/many"].1 == 0
    });
    choose(&["followed"]);
    becomes("its namespace, up to the bound", &|state| state.followed == MAX_PODS);
    api.text(&[
        "delete",
        "pods",
        "--all",
        "-n",
        "followed",
        "--force",
        "--grace-period=0",
    ]);
    becomes("nothing to follow", &|state| (state.pods, state.followed) == (0, 0));
}
