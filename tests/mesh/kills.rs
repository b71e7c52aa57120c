//! The app, the sidecar and the API server are killed while a sidecar stands beside a workload: the sidecar goes on with the
//! last good policy, what a killed app left is found by its next start and removed there, and the workload is what it was.
//! What needs no pod that runs is shown with the API server alone, at each step: `sidecar/deploy/tests/killed.rs` and
//! `outage.rs` of the app.

use std::path::Path;

use egret_tests::mesh::{Mesh, eventually};

use super::{
    deploying::{Stored, bring_image, check_and_start, choose, comes_out, left, open, refused, stands, stop},
    own,
    session::Session,
    stage,
    window::Window,
};

/// A workload that Istio leaves alone, so that it starts and ends at once.
const BARE: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: bare, namespace: default}
spec:
  selector: {matchLabels: {app: bare}}
  template:
    metadata: {labels: {app: bare, sidecar.istio.io/inject: 'false'}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: 'egret.test/sleep:1'}]
";
const TARGET: &str = "Deployment default/bare";
const SITE: &str = "https://www.google.com/headers";

pub fn story(mesh: &Mesh) {
    bring_image(mesh);
    mesh.apply(BARE);
    mesh.text(&["rollout", "status", "deployment/bare", "--timeout=55s"]);
    let before = Stored::of(mesh, "default", "bare");
    let is_as_before = |when: &str| {
        eventually(&format!("nothing to be left: {when}"), || {
            left(mesh).is_empty().then_some(())
        });
        assert_eq!(Stored::of(mesh, "default", "bare"), before, "{when}");
        assert_eq!(curl(mesh), 0, "its traffic flows: {when}");
    };
    // What the app keeps from one start to the next.
    let home = tempfile::tempdir().unwrap();
    play(mesh, home.path(), async |window, session| {
        open(window).await;
        choose(window, TARGET, &["mode-enforce", "place-pod"]).await;
        check_and_start(window).await;
        session.kill_app();
    });
    play(mesh, home.path(), async |window, session| {
        open(window).await;
        remove_what_is_left(window).await;
        is_as_before("the app was killed, with a sidecar in a pod that runs");

        choose(window, TARGET, &["place-copy"]).await;
        killed_while_it_starts(mesh, window).await;
        is_as_before("the sidecar was killed while it started");

        choose(window, TARGET, &["mode-enforce", "place-workload"]).await;
        check_and_start(window).await;
        mesh.set_mode("ALLOW_ANY", "REGISTRY_ONLY");
        eventually("what is not registered to be cut", || (curl(mesh) == 35).then_some(()));
        kill_sidecar(mesh);
        assert_eq!(curl(mesh), 35, "a sidecar that was killed has the last policy");
        mesh.kill_server();
        mesh.start_server();
        window.wait_for("deploy-pod", &["decides by"]).await;
        comes_out(window, SITE, "exit 35", "Blocked").await;
        window.click("deploy-stop").await;
        mesh.kill_server();
        mesh.start_server();
        stands(window, "none").await;
        is_as_before("the API server was killed while the workload's sidecar was removed");

        choose(window, TARGET, &["place-copy"]).await;
        check_and_start(window).await;
        mesh.set_mode("REGISTRY_ONLY", "ALLOW_ANY");
        let policy = ["get", "configmaps", "--selector=egret.dev/session", "--output=yaml"];
        eventually("the other policy to be on its way", || {
            mesh.text(&policy).contains("mode: ALLOW_ANY").then_some(())
        });
        session.kill_app();
    });
    play(mesh, home.path(), async |window, _| {
        open(window).await;
        remove_what_is_left(window).await;
        is_as_before("the app was killed, with a sidecar in a copy");

        choose(window, TARGET, &["place-copy"]).await;
        fails_to_start(window).await;
    });
    is_as_before("no sidecar was in the image");
    mesh.text(&["delete", "deployment/bare", "--wait=false"]);
}

/// The node starts it again, and the deployment goes on.
async fn killed_while_it_starts(mesh: &Mesh, window: &Window) {
    assert_eq!(refused(window).await, Vec::<String>::new());
    window.click("deploy-start").await;
    let id = eventually("the sidecar to be there", || {
        Some(sidecar(mesh, "containerID")).filter(|id| !id.is_empty())
    });
    mesh.kill_container(id.trim_start_matches("containerd://"));
    stands(window, "running").await;
    assert_eq!(sidecar(mesh, "restartCount"), "1");
    comes_out(window, "http://httpbin.org/headers", "200", "Passthrough").await;
    stop(window).await;
}

/// Another program than the sidecar: what it ends with is said, everything is taken away again, and another start is offered.
async fn fails_to_start(window: &Window) {
    window.fill("deploy-image", "egret.test/pilot:1").await;
    assert_eq!(refused(window).await, Vec::<String>::new());
    window.click("deploy-start").await;
    stands(window, "failed").await;
    let said = window
        .wait_for("error-banner", &["egret-proxy", "unknown command"])
        .await;
    assert!(said.contains("It does not start"), "{said}");
    window.find("deploy-check-all").await;
}

/// Another start of the same app.
fn play(mesh: &Mesh, home: &Path, story: impl AsyncFnOnce(&Window, &Session)) {
    let session = own::session(home, &mesh.kubeconfig());
    stage::play(&session, async |window| story(window, &session).await);
}

async fn remove_what_is_left(window: &Window) {
    window.wait_for("deploy-left", &["default/bare"]).await;
    window.click("deploy-left-remove").await;
    window.gone("[data-testid='deploy-left']").await;
}

/// curl's exit code in the workload.
fn curl(mesh: &Mesh) -> i32 {
    let curl = [
        "exec",
        "deploy/bare",
        "--container=app",
        "--",
        "curl",
        "-sk",
        "-m",
        "20",
        "-o",
        "/dev/null",
        SITE,
    ];
    mesh.kubectl(&curl).status.code().unwrap_or(-1)
}

/// What the node says of the sidecar; nothing before it says anything.
fn sidecar(mesh: &Mesh, field: &str) -> String {
    let path =
        format!("--output=jsonpath={{.items[*].status.initContainerStatuses[?(@.name=='egret-proxy')].{field}}}");
    mesh.text(&["get", "pods", "--selector=egret.dev/session", &path])
}

/// Kills the sidecar's first process, and returns when it runs again.
fn kill_sidecar(mesh: &Mesh) {
    let before = sidecar(mesh, "restartCount");
    mesh.kill_container(sidecar(mesh, "containerID").trim_start_matches("containerd://"));
    eventually("the sidecar to run again", || {
        (sidecar(mesh, "restartCount") != before && sidecar(mesh, "ready") == "true").then_some(())
    });
}
