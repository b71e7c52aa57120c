use std::{fs, io::Read as _, path::Path};

use flate2::read::GzDecoder;
use k8s_openapi::ByteString;
use proxy_core::{model::World, policy::compile, source::read_folder};
use serde_json::Value;

use super::{
    super::{
        Policy, Target,
        policy::{Allocated, config_maps},
    },
    ID, mirror, options,
};
use crate::dto::{DeployPlace, DeployWay};

/// The world that a sidecar reads of a policy.
fn read_back(text: &[u8]) -> World {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.yaml"), text).unwrap();
    let reading = read_folder(folder.path()).unwrap();
    assert_eq!(reading.errors, []);
    reading.world
}

#[test]
fn a_policy_holds_what_decides_for_the_workload_and_no_other_workload() {
    let (_folder, view) = mirror(3);
    let target = Target::read("Deployment", "shop/cart").unwrap();
    let policy = Policy::of(&view, None, &target, Allocated::LeftOut).unwrap();
    let world = read_back(&policy.bytes);
    assert_eq!(
        (world.service_entries.len(), world.workloads.len(), policy.objects),
        (3, 1, 5)
    );
    let workload = view.workload("shop/cart").unwrap();
    let names = |world: &World| {
        let snapshot = compile(world, &workload);
        let mut names: Vec<String> = snapshot.clusters().map(|cluster| cluster.name.to_string()).collect();
        names.sort();
        (names, snapshot.mode().mode, snapshot.capture().lists())
    };
    assert_eq!(
        names(&world),
        names(view.world()),
        "it decides by what the cluster says"
    );
    let map = policy.config_map(&options(DeployPlace::Copy, DeployWay::Capture), ID, "s3cret", 7);
    assert_eq!(map["data"]["generation"], "7");
    assert!(map["data"]["policy.yaml"].as_str().unwrap().contains("e0.example.com"));
    assert_eq!(
        map["metadata"]["annotations"]["egret.dev/workload"],
        "Deployment shop/cart"
    );
}

#[test]
fn addresses_that_istiod_allocated_are_for_a_sidecar_that_captures_dns() {
    let (folder, view) = mirror(1);
    let file = folder.path().join("ServiceEntry/shop.e0.yaml");
    let entry = fs::read_to_string(&file).unwrap();
    let status = "status:\n  addresses: [{host: e0.example.com, value: 240.240.0.7}]\n";
    fs::write(&file, entry + status).unwrap();
    let target = Target::read("Deployment", "shop/cart").unwrap();
    let addresses = |allocated| {
        let policy = Policy::of(&view, None, &target, allocated).unwrap();
        let world = read_back(&policy.bytes);
        let allocated = world.service_entries[0].spec.allocated.iter();
        allocated.map(|own| own.address.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(addresses(Allocated::by(true)), ["240.240.0.7"]);
    assert_eq!(addresses(Allocated::by(false)), [] as [&str; 0]);
}

#[test]
fn an_object_that_went_since_the_view_was_made_is_left_out() {
    let (folder, view) = mirror(2);
    fs::remove_file(folder.path().join("ServiceEntry/shop.e0.yaml")).unwrap();
    let target = Target::read("Deployment", "shop/cart").unwrap();
    let policy = Policy::of(&view, None, &target, Allocated::LeftOut).unwrap();
    assert_eq!(read_back(&policy.bytes).service_entries.len(), 1);
}

#[test]
fn a_large_policy_is_compressed() {
    let (_folder, view) = mirror(3000);
    let target = Target::read("Deployment", "shop/cart").unwrap();
    let policy = Policy::of(&view, None, &target, Allocated::LeftOut).unwrap();
    assert!(policy.compressed);
    assert_eq!(read_back(&unpacked(&policy.bytes)).service_entries.len(), 3000);
    let map = policy.config_map(&options(DeployPlace::Copy, DeployWay::Capture), ID, "s3cret", 1);
    assert!(map.to_string().len() < 1 << 20);
    assert_eq!(map["data"].get("policy.yaml"), None);
    assert_eq!(
        policy,
        Policy::of(&view, None, &target, Allocated::LeftOut).unwrap(),
        "the same policy is the same bytes"
    );
}

#[test]
fn a_policy_that_one_config_map_does_not_hold_is_in_parts_that_a_sidecar_reads_as_one() {
    let (_folder, view) = mirror(10_000);
    let target = Target::read("Deployment", "shop/cart").unwrap();
    let mut policy = Policy::of(&view, None, &target, Allocated::LeftOut).unwrap();
    // As large as one of more entries is, which resemble each other less.
    policy.bytes = unpacked(&policy.bytes);
    let options = options(DeployPlace::Copy, DeployWay::Capture);
    let all = config_maps(ID);
    let folder = tempfile::tempdir().unwrap();
    for generation in [1, 2] {
        let map = policy.config_map(&options, ID, "s3cret", generation);
        let parts = policy.parts(&options, ID, generation, "uid");
        assert!(parts.len() > 1, "{}", policy.bytes.len());
        for object in parts.iter().chain([&map]) {
            assert!(object.to_string().len() < 1 << 20);
            assert!(all.iter().any(|name| *name == object["metadata"]["name"]), "{object}");
            mount(folder.path(), object);
        }
        assert!(
            parts
                .iter()
                .all(|part| part["metadata"]["ownerReferences"][0]["uid"] == "uid")
        );
        let reading = read_folder(folder.path()).unwrap();
        assert_eq!((reading.errors, reading.generation), (Vec::new(), Some(generation)));
        assert_eq!(reading.world.service_entries.len(), 10_000);
    }
}

/// A ConfigMap as kubelet has it in a folder.
fn mount(folder: &Path, object: &Value) {
    for (name, text) in object["data"].as_object().into_iter().flatten() {
        fs::write(folder.join(name), text.as_str().unwrap()).unwrap();
    }
    for (name, packed) in object["binaryData"].as_object().into_iter().flatten() {
        let bytes: ByteString = serde_json::from_value(packed.clone()).unwrap();
        fs::write(folder.join(name), bytes.0).unwrap();
    }
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut text).unwrap();
    text
}
