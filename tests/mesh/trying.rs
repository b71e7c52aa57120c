//! Test requests from any pod, by clicking: with the pod's own curl, with wget, with a container that the app adds, and from
//! a probe that it deploys and removes. What the engine expects agrees with what Istio and Envoy do.

use egret_tests::mesh::{Mesh, eventually};

use super::{
    own, stage,
    story::{CATCH_ALL, HTTPBIN, ROUTES, TIMEOUT},
    window::Window,
};

/// Two pods whose image has curl, out of sight: `wget` has still wget, and no sidecar; `bare` has neither, and a sidecar.
const PODS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: wget, namespace: default}
spec:
  selector: {matchLabels: {app: wget}}
  template:
    metadata: {labels: {app: wget, sidecar.istio.io/inject: 'false'}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: app, image: 'egret.test/sleep:1', volumeMounts: [{name: nothing, mountPath: /usr/bin}]}
      volumes: [{name: nothing, emptyDir: {}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: bare, namespace: default}
spec:
  selector: {matchLabels: {app: bare}}
  template:
    metadata: {labels: {app: bare}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: app, image: 'egret.test/sleep:1', env: [{name: PATH, value: /nowhere}]}
";
/// What the test mesh has, with curl and sleep.
const IMAGE: &str = "egret.test/sleep:1";

pub fn story(mesh: &Mesh) {
    mesh.apply(PODS);
    mesh.text(&["rollout", "status", "deploy/wget", "deploy/bare", "--timeout=55s"]);
    let scratch = tempfile::tempdir().unwrap();
    let session = own::session(scratch.path(), &mesh.kubeconfig());
    stage::play(&session, async |window| play(mesh, window).await);
    mesh.text(&["delete", "deploy/wget", "deploy/bare"]);
}

async fn play(mesh: &Mesh, window: &Window) {
    window.click("source-menu").await;
    window.click("context").await;
    window.wait_for("source-menu", &["cluster"]).await;
    window.click("rail-sandbox").await;

    // wget, and no sidecar beside it: no policy holds.
    from(window, "default/wget").await;
    comes_out(window, "http://httpbin.org/headers", "200", &["Bypassed", "no sidecar"]).await;
    window.wait_for("console-limits", &["wget"]).await;

    // Nothing at all: the app offers to bring curl along, and does so only with editing switched on.
    from(window, "default/bare").await;
    window.fill("console-url", "http://httpbin.org/headers").await;
    window.click("console-send").await;
    window.wait_for("toast", &["neither curl nor wget is there"]).await;
    window.click("way-container").await;
    window.wait_for("probe-missing", &["switched off"]).await;
    window.click("editing").await;
    window.wait_for("editing", &["Editing enabled"]).await;
    window.fill("probe-image", IMAGE).await;
    window.click("probe-yes").await;
    window.wait_for("toast", &["A container with curl runs in bare-"]).await;
    comes_out(
        window,
        "http://httpbin.org/headers",
        "200",
        &["Passthrough", "reaches the site"],
    )
    .await;
    window.wait_for("console-line", &["PassthroughCluster"]).await;

    // A probe of its own, under what holds for the namespace.
    window.click("way-deployment").await;
    let kept = window.find("probe-image").await.prop("value").await;
    assert_eq!(
        kept.expect("the window answers").as_deref(),
        Some(IMAGE),
        "the image is kept"
    );
    window.click("probe-yes").await;
    // Its sidecar has to start.
    eventually("the probe to be ready", || {
        let status = ["rollout", "status", "deploy/egret-probe", "--timeout=50s"];
        mesh.kubectl(&status).status.success().then_some(())
    });
    window.wait_for("way-note", &["default/egret-probe"]).await;
    comes_out(
        window,
        "http://httpbin.org/headers",
        "200",
        &["Passthrough", "reaches the site"],
    )
    .await;
    window.wait_for("console-line", &["PassthroughCluster"]).await;

    // The pod's own curl, and the engine beside Envoy through the story.
    from(window, "default/sleep").await;
    comes_out(
        window,
        "https://www.google.com/headers",
        "exit 60",
        &["Passthrough", "reaches the site"],
    )
    .await;
    mesh.set_mode("ALLOW_ANY", "REGISTRY_ONLY");
    mesh.sleep()
        .settles(CATCH_ALL, |listener| !listener.contains("PassthroughCluster"));
    comes_out(
        window,
        "https://www.google.com/headers",
        "exit 35",
        &["Blocked", "curl exits with 35"],
    )
    .await;
    mesh.apply(HTTPBIN);
    mesh.sleep()
        .settles("/listeners", |listeners| listeners.contains("0.0.0.0_80:"));
    comes_out(
        window,
        "http://www.google.com/headers",
        "502",
        &["Blocked", "502 from the sidecar"],
    )
    .await;
    comes_out(
        window,
        "http://httpbin.org/headers",
        "200",
        &["Registered", "reaches the site"],
    )
    .await;
    mesh.apply(TIMEOUT);
    mesh.sleep()
        .settles(ROUTES, |routes| routes.contains(r#""timeout": "3s""#));
    comes_out(
        window,
        "http://httpbin.org/delay/5",
        "504",
        &["Registered", "504 after 3 s"],
    )
    .await;
    mesh.text(&["delete", "virtualservice/httpbin", "serviceentry/httpbin"]);
    mesh.set_mode("REGISTRY_ONLY", "ALLOW_ANY");

    // Nothing of the probe is left.
    window.click("probe-remove").await;
    window.wait_for("toast", &["The probe is removed from default"]).await;
    let own = [
        "get",
        "deployments,serviceaccounts",
        "--all-namespaces",
        "--output=name",
    ];
    let left = mesh.text(&[&own[..], &["--selector=app.kubernetes.io/managed-by=egret"]].concat());
    assert_eq!(left, "");
}

/// Chooses the workload that requests start in.
async fn from(window: &Window, workload: &str) {
    window.click("rail-sandbox").await;
    let choice = "[data-testid='sandbox-workload']";
    window.element(&format!("{choice} option[value='{workload}']")).await;
    let choice = window.element(choice).await;
    choice.select_by_value(workload).await.expect("the workload is listed");
    window.wait_for("way-note", &[workload]).await;
}

/// Sends a request until the app knows the policy that the sidecar has: then it comes out as said, and as expected.
async fn comes_out(window: &Window, url: &str, result: &str, expected: &[&str]) {
    for attempt in 1.. {
        let answer = window.request(url).await;
        let agrees = answer.findings.is_empty() && expected.iter().all(|words| answer.expected.contains(words));
        if answer.result == result && agrees {
            return;
        }
        assert!(
            attempt < 10,
            "{url} does not come out as {result}, {expected:?}: {answer:#?}"
        );
    }
}
