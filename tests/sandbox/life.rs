//! How a sandbox starts and ends.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
};

use crate::trial::{Trial, eventually, said};

#[test]
fn the_exit_code_and_the_streams_are_the_commands() {
    let Some(trial) = Trial::new("the_exit_code_and_the_streams", "ALLOW_ANY") else {
        return;
    };
    let mut child = trial
        .command(&["sh", "-c", "cat; exit 7"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"through and through").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(said(&output), "through and through");
    assert_eq!(output.status.code(), Some(7));
    let killed = trial.run(&["sh", "-c", "kill -KILL $$"]);
    assert_eq!(killed.status.code(), Some(137));
    assert_eq!(trial.run(&["/no/such/program"]).status.code(), Some(127));
}

#[test]
fn sigterm_reaches_the_command_which_ends_as_it_likes() {
    let Some(trial) = Trial::new("sigterm_reaches_the_command", "ALLOW_ANY") else {
        return;
    };
    let script = "trap 'echo asked; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    // Again and again: what comes while the command is only just there must not be lost.
    for _ in 0..8 {
        let (child, mut lines) = started(&trial, script);
        send("-TERM", child.id());
        assert_eq!(lines.next().unwrap().unwrap(), "asked");
        let status = child.wait_with_output().unwrap().status;
        assert_eq!(status.code(), Some(9), "{status:?}");
    }
}

#[test]
fn sigkill_leaves_no_process_behind() {
    let Some(trial) = Trial::new("sigkill_leaves_no_process", "ALLOW_ANY") else {
        return;
    };
    // A number that no other process has among its arguments: this test's own.
    let marker = format!("7{:08}", std::process::id());
    let script = format!("setsid sleep {marker} & trap '' TERM HUP INT; echo ready; sleep {marker}");
    let (mut child, _lines) = started(&trial, &script);
    eventually("the processes of the sandbox", || {
        (with_argument(&marker) >= 2).then_some(())
    });
    send("-KILL", child.id());
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    eventually("the end of all of them", || (with_argument(&marker) == 0).then_some(()));
}

/// Starts a shell that says `ready`, and waits for that.
fn started(trial: &Trial, script: &str) -> (Child, impl Iterator<Item = std::io::Result<String>>) {
    let mut child = trial
        .command(&["sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    (child, lines)
}

fn send(signal: &str, pid: u32) {
    let status = Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// Processes that have `marker` in their command line: the sandbox's sleeps, its shell, its helper and init.
fn with_argument(marker: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap();
    entries
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(marker))
        .count()
}
