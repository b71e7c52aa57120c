//! The `PATH` of a person's shell: an app that a desktop starts has a poorer one, without the folders where cloud tools
//! are, and would not find the programs that give credentials.

use std::{
    env,
    io::Read as _,
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// Longest that a login shell may take to say it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(20);
/// More is no `PATH`.
const MAX_OUTPUT: u64 = 64 * 1024;

/// The login shell's `PATH`, asked once; blocks while it is asked. `None` where the shell gives none in time.
pub fn login_path() -> Option<&'static str> {
    static PATH: OnceLock<Option<String>> = OnceLock::new();
    PATH.get_or_init(|| asked(&env::var_os("SHELL")?.to_string_lossy(), PATIENCE))
        .as_deref()
}

fn asked(shell: &str, patience: Duration) -> Option<String> {
    let child = Command::new(shell)
        // What its start files print comes before.
        .args(["-lc", r#"printf '\n%s' "$PATH""#])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // A group of its own, so that what it waits for ends with it.
        .process_group(0)
        .spawn();
    let mut child = child.ok()?;
    let said = child.stdout.take()?;
    let reader = thread::spawn(move || {
        let mut text = String::new();
        said.take(MAX_OUTPUT).read_to_string(&mut text).ok().map(|_| text)
    });
    if !ends(&mut child, patience) {
        return None;
    }
    let text = reader.join().ok()??;
    let path = text.rsplit('\n').next()?.to_string();
    (!path.is_empty()).then_some(path)
}

/// True when it ended well in time; ends it otherwise.
fn ends(child: &mut Child, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        match child.try_wait() {
            Ok(None) => thread::sleep(LOOK),
            Ok(Some(status)) => return status.success(),
            Err(_) => break,
        }
    }
    if let Ok(group) = i32::try_from(child.id()) {
        // It may have ended in between.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let _ = child.wait();
    false
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use super::*;

    fn shell(text: &str) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shell");
        fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
        let path = file.to_string_lossy().into_owned();
        (folder, path)
    }

    #[test]
    fn the_login_shells_path_is_taken_whatever_its_start_files_print() {
        let (_folder, own) = shell("echo Welcome back; PATH=/opt/cloud/bin; eval \"$2\"");
        assert_eq!(asked(&own, PATIENCE).as_deref(), Some("/opt/cloud/bin"));
    }

    #[test]
    fn a_shell_that_hangs_leaves_nothing_behind() {
        let (folder, own) = shell("sleep 600 & echo $! >${0%/*}/child; wait");
        assert_eq!(asked(&own, Duration::from_secs(2)), None);
        let child = fs::read_to_string(folder.path().join("child")).unwrap();
        let state = Path::new("/proc").join(child.trim()).join("stat");
        // Gone, or dead and not yet fetched by its new parent.
        let gone = || fs::read_to_string(&state).map_or(true, |stat| stat.contains(") Z "));
        let until = Instant::now() + PATIENCE;
        while !gone() && Instant::now() < until {
            thread::sleep(LOOK);
        }
        assert!(gone());
    }

    #[test]
    fn a_shell_that_hangs_fails_or_is_not_there_gives_none() {
        for text in ["sleep 600", "exit 3", "true"] {
            let (_folder, own) = shell(text);
            assert_eq!(asked(&own, Duration::from_millis(200)), None, "{text}");
        }
        assert_eq!(asked("/nowhere/shell", PATIENCE), None);
    }
}
