//! Clicking a sidecar beside a workload: choosing, checking, starting, asking from behind it, and looking for what is left.

use std::time::Duration;

use egret_tests::mesh::{Mesh, eventually};
use fantoccini::elements::Element;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{pod, window::Window};

/// How long pods may take to start or to end on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
pub const IMAGE: &str = concat!("egret.dev/egret-proxy:", env!("CARGO_PKG_VERSION"));

/// Gives the node the sidecar's image, and returns when the node says that it has it.
pub fn bring_image(mesh: &Mesh) {
    mesh.import(&pod::archive().unwrap());
    eventually("the node to name the image", || {
        let images = mesh.text(&["get", "nodes", "--output=jsonpath={.items[*].status.images[*].names}"]);
        images.contains(IMAGE).then_some(())
    });
}

/// The cluster, with editing on, and the second half of the Sandbox.
pub async fn open(window: &Window) {
    window.click("source-menu").await;
    window.click("context").await;
    window.wait_for("source-menu", &["cluster"]).await;
    window.click("editing").await;
    window.wait_for("editing", &["Editing enabled"]).await;
    window.click("rail-sandbox").await;
    window.click("sandbox-cluster").await;
}

/// Chooses the workload, as `KIND namespace/name`, and the rest by what the buttons are called: `mode-enforce`.
pub async fn choose(window: &Window, target: &str, choices: &[&str]) {
    let choice: Element = window.find("deploy-target").await;
    window
        .element(&format!("[data-testid='deploy-target'] option[value='{target}']"))
        .await;
    choice.select_by_value(target).await.expect("the workload is listed");
    for choice in choices {
        window.click(&format!("deploy-{choice}")).await;
    }
}

/// What the checks refuse.
pub async fn refused(window: &Window) -> Vec<String> {
    window.click("deploy-check-all").await;
    window.find("deploy-check").await;
    let checks = window.texts("deploy-check").await.into_iter();
    checks.filter(|text| text.contains("Not possible")).collect()
}

pub async fn check_and_start(window: &Window) {
    assert_eq!(refused(window).await, Vec::<String>::new());
    window.click("deploy-start").await;
    stands(window, "running").await;
}

/// Stops it, and returns when nothing of it is left; gives what the window says of it.
pub async fn stop(window: &Window) -> String {
    window.click("deploy-stop").await;
    stands(window, "none").await;
    window.text("deploy-ended").await
}

/// Waits for a phase; a failure is told with its reason.
pub async fn stands(window: &Window, phase: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let state = window
            .find("deploy-state")
            .await
            .attr("data-state")
            .await
            .expect("the window answers");
        match state.as_deref() {
            Some(now) if now == phase => return,
            Some("failed") => panic!("{:?}", window.texts("error-banner").await),
            now => assert!(
                Instant::now() < until,
                "waited in vain for {phase}: {now:?}, {:?}",
                window.texts("deploy-log").await
            ),
        }
        sleep(Duration::from_millis(200)).await;
    }
}

pub async fn policy_is(window: &Window, number: &str) {
    window.wait_for("deploy-pod", &[number]).await;
}

/// Sends a request from the pod that has the sidecar: what the client got, and the verdict that the sidecar logged.
pub async fn comes_out(window: &Window, url: &str, result: &str, verdict: &str) {
    let answer = window.request(url).await;
    assert_eq!(
        (answer.result.as_str(), answer.findings.as_slice()),
        (result, &[][..]),
        "{url}: {answer:#?}"
    );
    assert!(answer.verdict.contains(verdict), "{url}: {answer:#?}");
}

/// A Deployment, and who set which of its fields; without what the API server counts and dates, and the number that the
/// controller gives a template.
#[derive(Debug, PartialEq)]
pub struct Stored(Value);

impl Stored {
    pub fn of(mesh: &Mesh, namespace: &str, deployment: &str) -> Self {
        let text = mesh.text(&[
            "get",
            "deployment",
            deployment,
            "--namespace",
            namespace,
            "--output=json",
            "--show-managed-fields",
        ]);
        let mut object: Value = serde_json::from_str(&text).unwrap();
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.remove("resourceVersion");
        metadata.remove("generation");
        metadata["annotations"]
            .as_object_mut()
            .unwrap()
            .remove("deployment.kubernetes.io/revision");
        let fields = metadata["managedFields"].as_array_mut().unwrap();
        // Controllers write the status, whose conditions come and go.
        fields.retain(|entry| entry["subresource"] != "status");
        for entry in fields {
            entry.as_object_mut().unwrap().remove("time");
        }
        object.as_object_mut().unwrap().remove("status");
        Self(object)
    }
}

/// What sessions have in the cluster, pods too, as kubectl names it.
pub fn left(mesh: &Mesh) -> String {
    mesh.text(&[
        "get",
        "deployments,configmaps,pods",
        "--all-namespaces",
        "--selector=egret.dev/session",
        "--output=name",
    ])
}
