//! What the commands print, and where it cannot go.

use std::{
    fs::{self, File},
    process::{Command, Stdio},
};

use crate::subject::{binary, entry};

/// How `check` of a policy with an error ends when it prints to `output`, and what it says on standard error.
fn check(output: impl Into<Stdio>, option: Option<&str>) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.yaml");
    fs::write(&file, entry("*", 80, "HTTP")).unwrap();
    let mut command = Command::new(binary());
    command.arg("check").args(option).arg(&file).stdout(output);
    let ended = command.stderr(Stdio::piped()).output().unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn a_reader_that_leaves_changes_no_exit_code_and_a_full_disk_is_no_success() {
    for option in [None, Some("--json")] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(check(writer, option), (Some(1), String::new()));
        let (code, said) = check(File::create("/dev/full").unwrap(), option);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("standard output: No space left"), "{said}");
    }
}
