//! What a person does in a window: look, click, type. Elements go by their test id; every wait ends.

use std::time::Duration;

use fantoccini::{
    Client, ClientBuilder, Locator,
    elements::Element,
    wd::{Capabilities, WindowHandle},
};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

/// How long anything on the screen may take to appear.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the first window may take, on a machine that is busy building.
const START: Duration = Duration::from_secs(60);

/// The app under the driver; commands go to the window that was switched to last.
pub struct Window {
    pub client: Client,
}

/// What the test console says about one request.
#[derive(Debug)]
pub struct Answer {
    pub verdict: String,
    pub result: String,
    pub time: String,
    pub details: String,
    /// What the engine expected, and where it came out otherwise.
    pub expected: String,
    pub findings: Vec<String>,
}

/// Brings an element to where its column shows it.
const TO_SIGHT: &str = "arguments[0].scrollIntoView({block: 'center'})";

impl Window {
    /// Starts the app.
    pub async fn open(driver: &str, app: &std::path::Path) -> Self {
        let mut capabilities = Capabilities::new();
        capabilities.insert("browserName".into(), json!("wry"));
        capabilities.insert("tauri:options".into(), json!({ "application": app }));
        let mut builder = ClientBuilder::native();
        let connecting = builder.capabilities(capabilities).connect(driver);
        let client = timeout(START, connecting)
            .await
            .expect("the app opens a window in time");
        Self {
            client: client.expect("the driver starts the app"),
        }
    }

    /// The element, once it is there.
    pub async fn element(&self, selector: &str) -> Element {
        let wait = self.client.wait().at_most(PATIENCE);
        let found = wait.for_element(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("{selector} does not appear: {error}"))
    }

    /// The element with this test id.
    pub async fn find(&self, id: &str) -> Element {
        self.element(&format!("[data-testid='{id}']")).await
    }

    /// Clicks what has this test id, once it can be clicked.
    pub async fn click(&self, id: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let element = self.find(id).await;
            let ready = element.is_enabled().await.unwrap_or(false);
            match if ready {
                element.click().await.map_err(|error| error.to_string())
            } else {
                Err("disabled".into())
            } {
                Ok(()) => return,
                Err(error) => assert!(Instant::now() < deadline, "{id} cannot be clicked: {error}"),
            }
            // The driver looks whether the window has room for it, not whether the column that scrolls has.
            if let Ok(element) = serde_json::to_value(&element) {
                let _ = self.client.execute(TO_SIGHT, vec![element]).await;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Replaces the text of an input.
    pub async fn fill(&self, id: &str, text: &str) {
        let input = self.find(id).await;
        input
            .clear()
            .await
            .unwrap_or_else(|error| panic!("{id} cannot be emptied: {error}"));
        input
            .send_keys(text)
            .await
            .unwrap_or_else(|error| panic!("{id} takes no text: {error}"));
        let value = input.prop("value").await.expect("an input has a value");
        assert_eq!(value.as_deref(), Some(text), "{id} holds what was typed");
    }

    /// The text with this test id.
    pub async fn text(&self, id: &str) -> String {
        let text = self.find(id).await.prop("innerText").await;
        text.expect("the window answers").expect("an element has a text")
    }

    /// The texts of all elements with this test id, also what an ellipsis hides.
    pub async fn texts(&self, id: &str) -> Vec<String> {
        let found = self
            .client
            .find_all(Locator::Css(&format!("[data-testid='{id}']")))
            .await;
        let mut texts = Vec::new();
        for element in found.expect("the window answers") {
            // A row that is redrawn meanwhile is found by the next look.
            if let Ok(Some(text)) = element.prop("innerText").await {
                texts.push(text);
            }
        }
        texts
    }

    /// Waits for an element with this test id whose text has all of `words`, and returns the text.
    pub async fn wait_for(&self, id: &str, words: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let texts = self.texts(id).await;
            if let Some(text) = texts.iter().find(|text| words.iter().all(|word| text.contains(word))) {
                return text.clone();
            }
            assert!(Instant::now() < deadline, "no {id} with {words:?} among {texts:#?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until nothing there is like this.
    pub async fn gone(&self, selector: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.client.find_all(Locator::Css(selector)).await;
            if found.expect("the window answers").is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{selector} stays");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends one request from the sandbox and waits for what came of it.
    pub async fn request(&self, url: &str) -> Answer {
        self.click("rail-sandbox").await;
        let before = self.texts("console-row").await.len();
        self.fill("console-url", url).await;
        self.click("console-send").await;
        let deadline = Instant::now() + PATIENCE;
        while self.texts("console-result").await.len() <= before {
            assert!(Instant::now() < deadline, "no result for {url}");
            sleep(Duration::from_millis(50)).await;
        }
        let details = self.text("console-details").await;
        assert!(details.contains(url), "the details are those of {url}: {details}");
        let last = |mut texts: Vec<String>| texts.pop().unwrap_or_default();
        Answer {
            verdict: last(self.texts("console-verdict").await),
            result: last(self.texts("console-result").await),
            time: last(self.texts("console-time").await),
            details,
            expected: self.text("console-expected").await,
            findings: self.texts("console-finding").await,
        }
    }

    /// The policy that the running sidecar enforces.
    pub async fn policy_in_force(&self) -> String {
        self.click("rail-sandbox").await;
        self.text("sandbox-policy").await
    }

    /// Reviews and applies the change set; returns once the sidecar enforces another policy than `before`.
    pub async fn apply(&self, before: &str) {
        self.click("review-open").await;
        self.find("impact-sentence").await;
        self.click("apply").await;
        self.find("journal-row").await;
        let deadline = Instant::now() + PATIENCE;
        while self.policy_in_force().await == before {
            assert!(Instant::now() < deadline, "the sidecar stays with policy {before}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Takes back the newest change that still stands; the screen is Changes.
    pub async fn undo_newest(&self) {
        let undone = || async {
            let marks = self
                .client
                .find_all(Locator::Css("[data-testid='journal-row'].undone"))
                .await;
            marks.expect("the window answers").len()
        };
        let before = undone().await;
        // What is only noted, as a restart, is not taken back.
        let standing = self
            .element("[data-testid='journal-row']:not(.undone):not(.noted)")
            .await;
        standing.click().await.expect("a row can be chosen");
        self.click("undo-entry").await;
        let deadline = Instant::now() + PATIENCE;
        while undone().await <= before {
            assert!(Instant::now() < deadline, "the change is not marked as undone");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Clicks `id`, which opens another window, and returns its handle.
    pub async fn opens(&self, id: &str) -> WindowHandle {
        let before = self.client.windows().await.expect("the driver lists windows");
        self.click(id).await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.client.windows().await.expect("the driver lists windows");
            if let Some(new) = now.into_iter().find(|handle| !before.contains(handle)) {
                return new;
            }
            assert!(Instant::now() < deadline, "{id} opens no window");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Turns to another window.
    pub async fn switch(&self, handle: &WindowHandle) {
        self.client
            .switch_to_window(handle.clone())
            .await
            .expect("the window is open");
    }
}
