//! The windows: main windows, each with a source of its own, and as many logs of each as wanted. A main window is called
//! `main-1`, its logs `log-1:main-1` and so on.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tauri::{AppHandle, EventTarget, Manager as _, Runtime, WebviewUrl, WebviewWindow, WebviewWindowBuilder};

use crate::{
    app::{App, Opened},
    desk::Desk,
    dto::SourceState,
    fault::{Fault, Result},
};

/// Number of the next log window; a label is never used twice, so that a closing window and a new one do not meet.
static NEXT_LOG: AtomicU32 = AtomicU32::new(1);

/// The main window that the window with this label belongs to: itself, or the one whose log it is.
pub fn main_of(label: &str) -> &str {
    label.rsplit(':').next().unwrap_or(label)
}

/// True for what listens in the main window `main` or in one of its logs.
pub fn listens_in(main: &str, target: &EventTarget) -> bool {
    matches!(target, EventTarget::WebviewWindow { label } if main_of(label) == main)
}

/// Opens the main window of `app`.
pub fn open_main<R: Runtime>(handle: &AppHandle<R>, app: &App) -> tauri::Result<()> {
    let source = app.view().state().name;
    WebviewWindowBuilder::new(handle, &app.window, WebviewUrl::App("index.html".into()))
        .title(format!("{source} · Overview · Egret"))
        .inner_size(1280.0, 820.0)
        .min_inner_size(1024.0, 700.0)
        .on_document_title_changed(follow_title)
        .build()?;
    Ok(())
}

/// Opens another log window of `app`.
pub fn open_log<R: Runtime>(handle: &AppHandle<R>, app: &App) -> Result<()> {
    let (source, number) = (app.view().state().name, NEXT_LOG.fetch_add(1, Ordering::Relaxed));
    WebviewWindowBuilder::new(
        handle,
        format!("log-{number}:{}", app.window),
        WebviewUrl::App("index.html#/log".into()),
    )
    .title(format!("{source} · Live Log · Egret"))
    .inner_size(1180.0, 720.0)
    .min_inner_size(720.0, 420.0)
    .on_document_title_changed(follow_title)
    .build()?;
    Ok(())
}

/// Shows what was opened: the source in the window that asked, else another window in front.
pub fn show<R: Runtime>(handle: &AppHandle<R>, desk: &Arc<Desk>, opened: Opened) -> Result<Option<SourceState>> {
    match opened {
        Opened::Here(state) => return Ok(Some(*state)),
        Opened::Elsewhere(window) => focus(handle, &window)?,
        Opened::New(app) => {
            if let Err(error) = open_main(handle, &app) {
                desk.close(&app.window);
                return Err(error.into());
            }
        }
    }
    Ok(None)
}

/// A window has closed: with a main window its logs go, and with the last one the app.
pub fn closed<R: Runtime>(handle: &AppHandle<R>, label: &str) {
    if main_of(label) != label {
        return;
    }
    for (log, window) in handle.webview_windows() {
        if main_of(&log) == label {
            // One that closes by itself meanwhile needs no closing.
            let _ = window.destroy();
        }
    }
    if handle.state::<Arc<Desk>>().close(label) {
        handle.exit(0);
    }
}

/// The page knows what it shows; the window is called after it.
fn follow_title<R: Runtime>(window: WebviewWindow<R>, title: String) {
    // A window that closes needs no title.
    let _ = window.set_title(&title);
}

/// Brings a window to the front.
pub fn focus<R: Runtime>(handle: &AppHandle<R>, label: &str) -> Result<()> {
    let window = handle
        .get_webview_window(label)
        .ok_or_else(|| Fault::new("window", "Another window is about to open it.").hint("Try again in a moment."))?;
    window.unminimize()?;
    window.show()?;
    Ok(window.set_focus()?)
}

impl From<tauri::Error> for Fault {
    fn from(error: tauri::Error) -> Self {
        Self::new("window", error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_belongs_to_its_main_window_and_hears_what_that_one_hears() {
        assert_eq!(main_of("main-12"), "main-12");
        assert_eq!(main_of("log-3:main-1"), "main-1");
        let target = |label: &str| EventTarget::webview_window(label);
        assert!(listens_in("main-1", &target("main-1")));
        assert!(listens_in("main-1", &target("log-3:main-1")));
        assert!(!listens_in("main-1", &target("main-12")));
        assert!(!listens_in("main-1", &target("log-1:main-12")));
        assert!(!listens_in("main-1", &EventTarget::any()));
    }
}
