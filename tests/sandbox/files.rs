//! Files that a workload's pods mount, at their places, in memory, for the command alone.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Output, Stdio},
};

use serde_json::{Value, json};

use crate::trial::{Trial, said};

/// Runs a command with what of the workload it is to get, and `input` behind that.
fn run(trial: &Trial, taken: &Value, input: &str, argv: &[&str]) -> Output {
    let mut child = trial
        .command_as(&["--labels", "app=sleep", "--taken-from-stdin"], argv)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let taken = taken.to_string();
    write!(child.stdin.take().unwrap(), "{}\n{taken}{input}", taken.len()).unwrap();
    child.wait_with_output().unwrap()
}

fn folder(path: &str, files: &[(&str, &str)]) -> Value {
    let files: serde_json::Map<String, Value> = files
        .iter()
        .map(|(name, text)| (name.to_string(), json!(text.as_bytes())))
        .collect();
    json!({"path": path, "contents": {"folder": files}})
}

#[test]
fn files_are_where_the_pods_have_them_and_everything_else_is_where_it_was() {
    let Some(trial) = Trial::new("files_are_where_the_pods_have_them", "ALLOW_ANY") else {
        return;
    };
    // A folder below the root, one below a folder that is there, one that is there, and a single file.
    let there = trial.folder.path().join("there");
    fs::create_dir(&there).unwrap();
    fs::write(there.join("hidden"), "own").unwrap();
    let taken = json!({
        "variables": {"COLOUR": "green"},
        "files": [
            folder("/egret-test/deep/config", &[("a.yaml", "a: 1"), ("sub/b", "b")]),
            folder("/etc/egret-test", &[("secret", "s3cret")]),
            folder(&there.display().to_string(), &[("seen", "yes")]),
            {"path": "/etc/egret-test.conf", "contents": {"file": b"one".to_vec()}},
        ],
    });
    let script = format!(
        "cat; echo $COLOUR; cat /egret-test/deep/config/a.yaml /egret-test/deep/config/sub/b /etc/egret-test/secret \
         /etc/egret-test.conf; echo; ls {there}; touch /etc/egret-test/x /egret-test/x 2>&1 | grep -c Read-only; pwd; \
         test -s /etc/passwd && test -d /proc/self && curl -s http://httpbin.org/",
        there = there.display()
    );
    let output = run(&trial, &taken, "typed\n", &["sh", "-c", &script]);
    let here = std::env::current_dir().unwrap();
    assert_eq!(
        said(&output),
        format!("typed\ngreen\na: 1bs3cretone\nseen\n2\n{}\nhi", here.display()),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Nobody else sees them, then or later.
    for path in ["/egret-test", "/etc/egret-test", "/etc/egret-test.conf"] {
        assert!(!Path::new(path).exists(), "{path} is on the disk");
    }
    assert_eq!(fs::read_to_string(there.join("hidden")).unwrap(), "own");
    assert!(!there.join("seen").exists());
}

#[test]
fn a_place_of_the_systems_is_refused_before_the_command_starts() {
    let Some(trial) = Trial::new("a_place_of_the_systems", "ALLOW_ANY") else {
        return;
    };
    let taken = json!({"files": [folder("/proc/egret", &[("a", "b")])]});
    let output = run(&trial, &taken, "", &["echo", "ran"]);
    assert_eq!((output.status.code(), &*said(&output)), (Some(2), ""));
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(why.contains("/proc/egret belongs to the system"), "{why}");
}
