//! Two policies side by side in the real window: what would be different is said before it is applied, and what is sent
//! through both meets both.

use std::{fs, path::Path};

use crate::{
    session::{Session, copy_of_playground},
    stage,
    window::Window,
};

#[test]
fn what_would_be_different_is_said_request_by_request() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let [folder, data, runtime] = ["mesh", "data", "runtime"].map(|name| scratch.path().join(name));
    copy_of_playground(&folder);
    fs::create_dir(&runtime).expect("a folder");
    let session = Session::start(
        scratch.path(),
        &[
            ("EGRET_FOLDER", &folder),
            ("EGRET_DATA", &data),
            ("XDG_DATA_HOME", &data),
            ("XDG_CACHE_HOME", &data),
            ("XDG_CONFIG_HOME", &data),
            ("XDG_RUNTIME_DIR", &runtime),
        ],
    );
    stage::play(&session, async |window| story(window, &runtime).await);
}

async fn story(window: &Window, runtime: &Path) {
    window.click("rail-sandbox").await;
    window.click("sandbox-start").await;
    window
        .element("[data-testid='sandbox-state'][data-state='running']")
        .await;
    let allowing = window.policy_in_force().await;
    window.click("pin").await;
    window.wait_for("pinned", &["Pinned", "mesh"]).await;

    // ALLOW_ANY is in force, REGISTRY_ONLY is staged.
    window.click("rail-policy").await;
    window.click("policy-mode").await;
    window.click("mode-REGISTRY_ONLY").await;
    window.click("stage").await;
    window.click("rail-sandbox").await;
    window.click("compare-staged").await;
    window.element("[data-testid='beside'][data-state='running']").await;
    window.wait_for("compared-summary", &["no request yet"]).await;

    let answer = window.request("http://api.example.com/").await;
    assert_eq!(answer.verdict, "Registered", "{answer:#?}");
    let answer = window.request("https://www.google.com/headers").await;
    assert_eq!((&*answer.verdict, &*answer.result), ("Passthrough", "200"));
    window
        .wait_for("compared-summary", &["1 of 2 requests would be different"])
        .await;
    let row = window
        .wait_for("compared-row", &["www.google.com", "Passthrough", "Blocked", "UH"])
        .await;
    assert!(!row.contains("sent"), "decided only: {row}");
    window.wait_for("compared-why", &["ALLOW_ANY", "REGISTRY_ONLY"]).await;

    // Through both: the one answers, the other cuts.
    window.click("console-both").await;
    let answer = window.request("https://www.google.com/headers").await;
    assert_eq!((&*answer.verdict, &*answer.result), ("Passthrough", "200"));
    let beside = window.text("console-beside").await;
    assert!(beside.contains("Blocked") && beside.contains("exit 35"), "{beside}");
    window
        .wait_for("compared-summary", &["2 of 3 requests would be different"])
        .await;
    window.click("only-different").await;
    window.wait_for("compared-row", &["www.google.com", "sent"]).await;
    window.gone("[data-testid='compared-row'][data-likeness='same']").await;
    super::save_screenshot(window, "EGRET_SCREENSHOT_COMPARE").await;

    // Applied: in force is what was compared with, and the pinned policy is the other one.
    window.apply(&allowing).await;
    window.click("rail-sandbox").await;
    window.click("compare-pinned").await;
    window.wait_for("beside", &["Sidecar beside runs", &allowing]).await;
    let answer = window.request("http://httpbin.org/headers").await;
    assert_eq!(answer.verdict, "Blocked", "{answer:#?}");
    window
        .wait_for("compared-row", &["httpbin.org", "Blocked", "Passthrough", "?"])
        .await;
    window.click("console-both").await;
    let answer = window.request("http://httpbin.org/headers").await;
    assert_eq!(answer.verdict, "Blocked", "{answer:#?}");
    window
        .wait_for(
            "compared-row",
            &["httpbin.org", "Blocked", "Passthrough", "200", "sent"],
        )
        .await;

    // What was there for it goes with it.
    window.click("stop-comparing").await;
    window.wait_for("live-row", &["httpbin.org"]).await;
    window.click("unpin").await;
    window.click("sandbox-stop").await;
    window
        .element("[data-testid='sandbox-state'][data-state='stopped']")
        .await;
    let left: Vec<_> = fs::read_dir(runtime)
        .expect("the runtime folder")
        .map(|entry| entry.expect("an entry").file_name())
        .filter(|name| name.to_string_lossy().contains("egret"))
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
