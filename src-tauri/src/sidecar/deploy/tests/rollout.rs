//! What the sidecar adds to the time of a workload's rollout: `make bench-rollout`.

use std::{path::Path, time::Instant};

use egret_tests::mesh::{Mesh, eventually};
use serde_json::json;

use crate::{
    cluster::tests::{
        Bench,
        deployed::{options, prepared},
    },
    dto::{DeployPlace, DeployWay},
    sidecar::deploy::IMAGE,
};

/// How often each is rolled out.
const TURNS: usize = 12;
/// What `make proxy-image` writes.
const ARCHIVE: &str = "../target/egret-proxy-image.tar";
/// The same workload in two namespaces: the second gets the sidecar.
const SPACES: [&str; 2] = ["rollout-without", "rollout-with"];

#[test]
#[ignore = "a measurement, on a mesh of its own"]
fn a_rollout_with_the_sidecar_and_one_without_in_turns() {
    let mesh = Mesh::up().unwrap_or_else(|reason| panic!("{reason}"));
    mesh.import(&Path::new(env!("CARGO_MANIFEST_DIR")).join(ARCHIVE));
    eventually("the node to name the image", || {
        let images = mesh.text(&["get", "nodes", "--output=jsonpath={.items[*].status.images[*].names}"]);
        images.contains(IMAGE).then_some(())
    });
    for space in SPACES {
        mesh.text(&["create", "namespace", space]);
        let spec = json!({"selector": {"matchLabels": {"app": "cart"}}, "template": {
            "metadata": {"labels": {"app": "cart"}},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "app", "image": "egret.test/sleep:1"}]}}});
        let workload = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "cart", "namespace": space}, "spec": spec});
        mesh.apply(&workload.to_string());
        is_rolled_out(&mesh, space);
    }
    let bench = Bench::open(mesh.kubeconfig());
    bench.cluster.set_editing(true);
    let options = options("Deployment", SPACES[1], DeployPlace::Workload, DeployWay::Capture);
    let prepared = prepared(&bench, options);
    let uid = bench.cluster.put_session(&prepared.config_map(1)).unwrap();
    bench.cluster.inject(&prepared.workload(&uid)).unwrap();
    is_rolled_out(&mesh, SPACES[1]);

    let mut seconds = [Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        for (space, all) in SPACES.iter().zip(&mut seconds) {
            let began = Instant::now();
            mesh.text(&["rollout", "restart", "deployment/cart", "--namespace", space]);
            is_rolled_out(&mesh, space);
            all.push(began.elapsed().as_secs_f64());
        }
    }
    let medians = seconds.map(|mut all| {
        all.sort_by(f64::total_cmp);
        let [least, middle, most] = [all[0], all[all.len() / 2], all[all.len() - 1]];
        (middle, format!("{middle:.2} s | {least:.2} to {most:.2} s"))
    });
    println!("| without it | {} |", medians[0].1);
    println!("| with it | {} |", medians[1].1);
    println!(
        "| what it adds | {:.2} s | wanted: under 2 s |",
        medians[1].0 - medians[0].0
    );
}

fn is_rolled_out(mesh: &Mesh, space: &str) {
    mesh.text(&[
        "rollout",
        "status",
        "deployment/cart",
        "--timeout=55s",
        "--namespace",
        space,
    ]);
}
