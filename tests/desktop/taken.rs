//! Commands in the place of a workload, with its variables: those of Secrets only after a yes of their own.

use std::fs;

use crate::{
    session::{Session, copy_of_playground},
    stage,
    window::Window,
};

const PAINTER: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: painter, namespace: default}
spec:
  template:
    metadata: {labels: {app: painter}}
    spec:
      containers:
      - name: app
        envFrom: [{configMapRef: {name: colours}}]
        volumeMounts: [{name: colours, mountPath: /egret-test/colours}]
        env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: vault, key: password}}}]
      volumes: [{name: colours, configMap: {name: colours}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: colours, namespace: default}
data: {COLOUR: green}
---
apiVersion: v1
kind: Secret
metadata: {name: vault, namespace: default}
stringData: {password: s3cret}
";

#[test]
fn a_folders_workload_lends_its_variables_and_its_secrets_only_after_a_yes() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let [folder, data] = ["mesh", "data"].map(|name| scratch.path().join(name));
    copy_of_playground(&folder);
    fs::write(folder.join("painter.yaml"), PAINTER).expect("the folder can be written");
    let session = Session::start(
        scratch.path(),
        &[
            ("EGRET_FOLDER", &folder),
            ("EGRET_DATA", &data),
            ("XDG_DATA_HOME", &data),
            ("XDG_CACHE_HOME", &data),
            ("XDG_CONFIG_HOME", &data),
        ],
    );
    stage::play(&session, async |window| story(window).await);
}

async fn story(window: &Window) {
    window.click("rail-sandbox").await;
    window.element("option[value='default/painter']").await;
    let workload = window.find("sandbox-workload").await;
    workload
        .select_by_value("default/painter")
        .await
        .expect("the workload can be chosen");
    let say = async || {
        window
            .fill(
                "command-input",
                "echo \"<$COLOUR $PASSWORD>$(cat /egret-test/colours/COLOUR 2>/dev/null)\"",
            )
            .await;
        window.click("command-run").await;
    };

    start(window).await;
    say().await;
    window.wait_for("command-output", &["\n< >\n"]).await;
    stop(window).await;

    window.click("takes-variables").await;
    start(window).await;
    window.wait_for("taken", &["1 variable, 1 mount, left out: 1"]).await;
    window
        .wait_for("left-out", &["PASSWORD", "Secrets were not asked for"])
        .await;
    say().await;
    window.wait_for("command-output", &["\n<green >green"]).await;
    stop(window).await;

    window.click("takes-secrets").await;
    start(window).await;
    window.wait_for("taken", &["2 variables, 1 mount"]).await;
    say().await;
    window.wait_for("command-output", &["\n<green s3cret>green"]).await;
    stop(window).await;
}

async fn start(window: &Window) {
    window.click("sandbox-start").await;
    window
        .element("[data-testid='sandbox-state'][data-state='running']")
        .await;
}

async fn stop(window: &Window) {
    window.click("sandbox-stop").await;
    window
        .element("[data-testid='sandbox-state'][data-state='stopped']")
        .await;
}
