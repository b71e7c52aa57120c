//! The clusters of the source menu: kubeconfigs, contexts, connecting.

use tauri::{AppHandle, Runtime, WebviewWindow};
use tauri_plugin_dialog::DialogExt as _;

use super::{Parts, open, patiently};
use crate::{
    app::Source,
    cluster::Feature,
    dto::{Connecting, ContextFacts, InWindow, KubeconfigRow, PluginRow, SourceState},
    fault::{Fault, Result},
};

/// Longest name of anything, in bytes.
const MAX_NAME: usize = 4096;

fn checked(names: &[&str]) -> Result<()> {
    match names.iter().all(|name| !name.is_empty() && name.len() <= MAX_NAME) {
        true => Ok(()),
        false => Err(Fault::input("A kubeconfig and a context are expected.")),
    }
}

#[tauri::command]
pub async fn list_kubeconfigs(app: Parts<'_>) -> Result<Vec<KubeconfigRow>> {
    patiently(&app, |app| Ok(app.kubeconfigs())).await
}

#[tauri::command]
pub async fn pick_kubeconfig<R: Runtime>(app: Parts<'_>, asking: WebviewWindow<R>) -> Result<Vec<KubeconfigRow>> {
    let dialog = asking.dialog().file().set_parent(&asking);
    let dialog = dialog.set_title("Open a kubeconfig file");
    patiently(&app, move |app| {
        if let Some(file) = dialog.blocking_pick_file() {
            let file = file.into_path().map_err(|error| Fault::input(error.to_string()))?;
            app.shared.kubeconfigs.add(&file)?;
        }
        Ok(app.kubeconfigs())
    })
    .await
}

#[tauri::command]
pub async fn forget_kubeconfig(app: Parts<'_>, file: String) -> Result<Vec<KubeconfigRow>> {
    checked(&[&file])?;
    patiently(&app, move |app| {
        app.shared.kubeconfigs.forget(&file)?;
        Ok(app.kubeconfigs())
    })
    .await
}

#[tauri::command]
pub async fn name_namespaces(
    app: Parts<'_>,
    file: String,
    name: String,
    namespaces: Vec<String>,
) -> Result<Vec<KubeconfigRow>> {
    checked(&[&file, &name])?;
    patiently(&app, move |app| {
        app.name_namespaces(&file, &name, namespaces)?;
        Ok(app.kubeconfigs())
    })
    .await
}

#[tauri::command(async)]
pub fn plugin_to_allow(app: Parts<'_>, file: String, name: String) -> Result<Option<PluginRow>> {
    checked(&[&file, &name])?;
    app.plugin(&file, &name)
}

#[tauri::command(async)]
pub fn allow_plugin(app: Parts<'_>, file: String, name: String, command: String) -> Result<()> {
    checked(&[&file, &name])?;
    app.shared.kubeconfigs.allow(&file, &name, &command)
}

#[tauri::command]
pub async fn open_context<R: Runtime>(
    app: Parts<'_>,
    handle: AppHandle<R>,
    file: String,
    name: String,
    window: InWindow,
) -> Result<Option<SourceState>> {
    checked(&[&file, &name])?;
    open(&app, handle, Source::Context { file, name }, window).await
}

#[tauri::command(async)]
pub fn connecting(app: Parts<'_>) -> Option<Connecting> {
    app.connecting()
}

#[tauri::command(async)]
pub fn cancel_connecting(app: Parts<'_>) {
    app.cancel_connecting();
}

#[tauri::command]
pub async fn context_facts(app: Parts<'_>, file: String, name: String) -> Result<ContextFacts> {
    checked(&[&file, &name])?;
    patiently(&app, move |app| app.context_facts(&file, &name)).await
}

#[tauri::command(async)]
pub fn role_for(app: Parts<'_>, feature: Feature, namespace: Option<String>) -> Result<String> {
    if let Some(namespace) = &namespace {
        checked(&[namespace])?;
    }
    app.role(feature, namespace.as_deref())
}

#[tauri::command(async)]
pub fn set_editing(app: Parts<'_>, on: bool) -> Result<SourceState> {
    app.set_editing(on)
}
