//! The whole story in the real window: from the first window over every kind of edit back to the folder as it was. What
//! the screen says is checked against the files byte for byte, the log's rows and the exit codes of curl.

mod compare;
mod session;
mod stage;
mod taken;
mod window;
mod windows;

use std::{fs, path::Path};

use session::{Session, contents, copy_of_playground};
use window::{Answer, Window};

#[test]
fn the_story_from_first_window_to_clean_up() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let (folder, data) = (scratch.path().join("mesh"), scratch.path().join("data"));
    copy_of_playground(&folder);
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
    stage::play(&session, async |window| story(window, &folder, &data).await);
}

/// A service whose name no request meets.
const LOUD: &str = "\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: loud
  namespace: default
spec:
  hosts:
  - API.example.com   # as the contract spells it
  resolution: DNS
  ports:
  - number: 80
    name: http
    protocol: HTTP
";

async fn story(window: &Window, folder: &Path, data: &Path) {
    let original = contents(folder);
    let file = |name: &str| fs::read_to_string(folder.join(name)).expect("the file is there");

    // First window: the mode, where it is written.
    let sentence = window.text("overview-sentence").await;
    assert!(!sentence.is_empty(), "the overview opens with a sentence");

    // The sandbox; ALLOW_ANY lets unknown sites pass.
    window.click("rail-sandbox").await;
    window.click("sandbox-start").await;
    window
        .element("[data-testid='sandbox-state'][data-state='running']")
        .await;
    for site in ["httpbin.org", "www.google.com"] {
        let answer = expected(window, &format!("https://{site}/headers")).await;
        assert_eq!(
            (answer.result.as_str(), answer.verdict.as_str()),
            ("200", "Passthrough"),
            "{answer:#?}"
        );
    }

    // REGISTRY_ONLY: staged, reviewed, applied; one line of one file changes.
    let policy = window.policy_in_force().await;
    window.click("rail-policy").await;
    window.click("policy-mode").await;
    window.click("mode-REGISTRY_ONLY").await;
    window.click("stage").await;
    assert_eq!(contents(folder), original, "staging writes nothing");
    window.apply(&policy).await;
    let mode_switched: Vec<_> = original
        .iter()
        .map(|(name, bytes)| {
            let text = String::from_utf8(bytes.clone()).expect("manifests are text");
            (
                name.clone(),
                text.replace("mode: ALLOW_ANY", "mode: REGISTRY_ONLY").into_bytes(),
            )
        })
        .collect();
    assert_eq!(contents(folder), mode_switched, "only the mode's value changes");
    let answer = expected(window, "https://www.google.com/headers").await;
    assert_eq!(
        (answer.result.as_str(), answer.verdict.as_str()),
        ("exit 35", "Blocked"),
        "{answer:#?}"
    );
    let answer = expected(window, "http://httpbin.org/headers").await;
    assert_eq!(
        (answer.result.as_str(), answer.verdict.as_str()),
        ("502", "Blocked"),
        "{answer:#?}"
    );

    // The log, a window of its own, names the hosts of what was blocked.
    let main = window.client.window().await.expect("the first window");
    let log = window.opens("rail-log").await;
    window.switch(&log).await;
    window.wait_for("log-row", &["Blocked", "www.google.com", ":443"]).await;
    window
        .wait_for("log-row", &["Blocked", "httpbin.org", ":80", "502"])
        .await;

    // An HTTP service by form.
    window.switch(&main).await;
    let policy = window.policy_in_force().await;
    window.click("rail-policy").await;
    window.click("policy-services").await;
    window.click("service-new").await;
    window.fill("form-hosts", "httpbin.org").await;
    window.click("form-port-add").await;
    window.fill("form-port-number", "80").await;
    let protocol = window.find("form-port-protocol").await.prop("value").await;
    assert_eq!(
        protocol.expect("the window answers").as_deref(),
        Some("HTTP"),
        "port 80 is offered as HTTP"
    );
    window.click("form-save").await;
    window.apply(&policy).await;
    let answer = expected(window, "http://httpbin.org/headers").await;
    assert_eq!(
        (answer.result.as_str(), answer.verdict.as_str()),
        ("200", "Registered"),
        "{answer:#?}"
    );
    let details = answer.details.to_lowercase();
    assert!(details.contains("x-envoy-decorator-operation"), "{answer:#?}");
    assert!(details.contains("httpbin.org:80/*"), "{answer:#?}");

    // An HTTPS service, allowed from the line that shows it blocked.
    let policy = window.policy_in_force().await;
    window.switch(&log).await;
    click_row(window, "www.google.com", "Blocked").await;
    let line = window.text("log-line").await;
    assert!(
        line.contains("BlackHoleCluster") && line.contains("198.18.0.20:443"),
        "as Envoy writes it: {line}"
    );
    window.click("log-allow").await;
    window.switch(&main).await;
    window.wait_for("draft-title", &["www.google.com"]).await;
    window.click("form-save").await;
    window.apply(&policy).await;
    let answer = expected(window, "https://www.google.com/headers").await;
    assert_eq!(
        (answer.result.as_str(), answer.verdict.as_str()),
        ("200", "Registered"),
        "{answer:#?}"
    );
    window.switch(&log).await;
    window.click("log-follow").await;
    let row = window
        .wait_for("log-row", &["Registered", "www.google.com", ":443"])
        .await;
    assert!(!row.contains("\n0 B\n"), "a tunnel's bytes are counted: {row:?}");

    // A timeout of three seconds.
    window.switch(&main).await;
    let policy = window.policy_in_force().await;
    window.click("rail-policy").await;
    window.click("policy-timeouts").await;
    window.click("timeout-new").await;
    window.fill("timeout-host", "httpbin.org").await;
    window.fill("timeout-seconds", "3").await;
    window.click("form-save").await;
    window.apply(&policy).await;
    let answer = expected(window, "http://httpbin.org/delay/5").await;
    assert_eq!(
        (answer.result.as_str(), answer.verdict.as_str()),
        ("504", "Registered"),
        "{answer:#?}"
    );
    assert!(answer.time.starts_with('3'), "after three seconds: {answer:#?}");

    // An excluded range: straight out, marked by the app, unknown to the sidecar.
    let policy = window.policy_in_force().await;
    window.click("rail-policy").await;
    window.click("policy-bypass").await;
    window.fill("ranges-exclude", "198.18.0.30/32").await;
    window.click("ranges-stage").await;
    window.apply(&policy).await;
    assert!(
        file("injector.yaml").contains("\"excludeIPRanges\": \"198.18.0.30/32\""),
        "written where the injector reads it"
    );
    let answer = expected(window, "https://edition.cnn.com/headers").await;
    assert_eq!(
        (answer.result.as_str(), answer.verdict.as_str()),
        ("200", "Bypassed"),
        "{answer:#?}"
    );
    let lines = access_log(data);
    assert!(
        lines.contains("www.google.com"),
        "the sidecar's own log has what it saw:\n{lines}"
    );
    assert!(
        !lines.contains("edition.cnn.com"),
        "and not what went past it:\n{lines}"
    );

    window.click("rail-overview").await;
    window.wait_for("overview-sentence", &[]).await;
    save_screenshot(window, "EGRET_SCREENSHOT").await;

    // Clean up: every change taken back, newest first; the folder is as it was.
    for _ in 0..5 {
        window.click("rail-changes").await;
        let before = window.texts("journal-row").await.len();
        assert_eq!(before, 5, "five change sets were applied");
        window.undo_newest().await;
    }
    assert_eq!(contents(folder), original, "the folder is byte for byte what it was");

    // A finding is mended by its own change, staged and reviewed as any other.
    let loud = folder.join("loud.yaml");
    fs::write(&loud, LOUD).expect("the folder can be written");
    window.click("rail-checks").await;
    window.wait_for("finding-row", &["EGR05", "API.example.com"]).await;
    save_screenshot(window, "EGRET_SCREENSHOT_CHECKS").await;
    window.click("fix").await;
    window.wait_for("fix-staged", &[]).await;
    assert_eq!(file("loud.yaml"), LOUD, "staging writes nothing");
    let policy = window.policy_in_force().await;
    window.apply(&policy).await;
    assert_eq!(file("loud.yaml"), LOUD.replace("API", "api"));
    fs::remove_file(&loud).expect("it is there");

    // The folder is decided as an older release, and as its own again.
    window.click("rail-policy").await;
    window.click("policy-mode").await;
    for (choice, told) in [
        ("1.24", "as Istio 1.24. Found was 1.32"),
        ("", "Found: nothing says which"),
    ] {
        let select = window.find("release-choice").await;
        select.select_by_value(choice).await.expect("it can be chosen");
        window.wait_for("release", &[told]).await;
        save_screenshot(window, "EGRET_SCREENSHOT_RELEASE").await;
    }
    assert_eq!(
        contents(folder),
        original,
        "a choice of the window is not written into the folder"
    );
    window.click("rail-sandbox").await;
    window.click("sandbox-stop").await;
    window
        .element("[data-testid='sandbox-state'][data-state='stopped']")
        .await;
}

