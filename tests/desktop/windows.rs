//! Two sources beside each other, each in a window of its own: what is done in one is neither seen nor heard in the other.

use std::{fs, path::Path, time::Duration};

use fantoccini::wd::WindowHandle;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    session::{Session, contents, copy_of_playground},
    stage,
    window::Window,
};

/// How long a window may take to open or to close.
const PATIENCE: Duration = Duration::from_secs(15);

#[test]
fn two_folders_in_two_windows_know_nothing_of_each_other() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let [production, staging, data] = ["production", "staging", "data"].map(|name| scratch.path().join(name));
    copy_of_playground(&production);
    copy_of_playground(&staging);
    let session = Session::start(
        scratch.path(),
        &[
            ("EGRET_FOLDER", &production),
            ("EGRET_DATA", &data),
            ("XDG_DATA_HOME", &data),
            ("XDG_CACHE_HOME", &data),
            ("XDG_CONFIG_HOME", &data),
        ],
    );
    stage::play(&session, async |window| story(window, &staging, &data).await);
}

async fn story(window: &Window, staging: &Path, data: &Path) {
    let original = contents(staging);
    let first = window.client.window().await.expect("the first window");
    window.wait_for("source-menu", &["production"]).await;
    listen(window).await;

    // The menu says where it opens, by key too; the folder's own dialog is the system's, so that the page's call stands
    // for it.
    let keys = "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'N', ctrlKey: true, shiftKey: true, bubbles: true}))";
    window.client.execute(keys, Vec::new()).await.expect("a key is pressed");
    window.element("[data-testid='new-window'] input:checked").await;
    window.click("source-menu").await;
    let second = opens(window, staging).await;
    window.switch(&second).await;
    window.wait_for("source-menu", &["staging"]).await;
    titled(window, "staging · Overview · Egret").await;

    // Staged and applied in the second, with a log and a sandbox of its own.
    sandbox(window).await;
    answers(window, "200", "Passthrough").await;
    stage_mode(window).await;
    let log = window.opens("rail-log").await;
    window.switch(&log).await;
    window.wait_for("log-row", &["Passthrough", "www.google.com"]).await;
    titled(window, "staging · Live Log · Egret").await;
    window.switch(&second).await;
    let policy = window.policy_in_force().await;
    window.apply(&policy).await;
    assert_ne!(contents(staging), original);

    // The first has none of it.
    window.switch(&first).await;
    window.wait_for("status-bar", &["of 0 flows kept"]).await;
    assert_eq!(window.texts("review-open").await, [""; 0]);
    window.click("rail-changes").await;
    assert_eq!(window.texts("journal-row").await, [""; 0]);
    assert_eq!(heard(window).await, json!([]));
    // Both sandboxes run at once, each with a policy of its own.
    sandbox(window).await;
    answers(window, "200", "Passthrough").await;
    stage_mode(window).await;
    let own = heard(window).await;
    for event in ["staged-changed", "sandbox-changed", "flows-added"] {
        assert!(
            own.as_array().is_some_and(|own| own.contains(&json!(event))),
            "of its own it does hear: {own}"
        );
    }
    window.switch(&second).await;
    answers(window, "exit 35", "Blocked").await;

    // The folder of the second is not opened again: that window comes to the front.
    window.switch(&first).await;
    let before = window.client.windows().await.expect("the driver lists windows");
    for place in ["this", "new"] {
        invoke(window, "show_main", json!({ "screen": "overview" })).await;
        in_front(window).await;
        assert_eq!(open(window, staging, place).await, Value::Null);
        window.switch(&second).await;
        in_front(window).await;
        window.switch(&first).await;
    }
    window.wait_for("source-menu", &["production"]).await;
    assert_eq!(window.client.windows().await.expect("the driver lists windows"), before);

    // Closed, the second takes its log and its sandbox along, and the first goes on.
    assert!(logs_of_sidecars(data) == 2, "each sandbox has an access log of its own");
    window.switch(&second).await;
    close(window).await;
    remain(window, &[&first]).await;
    window.switch(&first).await;
    eventually("the sandbox of the second ends", || logs_of_sidecars(data) == 1).await;
    window.wait_for("review-open", &["1 edit"]).await;
    answers(window, "200", "Passthrough").await;

    // Its folder is free, and its journal was kept.
    let third = opens(window, staging).await;
    window.switch(&third).await;
    window.click("rail-changes").await;
    window.undo_newest().await;
    assert_eq!(contents(staging), original);

    // The app ends with its last window.
    close(window).await;
    remain(window, &[&first]).await;
    assert!(is_running(data));
    window.switch(&first).await;
    close(window).await;
    eventually("the app ends", || !is_running(data)).await;
    assert_eq!(logs_of_sidecars(data), 0, "and leaves no sandbox");
}

