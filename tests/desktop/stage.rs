//! One story in one window, with what is needed to understand it when it goes wrong.

use std::{fs, panic::AssertUnwindSafe, path::Path, time::Duration};

use futures_util::FutureExt as _;
use tokio::time::timeout;

use crate::{
    session::{Session, built},
    window::Window,
};

/// Longest that a story may take; each takes about a minute.
const STORY: Duration = Duration::from_secs(300);

/// Opens the app's window and plays the story in it. A failed one leaves a picture and the app's log.
pub fn play(session: &Session, story: impl AsyncFnOnce(&Window)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let outcome = runtime.block_on(async {
        let window = Window::open(&session.driver, &built("egret")).await;
        // A failed check still leaves a picture and the app's log.
        let outcome = AssertUnwindSafe(timeout(STORY, story(&window))).catch_unwind().await;
        if !matches!(outcome, Ok(Ok(()))) {
            keep_evidence(&window.client, &session.log).await;
        }
        let _ = timeout(Duration::from_secs(10), window.client.clone().close()).await;
        outcome
    });
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(_)) => panic!("the story takes longer than {STORY:?}"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// A picture and the app's log beside the built app, named in the test's output.
async fn keep_evidence(client: &fantoccini::Client, log: &Path) {
    let folder = built("egret").with_file_name("desktop-test");
    let _ = fs::create_dir_all(&folder);
    if let Ok(picture) = client.screenshot().await {
        let _ = fs::write(folder.join("failed.png"), picture);
    }
    let _ = fs::copy(log, folder.join("app.log"));
    eprintln!(
        "see {}; the app's log:\n{}",
        folder.display(),
        fs::read_to_string(log).unwrap_or_default()
    );
}