/// Sends a request that comes out as the engine expects.
async fn expected(window: &Window, url: &str) -> Answer {
    let answer = window.request(url).await;
    assert_eq!(answer.findings, [""; 0], "{answer:#?}");
    assert!(answer.expected.starts_with(&answer.verdict), "{answer:#?}");
    answer
}

/// Clicks the row of the log that has both words.
async fn click_row(window: &Window, host: &str, verdict: &str) {
    window.wait_for("log-row", &[host, verdict]).await;
    let rows = window
        .client
        .find_all(fantoccini::Locator::Css("[data-testid='log-row']"))
        .await;
    for row in rows.expect("the window answers") {
        let text = row.prop("innerText").await.ok().flatten().unwrap_or_default();
        if text.contains(host) && text.contains(verdict) {
            return row.click().await.expect("a row can be chosen");
        }
    }
    panic!("the row of {host} went away");
}

/// What the sidecar wrote about everything it saw.
fn access_log(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            text += &access_log(&path);
        } else if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().contains("access"))
        {
            text += &fs::read_to_string(&path).unwrap_or_default();
        }
    }
    text
}

/// Keeps a picture where the variable says so.
async fn save_screenshot(window: &Window, variable: &str) {
    if let Some(path) = std::env::var_os(variable) {
        let picture = window.client.screenshot().await.expect("the window can be pictured");
        fs::write(path, picture).expect("the picture can be written");
    }
}
