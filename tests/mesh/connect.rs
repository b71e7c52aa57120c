//! A kubeconfig that was opened from a file, by clicking: its program is shown before it runs, and who only reads is told
//! what is missing.

use std::{fs, path::Path};

use egret_tests::mesh::Api;

use super::{own, stage, window::Window};

pub fn story(api: &Api) {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let (data, none, team, mark) = (at("data"), at("none"), at("team.yaml"), at("ran"));
    fs::write(&none, "apiVersion: v1\nkind: Config\n").unwrap();
    fs::write(&team, with_program(&api.user("viewer").kubeconfig(), &mark)).unwrap();
    // As the app keeps a file that was picked in the system's own dialog, which no test can click.
    fs::create_dir(&data).unwrap();
    let kept = serde_json::json!({ "files": [&team] });
    fs::write(data.join("kubeconfigs.json"), kept.to_string()).unwrap();
    let session = own::session(scratch.path(), &none);
    stage::play(&session, async |window| play(window, &mark).await);
}

async fn play(window: &Window, mark: &Path) {
    window.click("source-menu").await;
    window.wait_for("context", &["egret-mesh", "https://"]).await;
    window.click("context").await;
    window.wait_for("allow-plugin", &["sh -c", "viewer-token"]).await;
    assert!(!mark.exists(), "nothing runs before it is allowed");
    window.click("allow-plugin-yes").await;
    window.wait_for("source-menu", &["cluster"]).await;
    assert!(mark.exists());

    let editing = window.find("editing").await;
    assert!(!editing.is_enabled().await.unwrap(), "a viewer can switch nothing on");
    let reason = editing.attr("title").await.unwrap().unwrap_or_default();
    assert!(reason.contains("serviceentries.networking.istio.io"), "{reason}");
    window.click("source-menu").await;
    window.wait_for("facts", &["v1.", "none"]).await;
    window
        .wait_for("right", &["Restart workloads", "needs", "deployments.apps"])
        .await;
    window.click("copy-role").await;
    // The menu lies over the rail until it is closed.
    window.click("source-menu").await;
    window.click("rail-policy").await;
    window.find("screen-policy").await;
}

/// The kubeconfig with a program that gives the same token.
pub fn with_program(kubeconfig: &Path, mark: &Path) -> String {
    let text = fs::read_to_string(kubeconfig).unwrap();
    let program = format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: sh, args: [-c, 'touch {}; \
         echo \"{{\\\"apiVersion\\\": \\\"client.authentication.k8s.io/v1\\\", \\\"kind\\\": \\\"ExecCredential\\\", \
         \\\"status\\\": {{\\\"token\\\": \\\"viewer-token\\\"}}}}\"']}}}}",
        mark.display()
    );
    text.replace("{token: viewer-token}", &program)
}
