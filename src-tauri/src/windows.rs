//! The windows: one main window, and as many logs as wanted.

use std::sync::atomic::{AtomicU32, Ordering};

use tauri::{AppHandle, Manager as _, Runtime, WebviewUrl, WebviewWindow, WebviewWindowBuilder};

use crate::fault::{Fault, Result};

/// Label of the main window.
pub const MAIN: &str = "main";

/// Number of the next log window; a label is never used twice, so that a closing window and a new one do not meet.
static NEXT_LOG: AtomicU32 = AtomicU32::new(1);

/// Opens the main window.
pub fn open_main<R: Runtime>(handle: &AppHandle<R>, source: &str) -> tauri::Result<()> {
    WebviewWindowBuilder::new(handle, MAIN, WebviewUrl::App("index.html".into()))
        .title(format!("{source} · Overview · Egret"))
        .inner_size(1280.0, 820.0)
        .min_inner_size(1024.0, 700.0)
        .on_document_title_changed(follow_title)
        .build()?;
    Ok(())
}

/// Opens another log window.
pub fn open_log<R: Runtime>(handle: &AppHandle<R>) -> Result<()> {
    let number = NEXT_LOG.fetch_add(1, Ordering::Relaxed);
    WebviewWindowBuilder::new(
        handle,
        format!("log-{number}"),
        WebviewUrl::App("index.html#/log".into()),
    )
    .title(if number == 1 {
        "Live log · Egret".to_string()
    } else {
        format!("Live log {number} · Egret")
    })
    .inner_size(1180.0, 720.0)
    .min_inner_size(720.0, 420.0)
    .build()?;
    Ok(())
}

/// The page knows what it shows; the window is called after it.
fn follow_title<R: Runtime>(window: WebviewWindow<R>, title: String) {
    // A window that closes needs no title.
    let _ = window.set_title(&title);
}

/// Brings the main window to the front.
pub fn focus_main<R: Runtime>(handle: &AppHandle<R>) -> Result<()> {
    let window = handle
        .get_webview_window(MAIN)
        .ok_or_else(|| Fault::new("window", "The main window is closed."))?;
    window.unminimize()?;
    window.show()?;
    Ok(window.set_focus()?)
}

impl From<tauri::Error> for Fault {
    fn from(error: tauri::Error) -> Self {
        Self::new("window", error.to_string())
    }
}
