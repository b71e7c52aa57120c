//! The image of a program that cannot be in one.

use std::process::Command;

use crate::subject::binary;

#[test]
fn a_program_with_shared_libraries_is_refused_with_what_to_do() {
    let place = tempfile::tempdir().unwrap();
    let output = place.path().join("image.tar");
    // The program that tests run is linked as any other on this machine.
    let refused = Command::new(binary())
        .arg("image")
        .arg("--output")
        .arg(&output)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("shared libraries") && said.contains("make proxy-image"),
        "{said}"
    );
    assert!(!output.exists());
}
