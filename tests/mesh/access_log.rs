//! Access logging that is off, by clicking: the log window says so, one click and the review switch it on, lines arrive,
//! and it ends when it is due.

use egret_tests::mesh::{Mesh, eventually};

use super::{own, stage, window::Window};

const FILE: &str = "accessLogFile: /dev/stdout";
const NONE: &str = "accessLogFile: ''";
const CATCH_ALL: &str = "/config_dump?resource=dynamic_listeners&name_regex=virtualOutbound";
const PAST: &str = "egret.dev/remove-after=2020-01-01T00:00:00Z";

pub fn switched_on_and_ended(mesh: &Mesh) {
    let scratch = tempfile::tempdir().unwrap();
    mesh.replace_in_mesh_config(FILE, NONE);
    mesh.sleep()
        .settles(CATCH_ALL, |listener| !listener.contains("/dev/stdout"));
    let session = own::session(scratch.path(), &mesh.kubeconfig());
    stage::play(&session, async |window| play(mesh, window).await);
    mesh.replace_in_mesh_config(NONE, FILE);
    mesh.sleep()
        .settles(CATCH_ALL, |listener| listener.contains("/dev/stdout"));
}

async fn play(mesh: &Mesh, window: &Window) {
    let sleep = mesh.sleep();
    window.click("source-menu").await;
    window.click("context").await;
    window.wait_for("source-menu", &["cluster"]).await;
    window.wait_for("editing", &["Read-only"]).await;
    let main = window.client.window().await.unwrap();
    let log = window.opens("rail-log").await;
    window.switch(&log).await;
    window
        .wait_for("access-log-off", &["Access logging is off", "accessLogFile"])
        .await;
    window.wait_for("log-pods", &["All workloads", "1 pod"]).await;

    // Off means off: the request is seen by nobody. Other tests ask for other sites: their lines may still be there.
    assert_eq!(sleep.curl("https://b.example.com/headers").status, 200);

    // One click, what is chosen already, and the ordinary way.
    window.click("access-log-switch").await;
    window.click("access-log-stage").await;
    window.switch(&main).await;
    window.wait_for("blocked-because", &["switched off"]).await;
    window.click("editing").await;
    window.wait_for("editing", &["Editing enabled"]).await;
    window.find("impact-sentence").await;
    window.click("apply").await;
    window.find("journal-row").await;
    window.wait_for("status-access-log", &["access log on", "until"]).await;
    let made_by = [
        "get",
        "telemetry",
        "egret-access-log",
        "--namespace=istio-system",
        "--output=jsonpath={.metadata.labels.app\\.kubernetes\\.io/managed-by}",
    ];
    assert_eq!(mesh.text(&made_by), "egret");

    // Lines arrive, of the request that comes now and not of the one before.
    sleep.settles(CATCH_ALL, |listener| listener.contains("/dev/stdout"));
    assert_eq!(sleep.curl("https://a.example.com/headers").status, 200);
    window.switch(&log).await;
    window
        .wait_for("log-row", &["Passthrough", "198.19.0.14", "default/sleep"])
        .await;
    let rows = window.texts("log-row").await;
    assert!(!rows.iter().any(|row| row.contains("198.19.0.15")), "{rows:#?}");
    window.wait_for("access-log-on", &["the whole mesh", "until"]).await;

    formats(mesh, window).await;
    window.switch(&main).await;

    // Due while editing is off: it stays, and the window offers to remove it.
    window.click("editing").await;
    window.wait_for("editing", &["Read-only"]).await;
    let annotate = [
        "annotate",
        "telemetry",
        "egret-access-log",
        "--namespace=istio-system",
        "--overwrite",
        PAST,
    ];
    mesh.text(&annotate);
    window.wait_for("access-log-overdue", &["was to end"]).await;
    assert_eq!(mesh.text(&made_by), "egret");

    // Due while editing is on: it goes by itself, through the journal.
    window.click("editing").await;
    eventually("the access log to end", || {
        let left = mesh.text(&["get", "telemetry", "--all-namespaces", "--output=name"]);
        left.is_empty().then_some(())
    });
    window.click("rail-changes").await;
    window.wait_for("journal-row", &["Access log off for mesh"]).await;
    sleep.settles(CATCH_ALL, |listener| !listener.contains("/dev/stdout"));
    window.switch(&log).await;
    window.wait_for("access-log-off", &["Access logging is off"]).await;
}

/// The mesh writes in formats of its own: JSON with other keys is read, one that tells too little is named.
async fn formats(mesh: &Mesh, window: &Window) {
    let sleep = mesh.sleep();
    let own = |keys: &str| format!("{NONE}\naccessLogEncoding: JSON\naccessLogFormat: '{keys}'");
    let (full, poor) = (
        own(r#"{"when":"%START_TIME%","to":"%DOWNSTREAM_LOCAL_ADDRESS%","via":"%UPSTREAM_CLUSTER%"}"#),
        own(r#"{"when":"%START_TIME%","took":"%DURATION%"}"#),
    );
    mesh.replace_in_mesh_config(NONE, &full);
    sleep.settles(CATCH_ALL, |listener| listener.contains("\"via\""));
    assert_eq!(sleep.curl("https://b.example.com/headers").status, 200);
    window
        .wait_for("log-row", &["Passthrough", "198.19.0.15", "default/sleep"])
        .await;

    mesh.replace_in_mesh_config(&full, &poor);
    sleep.settles(CATCH_ALL, |listener| listener.contains("\"took\""));
    assert_eq!(sleep.curl("https://www.google.com/headers").status, 200);
    window
        .wait_for(
            "log-unread",
            &["accessLogFormat of ConfigMap istio-system/istio lacks the host"],
        )
        .await;
    mesh.replace_in_mesh_config(&poor, NONE);
}
