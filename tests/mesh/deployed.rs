//! A sidecar beside a workload, by clicking: in a copy and in the workload itself, enforcing and observing, under a policy
//! that changes while it runs; and nothing is left of it, whoever ended it.

use std::time::Duration;

use egret_tests::mesh::{Mesh, eventually};
use fantoccini::elements::Element;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{own, pod, stage, story::HTTPBIN, window::Window};

/// How long pods may take to start or to end on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
pub const IMAGE: &str = concat!("egret.dev/egret-proxy:", env!("CARGO_PKG_VERSION"));

pub fn story(mesh: &Mesh) {
    mesh.import(&pod::archive().unwrap());
    eventually("the node to name the image", || {
        let images = mesh.text(&["get", "nodes", "--output=jsonpath={.items[*].status.images[*].names}"]);
        images.contains(IMAGE).then_some(())
    });
    let before = sleep_as_stored(mesh);
    let scratch = tempfile::tempdir().unwrap();
    let session = own::session(scratch.path(), &mesh.kubeconfig());
    stage::play(&session, async |window| in_a_copy(mesh, window).await);
    nothing_is_left(mesh, &before);
    let scratch = tempfile::tempdir().unwrap();
    let session = own::session(scratch.path(), &mesh.kubeconfig());
    stage::play(&session, async |window| in_the_workload(mesh, window).await);
    nothing_is_left(mesh, &before);
}

/// Enforces, first what holds, then another mode, while it runs.
async fn in_a_copy(mesh: &Mesh, window: &Window) {
    open(window).await;
    window.click("deploy-mode-enforce").await;
    check_and_start(window).await;
    // The copy is under Egret's sidecar alone.
    let copies = [
        "get",
        "pods",
        "--selector=egret.dev/copy-of=sleep",
        "--output=jsonpath={.items[*].spec.containers[*].name}",
    ];
    assert_eq!(mesh.text(&copies), "sleep");
    comes_out(window, "http://httpbin.org/headers", "200", "Passthrough").await;
    mesh.set_mode("ALLOW_ANY", "REGISTRY_ONLY");
    policy_is(window, "no. 2").await;
    comes_out(window, "https://www.google.com/headers", "exit 35", "Blocked").await;
    mesh.apply(HTTPBIN);
    policy_is(window, "no. 3").await;
    comes_out(window, "http://httpbin.org/headers", "200", "Registered").await;
    comes_out(window, "http://www.google.com/headers", "502", "Blocked").await;
    mesh.text(&["delete", "serviceentry/httpbin"]);
    mesh.set_mode("REGISTRY_ONLY", "ALLOW_ANY");
    window.click("deploy-stop").await;
    stands(window, "none").await;
    window
        .wait_for("deploy-ended", &["copy of Deployment default/sleep", "are gone"])
        .await;
}

/// Observes: what the policy would block passes, and is told as blocked.
async fn in_the_workload(mesh: &Mesh, window: &Window) {
    mesh.set_mode("ALLOW_ANY", "REGISTRY_ONLY");
    open(window).await;
    window.click("deploy-place-workload").await;
    check_and_start(window).await;
    let _ = mesh.sleep().curl("https://www.google.com/headers");
    let row = window.wait_for("live-row", &["www.google.com"]).await;
    assert!(row.contains("Blocked") && row.contains("passed"), "{row}");
    mesh.set_mode("REGISTRY_ONLY", "ALLOW_ANY");
    window.click("deploy-stop").await;
    stands(window, "none").await;
    let ended = window.wait_for("deploy-ended", &["Deployment default/sleep"]).await;
    assert!(ended.contains("is what it was before"), "{ended}");
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
    let choice: Element = window.find("deploy-target").await;
    choice
        .select_by_value("Deployment default/sleep")
        .await
        .expect("the workload is listed");
}

async fn check_and_start(window: &Window) {
    window.click("deploy-check-all").await;
    window.find("deploy-check").await;
    let refused = window
        .texts("deploy-check")
        .await
        .into_iter()
        .filter(|text| text.contains("Not possible"));
    assert_eq!(refused.collect::<Vec<_>>(), Vec::<String>::new());
    window.click("deploy-start").await;
    stands(window, "running").await;
}

/// Waits for a phase; a failure is told with its reason.
async fn stands(window: &Window, phase: &str) {
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

async fn policy_is(window: &Window, number: &str) {
    window.wait_for("deploy-pod", &[number]).await;
}

/// Sends a request from the pod that has the sidecar: what the client got, and the verdict that the sidecar logged.
async fn comes_out(window: &Window, url: &str, result: &str, verdict: &str) {
    let answer = window.request(url).await;
    assert_eq!(
        (answer.result.as_str(), answer.findings.as_slice()),
        (result, &[][..]),
        "{url}: {answer:#?}"
    );
    assert!(answer.verdict.contains(verdict), "{url}: {answer:#?}");
}

/// The Deployment's pod template, and who set which of its fields.
fn sleep_as_stored(mesh: &Mesh) -> (Value, Vec<(Value, Value)>) {
    let text = mesh.text(&["get", "deployment/sleep", "--output=json", "--show-managed-fields"]);
    let object: Value = serde_json::from_str(&text).unwrap();
    let fields = object["metadata"]["managedFields"].as_array().unwrap().iter();
    // Controllers write the status, whose conditions come and go.
    let fields = fields.filter(|entry| entry["subresource"] != "status");
    let fields = fields
        .map(|entry| (entry["manager"].clone(), entry["fieldsV1"].clone()))
        .collect();
    (object["spec"]["template"].clone(), fields)
}

fn nothing_is_left(mesh: &Mesh, before: &(Value, Vec<(Value, Value)>)) {
    assert_eq!(&sleep_as_stored(mesh), before);
    let own = [
        "get",
        "deployments,configmaps,pods",
        "--all-namespaces",
        "--selector=egret.dev/session",
        "--output=name",
    ];
    assert_eq!(mesh.text(&own), "");
}