/// Listens as the page does, for what another window's edits would tell.
async fn listen(window: &Window) {
    let script = "
        const [done] = arguments;
        const own = window.__TAURI_INTERNALS__;
        window.heard = [];
        const target = { kind: 'WebviewWindow', label: own.metadata.currentWindow.label };
        const events = ['staged-changed', 'sandbox-changed', 'flows-added'];
        Promise.all(events.map((event) => {
            const handler = own.transformCallback(() => window.heard.push(event));
            return own.invoke('plugin:event|listen', { event, target, handler });
        })).then(() => done('listening'), (error) => done(String(error)));";
    let answer = window.client.execute_async(script, Vec::new()).await;
    assert_eq!(answer.expect("the page answers"), json!("listening"));
}

/// What was heard so far.
async fn heard(window: &Window) -> Value {
    let heard = window.client.execute("return window.heard", Vec::new()).await;
    heard.expect("the page answers")
}

/// Calls a command as the page does.
async fn invoke(window: &Window, command: &str, arguments: Value) -> Value {
    let script = "
        const [command, given, done] = arguments;
        window.__TAURI_INTERNALS__.invoke(command, given).then(done, (fault) => done(fault.message));";
    let arguments = vec![json!(command), arguments];
    let answer = window.client.execute_async(script, arguments).await;
    answer.expect("the page answers")
}

/// Opens a folder in `place`; nothing comes back where another window shows it.
async fn open(window: &Window, folder: &Path, place: &str) -> Value {
    invoke(window, "open_folder", json!({ "path": folder, "window": place })).await
}

/// Waits until the window has the keyboard.
async fn in_front(window: &Window) {
    let deadline = Instant::now() + PATIENCE;
    let has_focus = || window.client.execute("return document.hasFocus()", Vec::new());
    while has_focus().await.expect("the page answers") != json!(true) {
        assert!(Instant::now() < deadline, "it does not come to the front");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Sends the request that a mode decides on.
async fn answers(window: &Window, result: &str, verdict: &str) {
    let answer = window.request("https://www.google.com/headers").await;
    let came = (answer.result.as_str(), answer.verdict.as_str());
    assert_eq!(came, (result, verdict), "{answer:#?}");
}

/// Opens a folder in a new window and gives its handle.
async fn opens(window: &Window, folder: &Path) -> WindowHandle {
    let before = window.client.windows().await.expect("the driver lists windows");
    assert_eq!(open(window, folder, "new").await, Value::Null);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = window.client.windows().await.expect("the driver lists windows");
        if let Some(new) = now.into_iter().find(|handle| !before.contains(handle)) {
            return new;
        }
        assert!(Instant::now() < deadline, "no window opens");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Closes the window as its own button does.
async fn close(window: &Window) {
    let script = "
        const own = window.__TAURI_INTERNALS__;
        own.invoke('plugin:window|close', { label: own.metadata.currentWindow.label });";
    // The window may be gone before it answers.
    let _ = window.client.execute(script, Vec::new()).await;
}

/// Waits until these windows are all.
async fn remain(window: &Window, wanted: &[&WindowHandle]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = window.client.windows().await.expect("the driver lists windows");
        if now.iter().collect::<Vec<_>>() == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{now:?} remain");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn titled(window: &Window, title: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = window.client.title().await.expect("a window has a title");
        if now == title {
            return;
        }
        assert!(Instant::now() < deadline, "it is called {now}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn sandbox(window: &Window) {
    window.click("rail-sandbox").await;
    window.click("sandbox-start").await;
    window
        .element("[data-testid='sandbox-state'][data-state='running']")
        .await;
}

async fn stage_mode(window: &Window) {
    window.click("rail-policy").await;
    window.click("policy-mode").await;
    window.click("mode-REGISTRY_ONLY").await;
    window.click("stage").await;
    window.wait_for("review-open", &["1 edit"]).await;
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Access logs of running sandboxes.
fn logs_of_sidecars(data: &Path) -> usize {
    let entries = fs::read_dir(data).expect("the app keeps its data").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("access-")).count()
}

/// True while an app runs that keeps its data there.
fn is_running(data: &Path) -> bool {
    let wanted = format!("EGRET_DATA={}", data.display());
    let processes = fs::read_dir("/proc").expect("processes are listed").flatten();
    let mut apps = processes.filter(|process| {
        let program = fs::read_link(process.path().join("exe"));
        program.is_ok_and(|program| program.file_name().is_some_and(|name| name == "egret"))
    });
    apps.any(|process| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
    })
}
