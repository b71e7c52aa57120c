//! A policy in parts on an API server: what it takes of each version, and that nothing of it stays.

use std::fs;

use k8s_openapi::ByteString;
use proxy_core::source::read_folder;
use serde_json::Value;

use super::{
    Bench, api,
    deployed::{options, prepared, workload},
    namespace,
};
use crate::{
    cluster::SESSION,
    dto::{DeployPlace, DeployWay},
};

#[test]
fn a_policy_in_parts_is_whole_in_each_of_its_versions_and_goes_with_its_session() {
    let Some(api) = api("a_policy_in_parts_is_whole") else {
        return;
    };
    namespace(api, "in-parts");
    workload(api, "Deployment", "in-parts");
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let mut prepared = prepared(
        &bench,
        options("Deployment", "in-parts", DeployPlace::Copy, DeployWay::Capture),
    );
    let policy = |version: &str| {
        let entry = |number: usize| {
            format!(
                "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {version}{number}, namespace: \
                 in-parts}}\nspec: {{hosts: [{version}{number}.example]}}\n"
            )
        };
        (0..10_000).map(entry).collect::<Vec<_>>().join("---\n").into_bytes()
    };
    prepared.policy.bytes = policy("one");
    let uid = bench.cluster.put_session(&prepared.config_map(1)).unwrap();
    bench.cluster.put_parts(&prepared.parts(1, &uid)).unwrap();
    bench.cluster.put_copy(&prepared.workload(&uid)).unwrap();
    let maps = || {
        let text = api.text(&["get", "configmaps", "-n", "in-parts", "-l", SESSION, "-o", "json"]);
        let all: Value = serde_json::from_str(&text).unwrap();
        all["items"].as_array().unwrap().clone()
    };
    // As kubelet has them all in one folder.
    let first_host = || {
        let folder = tempfile::tempdir().unwrap();
        for map in maps() {
            for (name, text) in map["data"].as_object().into_iter().flatten() {
                fs::write(folder.path().join(name), text.as_str().unwrap()).unwrap();
            }
            for (name, bytes) in map["binaryData"].as_object().into_iter().flatten() {
                let bytes: ByteString = serde_json::from_value(bytes.clone()).unwrap();
                fs::write(folder.path().join(name), bytes.0).unwrap();
            }
        }
        let reading = read_folder(folder.path()).unwrap();
        assert_eq!((reading.errors, reading.objects), (Vec::new(), 10_000));
        (
            reading.generation,
            reading.world.service_entries[0].spec.hosts[0].to_string(),
        )
    };
    assert_eq!((maps().len(), first_host()), (3, (Some(1), "one0.example".into())));

    prepared.policy.bytes = policy("two");
    // What was written of the next version before it was cut short changes nothing.
    bench.cluster.put_parts(&prepared.parts(2, &uid)).unwrap();
    assert_eq!((maps().len(), first_host()), (5, (Some(1), "one0.example".into())));
    bench
        .cluster
        .put_policy(&prepared.config_map(2), &prepared.parts(2, &uid), &uid)
        .unwrap();
    assert_eq!(first_host(), (Some(2), "two0.example".into()));

    let left = bench.cluster.session_objects("in-parts", &prepared.id).unwrap();
    assert_eq!(left.len(), 6, "{left:?}");
    bench.cluster.delete_session("in-parts", &prepared.id).unwrap();
    assert_eq!(maps(), Vec::<Value>::new());
}
