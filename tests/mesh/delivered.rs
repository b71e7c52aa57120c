//! The sidecar's image to where a real cluster's node finds it, by clicking: pushed to a real registry, and given to the
//! node's containerd.

use std::{env, fs, path::Path};

use egret_tests::mesh::{Asks, Mesh, Registry, cache, eventually};
use serde_json::json;

use super::{deploying, own, stage, window::Window};

pub fn story(mesh: &Mesh) {
    // The mesh is up, so everything is there that a registry is built with too.
    let registry = Registry::up(Asks::Token, None).expect("make registry builds it");
    mesh.forget_image(deploying::IMAGE);
    eventually("the node to forget the image", || (!is_named(mesh)).then_some(()));
    let scratch = tempfile::tempdir().unwrap();
    let docker = scratch.path().join("docker");
    fs::create_dir(&docker).unwrap();
    let entry = json!({ "username": Registry::USER, "password": Registry::PASSWORD });
    let config = json!({ "auths": { registry.address(): entry } });
    fs::write(docker.join("config.json"), config.to_string()).unwrap();
    // The node's containerd is this machine's own, though not at its usual place.
    let tools = cache().join("debian/usr/bin");
    let path = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let path = env::join_paths([tools].into_iter().chain(path)).unwrap();
    let variables: [(&str, &Path); 3] = [
        ("DOCKER_CONFIG", &docker),
        ("CONTAINERD_ADDRESS", &cache().join("mesh/containerd.sock")),
        ("PATH", Path::new(&path)),
    ];
    let session = own::session_with(scratch.path(), &mesh.kubeconfig(), &variables);
    stage::play(&session, async |window| {
        deploying::open(window).await;
        deploying::choose(window, "Deployment default/sleep", &[]).await;
        window.click("deploy-check-all").await;
        window.wait_for("deploy-check", &["Not possible", "No node has"]).await;
        to_registry(window, &registry).await;
        to_node(window).await;
    });
    eventually("the node to name the image", || is_named(mesh).then_some(()));
}

async fn to_registry(window: &Window, registry: &Registry) {
    let name = format!("{}/team/egret-proxy", registry.address());
    window.click("deliver-open").await;
    window.click("deliver-registry").await;
    window.fill("deliver-reference", &format!("{name}:1")).await;
    window.click("deliver-start").await;
    window.wait_for("delivery", &["It is in the registry"]).await;
    let digest = registry.digest("team/egret-proxy", "1").expect("it was pushed");
    let image = window.find("deploy-image").await.prop("value").await.unwrap();
    assert_eq!(image, Some(format!("{name}@{digest}")));
    // It is checked again, as what is fetched from there.
    window.wait_for("deploy-check", &["Not known", &digest]).await;
}

async fn to_node(window: &Window) {
    window.fill("deploy-image", deploying::IMAGE).await;
    window.click("deploy-check-all").await;
    window.wait_for("deploy-check", &["Not possible", "No node has"]).await;
    window.click("deliver-open").await;
    window.click("deliver-containerd").await;
    window.click("deliver-start").await;
    window.wait_for("delivery", &["The nodes have"]).await;
    window.wait_for("deploy-check", &["Image", deploying::IMAGE]).await;
    let refused = window.texts("deploy-check").await;
    assert!(refused.iter().all(|text| !text.contains("No node has")), "{refused:?}");
}

fn is_named(mesh: &Mesh) -> bool {
    let images = mesh.text(&["get", "nodes", "--output=jsonpath={.items[*].status.images[*].names}"]);
    images.contains(deploying::IMAGE)
}
