//! The story of the README by clicking, against a real mesh: the app's real window on one side, a pod with Istio's own
//! sidecar on the other.

use egret_tests::mesh::{Mesh, Sleep, eventually};

use super::{own, stage, window::Window};

pub fn story(mesh: &Mesh) {
    let scratch = tempfile::tempdir().unwrap();
    let session = own::session(scratch.path(), &mesh.kubeconfig());
    stage::play(&session, async |window| play(mesh, window).await);
}

async fn play(mesh: &Mesh, window: &Window) {
    let sleep = mesh.sleep();
    // From the folder to the cluster; the kubeconfig has one context.
    window.click("source-menu").await;
    window.click("context").await;
    window.wait_for("source-menu", &["cluster"]).await;
    window.wait_for("editing", &["Read-only"]).await;

    // A test request starts in the workload's own pod; what its sidecar logs of it is the request's flow.
    let answer = window.request("http://httpbin.org/headers").await;
    assert_eq!(
        (answer.result.as_str(), answer.verdict.as_str()),
        ("200", "Passthrough"),
        "{answer:#?}"
    );

    // What the pod's own sidecar logs is a flow of the app.
    assert_eq!(sleep.curl("https://www.google.com/headers").status, 200);
    let main = window.client.window().await.unwrap();
    let log = window.opens("rail-log").await;
    window.switch(&log).await;
    window
        .wait_for("log-row", &["Passthrough", "198.19.0.11", "default/sleep"])
        .await;
    window.switch(&main).await;

    // Nothing is written while the window is read-only, and it says how to change that.
    window.click("rail-policy").await;
    window.click("policy-mode").await;
    window.click("mode-REGISTRY_ONLY").await;
    window.click("stage").await;
    window.click("review-open").await;
    window.wait_for("blocked-because", &["switched off"]).await;
    window.click("editing").await;
    window.wait_for("editing", &["Editing enabled"]).await;
    apply(window).await;
    // A mode locks people out: it goes back by itself unless somebody keeps it, and istiod says who has it already.
    window
        .wait_for("countdown", &["REGISTRY_ONLY", "not confirmed yet"])
        .await;
    becomes(&sleep, "https://www.google.com/headers", |exit, _| exit == 35);
    window.wait_for("countdown-sync", &["1 of 1", "sidecars have it"]).await;
    window.click("countdown-keep").await;
    // Nothing declares HTTP on port 80: the connection is cut. Whether curl sees its end or its reset is a matter of time.
    let cut = sleep.curl("http://httpbin.org/headers").exit;
    assert!([52, 56].contains(&cut), "{cut}");
    window.switch(&log).await;
    window.wait_for("log-row", &["Blocked", "198.19.0.11"]).await;
    window.switch(&main).await;

    service(window, "httpbin.org", "80").await;
    becomes(&sleep, "http://httpbin.org/headers", |_, status| status == 200);
    let seen = sleep.curl("http://httpbin.org/headers").body.to_lowercase();
    assert!(
        seen.contains(r#""x-envoy-decorator-operation": "httpbin.org:80/*""#),
        "{seen}"
    );
    // Port 80 speaks HTTP now: a host that nothing names is answered, and not cut.
    becomes(&sleep, "http://edition.cnn.com/headers", |_, status| status == 502);
    window.switch(&log).await;
    window.wait_for("log-row", &["Blocked", "edition.cnn.com", "502"]).await;
    window.switch(&main).await;
    service(window, "www.google.com", "443").await;
    becomes(&sleep, "https://www.google.com/headers", |_, status| status == 200);
    window.switch(&log).await;
    window
        .wait_for("log-row", &["Registered", "www.google.com", ":443"])
        .await;
    window.switch(&main).await;

    window.click("rail-policy").await;
    window.click("policy-timeouts").await;
    window.click("timeout-new").await;
    window.fill("timeout-host", "httpbin.org").await;
    window.fill("timeout-seconds", "3").await;
    window.click("form-save").await;
    apply(window).await;
    becomes(&sleep, "http://httpbin.org/delay/5", |_, status| status == 504);

    // A range leaves the sidecar alone, but not before its pod is born again.
    let cnn = "https://edition.cnn.com/headers";
    window.click("rail-policy").await;
    window.click("policy-bypass").await;
    window.wait_for("own-ranges", &["10.96.0.0/16", "ServiceCIDR"]).await;
    window.fill("ranges-exclude", "198.19.0.12/32").await;
    window.click("ranges-stage").await;
    apply(window).await;
    assert_eq!(sleep.curl(cnn).exit, 35, "a running pod keeps its rules");
    restart(mesh, window).await;
    becomes(&sleep, cnn, |_, status| status == 200);

    // One change is undone by itself; clean-up takes the others back together, the mode too, and nothing is left.
    window.click("rail-changes").await;
    window.undo_newest().await;
    clean_up(window).await;
    restart(mesh, window).await;
    let left = mesh.text(&[
        "get",
        "serviceentries,virtualservices",
        "--all-namespaces",
        "--output=name",
    ]);
    assert_eq!(left, "");
    let mode = mesh.text(&[
        "get",
        "configmap",
        "istio",
        "-n",
        "istio-system",
        "-o",
        "jsonpath={.data.mesh}",
    ]);
    assert!(mode.contains("mode: ALLOW_ANY"), "{mode}");
    becomes(&sleep, "https://edition.cnn.com/headers", |_, status| status == 200);
}

/// Restarts the workload, whose pod runs with older rules.
async fn restart(mesh: &Mesh, window: &Window) {
    window.click("rail-policy").await;
    window.click("policy-bypass").await;
    window.wait_for("stale-pods", &["1 pod"]).await;
    window.click("restart").await;
    window.click("restart-confirm").await;
    window.wait_for("stale-pods", &["no pod"]).await;
    window.wait_for("restart-step", &["restarted"]).await;
    eventually("the old pod to go", || {
        let pods = mesh.text(&["get", "pods", "--selector=app=sleep", "--output=name"]);
        (pods.lines().count() == 1).then_some(())
    });
}

/// A new service by its form.
async fn service(window: &Window, host: &str, port: &str) {
    window.click("rail-policy").await;
    window.click("policy-services").await;
    window.click("service-new").await;
    window.fill("form-hosts", host).await;
    window.click("form-port-add").await;
    window.fill("form-port-number", port).await;
    window.click("form-save").await;
    apply(window).await;
}

/// Takes everything back that was changed here, and sees that nothing is left to take back.
async fn clean_up(window: &Window) {
    window.click("cleanup-open").await;
    for left in ["ServiceEntry", "VirtualService", "ConfigMap"] {
        window.wait_for("cleanup-row", &[left]).await;
    }
    window.click("cleanup-stage").await;
    apply(window).await;
    window.click("countdown-keep").await;
    window.click("rail-changes").await;
    window.click("cleanup-open").await;
    window.wait_for("cleanup-empty", &["Nothing"]).await;
}

/// Reviews and applies the change set.
async fn apply(window: &Window) {
    window.click("review-open").await;
    window.find("impact-sentence").await;
    window.click("apply").await;
    window.find("journal-row").await;
}

/// Istio takes its moment: requests are repeated until they come out as they should.
fn becomes(sleep: &Sleep<'_>, url: &str, wanted: impl Fn(i32, u16) -> bool) {
    eventually(&format!("{url} to come out otherwise"), || {
        let reply = sleep.curl(url);
        wanted(reply.exit, reply.status).then_some(())
    });
}
