use std::{fs, io::Read as _};

use flate2::read::GzDecoder;
use proxy_core::{model::World, policy::compile, source::read_folder};

use super::{
    super::{Policy, Target},
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
    let policy = Policy::of(&view, None, &target).unwrap();
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
fn a_large_policy_is_compressed_and_one_that_no_config_map_holds_is_refused() {
    let (_folder, view) = mirror(3000);
    let target = Target::read("Deployment", "shop/cart").unwrap();
    let policy = Policy::of(&view, None, &target).unwrap();
    assert!(policy.compressed);
    let mut text = Vec::new();
    GzDecoder::new(&*policy.bytes).read_to_end(&mut text).unwrap();
    assert_eq!(read_back(&text).service_entries.len(), 3000);
    let map = policy.config_map(&options(DeployPlace::Copy, DeployWay::Capture), ID, "s3cret", 1);
    assert!(map.to_string().len() < 1 << 20);
    assert_eq!(map["data"].get("policy.yaml"), None);
    assert_eq!(
        policy,
        Policy::of(&view, None, &target).unwrap(),
        "the same policy is the same bytes"
    );
}
