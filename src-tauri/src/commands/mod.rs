//! The windows' only door, one file a screen. A command parses, calls, and returns plain data; it decides nothing.
//! All of them run off the main thread.

mod changes;
mod connect;
mod deploy;
mod flows;
mod pods;
mod policy;
mod probe;
mod sandbox;
mod source;
mod watch;
mod windows;

use std::{ops::Deref, sync::Arc};

use tauri::{
    AppHandle, Runtime, State,
    ipc::{CommandArg, CommandItem, Invoke, InvokeError},
};

use crate::{
    app::{App, Source},
    desk::Desk,
    dto::{InWindow, SourceState},
    fault::{Fault, Result},
};

/// Runs what waits for a process, the network or a person where it keeps no other command waiting.
async fn patiently<T: Send + 'static>(
    app: &Parts<'_>,
    work: impl FnOnce(&App) -> Result<T> + Send + 'static,
) -> Result<T> {
    let app = app.app.clone();
    let done = tauri::async_runtime::spawn_blocking(move || work(&app)).await;
    done.unwrap_or_else(|error| {
        Err(Fault::new(
            "internal",
            format!("The app failed in this command: {error}"),
        ))
    })
}

/// Opens a source in the window that asks or in a new one. `None` where it is another window that shows it, in front.
async fn open<R: Runtime>(
    app: &Parts<'_>,
    handle: AppHandle<R>,
    source: Source,
    window: InWindow,
) -> Result<Option<SourceState>> {
    let desk = app.desk.inner().clone();
    patiently(app, move |app| {
        let opened = desk.turn(app, &source, window)?;
        crate::windows::show(&handle, &desk, opened)
    })
    .await
}

/// The parts of the window that calls, or whose log calls.
pub struct Parts<'a> {
    app: Arc<App>,
    desk: State<'a, Arc<Desk>>,
}

impl Deref for Parts<'_> {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl<'a, 'de: 'a, R: Runtime> CommandArg<'de, R> for Parts<'a> {
    fn from_command(command: CommandItem<'de, R>) -> Result<Self, InvokeError> {
        let label = command.message.webview_ref().label();
        let main = crate::windows::main_of(label).to_string();
        let desk = State::<Arc<Desk>>::from_command(command)?;
        let app = desk.app(&main).map_err(InvokeError::from)?;
        Ok(Self { app, desk })
    }
}

/// All commands.
pub fn handler<R: Runtime>() -> impl Fn(Invoke<R>) -> bool + Send + Sync + 'static {
    tauri::generate_handler![
        source::source_state,
        source::open_folder,
        source::pick_folder,
        connect::list_kubeconfigs,
        connect::pick_kubeconfig,
        connect::forget_kubeconfig,
        connect::name_namespaces,
        connect::plugin_to_allow,
        connect::allow_plugin,
        connect::open_context,
        connect::connecting,
        connect::cancel_connecting,
        connect::context_facts,
        connect::role_for,
        connect::set_editing,
        source::overview,
        source::decide_for,
        policy::policy_view,
        policy::registry,
        policy::gateways,
        policy::object_text,
        policy::draft_open,
        policy::draft_new,
        policy::draft_from_service,
        policy::draft_from_timeout,
        policy::draft_from_yaml,
        changes::stage,
        changes::unstage,
        changes::staged,
        changes::discard_all,
        changes::review,
        changes::preview,
        changes::apply,
        changes::unconfirmed,
        changes::keep_change,
        changes::sync_state,
        changes::resolve_conflict,
        changes::journal,
        changes::undo,
        changes::settle_change,
        changes::leftovers,
        changes::stage_cleanup,
        changes::stage_fixes,
        pods::pods,
        pods::own_ranges,
        pods::restart_workloads,
        pods::pause_restart,
        pods::stop_restart,
        sandbox::sandbox_state,
        sandbox::sandbox_start,
        sandbox::sandbox_stop,
        sandbox::workloads,
        sandbox::send_request,
        sandbox::comparison,
        sandbox::pin_policy,
        sandbox::unpin_policy,
        sandbox::compare_with,
        sandbox::stop_comparing,
        sandbox::compared,
        sandbox::run_command,
        sandbox::stop_command,
        flows::destinations,
        flows::log_page,
        flows::log_details,
        flows::why,
        flows::clear_log,
        watch::log_source,
        watch::follow_workloads,
        watch::stage_access_log,
        windows::open_log_window,
        windows::allow_from_log,
        windows::show_main,
        probe::probe_ways,
        probe::probe_image,
        probe::probe_container,
        probe::probe_deploy,
        probe::probe_remove,
        probe::probe_cancel,
        probe::probes,
        deploy::deploy_image,
        deploy::deliver,
        deploy::deliver_cancel,
        deploy::deliver_state,
        deploy::deploy_checks,
        deploy::deploy_start,
        deploy::deploy_cancel,
        deploy::deploy_stop,
        deploy::deploy_state,
        deploy::deploy_staged,
        deploy::deploy_left,
        deploy::deploy_remove,
    ]
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// A change set is locked while it is written, reviewed or taken back, which a silent network draws out.
    #[test]
    fn a_command_that_may_wait_for_the_change_set_keeps_no_other_waiting() {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands");
        let mut asking = 0;
        for entry in fs::read_dir(own).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let (commands, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
            for command in commands.split("#[tauri::command").skip(1) {
                if command.contains("app.changes") {
                    asking += 1;
                    assert!(command.contains("patiently("), "{command}");
                }
            }
        }
        assert!(asking > 10, "{asking}");
    }
}
