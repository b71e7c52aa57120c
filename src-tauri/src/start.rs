//! From the command line to the first window.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode},
    sync::Arc,
};

use tauri::{AppHandle, Emitter as _, EventTarget, Manager as _, RunEvent};
use tauri_plugin_dialog::{DialogExt as _, MessageDialogKind};

use crate::{
    commands,
    desk::{Desk, Places},
    events::Event,
    fault::Fault,
    headless,
    sidecar::find_proxy,
    windows,
};

/// Set once the app has started itself again with a locale that the web view can use.
const LOCALE_SET: &str = "EGRET_LOCALE_SET";

/// Runs the app until its last window is closed.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == "mirror") {
        return headless::mirror(words);
    }
    let folder = match arguments() {
        Ok(folder) => folder,
        Err(code) => return code,
    };
    if !has_display() {
        return without_display();
    }
    set_locale();
    match run(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("egret: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: Option<PathBuf>) -> Result<(), Box<dyn std::error::Error>> {
    let app = tauri::Builder::default()
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_opener::init())
        .plugin(tauri_plugin_clipboard_manager::init())
        .invoke_handler(commands::handler())
        .setup(|setup| {
            let handle = setup.handle().clone();
            let tell = move |window: &str, event: Event| {
                let own = |target: &EventTarget| windows::listens_in(window, target);
                // A window that closes while it is told something needs no report.
                let _ = handle.emit_filter(event.name(), event.payload(), own);
            };
            let data = match std::env::var_os("EGRET_DATA") {
                Some(data) => data.into(),
                None => setup.path().app_data_dir()?,
            };
            let places = Places {
                folder,
                resources: setup.path().resource_dir().ok(),
                data,
            };
            let (desk, first) = match Desk::open(places, tell) {
                Ok(opened) => opened,
                Err(fault) => {
                    say(setup.handle(), &fault);
                    return Ok(());
                }
            };
            setup.manage(desk);
            windows::open_main(setup.handle(), &first)?;
            Ok(())
        })
        .build(tauri::generate_context!())?;
    app.run(|handle, event| match event {
        RunEvent::WindowEvent {
            label,
            event: tauri::WindowEvent::Destroyed,
            ..
        } => windows::closed(handle, &label),
        RunEvent::Exit => {
            // There is none where the start failed.
            if let Some(desk) = handle.try_state::<Arc<Desk>>() {
                desk.end();
            }
        }
        _ => {}
    });
    Ok(())
}

/// Says why the app cannot start, and ends it then. Who started it from a menu sees no terminal.
fn say(handle: &AppHandle, fault: &Fault) {
    eprintln!("egret: {}", fault.told());
    let own = handle.clone();
    let dialog = handle.dialog().message(fault.told()).title("Egret");
    dialog.kind(MessageDialogKind::Error).show(move |_| own.exit(1));
}

/// The folder to open: the one argument, or `EGRET_FOLDER`.
fn arguments() -> Result<Option<PathBuf>, ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [] => Ok(std::env::var_os("EGRET_FOLDER").map(PathBuf::from)),
        [one] if one == "--version" => {
            println!("egret {}", env!("CARGO_PKG_VERSION"));
            Err(ExitCode::SUCCESS)
        }
        [one] if one == "--help" || one == "-h" => {
            println!(
                "egret [FOLDER]\n\nOpens a folder of Istio manifests; without one, the bundled playground.\n\n{}",
                headless::USAGE
            );
            Err(ExitCode::SUCCESS)
        }
        [folder] => Ok(Some(folder.into())),
        _ => {
            eprintln!("egret: at most one folder is expected; see egret --help");
            Err(ExitCode::from(2))
        }
    }
}

fn has_display() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    set("DISPLAY") || set("WAYLAND_DISPLAY")
}

/// Plays the same story in the terminal.
fn without_display() -> ExitCode {
    eprintln!(
        "egret: no display (DISPLAY and WAYLAND_DISPLAY are unset): run it in a desktop session, or with `xvfb-run egret`; here is the tour instead."
    );
    let proxy = match find_proxy() {
        Ok(proxy) => proxy,
        Err(fault) => {
            eprintln!("egret: {}", fault.told());
            return ExitCode::FAILURE;
        }
    };
    let error = Command::new(proxy).arg("tour").exec();
    eprintln!("egret: the tour cannot be started: {error}");
    ExitCode::FAILURE
}

/// With LANG unset or C, the web view's language is "C", which its number formats refuse: the window would stay blank.
/// The environment is read once at start, so that the app starts itself again with a locale that works.
fn set_locale() {
    let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = value("LC_ALL")
        .or_else(|| value("LC_MESSAGES"))
        .or_else(|| value("LANG"));
    let usable = locale.is_some_and(|locale| !["C", "POSIX"].contains(&locale.split('.').next().unwrap_or_default()));
    if usable || std::env::var_os(LOCALE_SET).is_some() {
        return;
    }
    let Ok(own) = std::env::current_exe() else { return };
    let mut again = Command::new(own);
    again.args(std::env::args_os().skip(1)).env(LOCALE_SET, "1");
    again
        .env("LANG", "en_US.UTF-8")
        .env("LANGUAGE", "en_US")
        .env_remove("LC_ALL")
        .env_remove("LC_MESSAGES");
    let error = again.exec();
    eprintln!("egret: the locale could not be set: {error}");
}
