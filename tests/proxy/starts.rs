//! A sidecar whose start is disturbed: it is killed, its policy is only half there, or who pushes one breaks off.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    delivery::{gzip, naming, place, push, standing, start_keeping},
    subject::{Subject, binary},
};

/// How often it is killed, each time a little later: a start takes a few hundredths of a second.
const KILLS: u64 = 30;

/// A sidecar that nobody waits for.
fn spawn(place: &TempDir) -> Child {
    Command::new(binary())
        .args(["run", "--outbound", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--policy"])
        .arg(place.path().join("policy"))
        .arg("--keep")
        .arg(place.path().join("keep"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn hold(place: &TempDir, generation: u64) {
    let policy = place.path().join("policy");
    fs::write(policy.join("policy.yaml"), naming(&format!("n{generation}.com"))).unwrap();
    fs::write(policy.join("generation"), generation.to_string()).unwrap();
}

#[test]
fn one_that_is_killed_at_any_moment_of_its_start_has_a_whole_policy_at_the_next() {
    let place = place();
    hold(&place, 1);
    let mut place = start_keeping(place).stop();
    for kill in 1..=KILLS {
        // Newer each time, so that each start has something to keep.
        hold(&place, 1 + kill);
        let mut sidecar = spawn(&place);
        thread::sleep(Duration::from_millis(kill * 2));
        sidecar.kill().unwrap();
        sidecar.wait().unwrap();
        if kill % 10 == 0 {
            place = has_a_whole_policy_kept(place, 1 + kill);
        }
    }
}

/// Without the folder it has what an earlier start kept, of one version and without a fault.
fn has_a_whole_policy_kept(place: TempDir, newest: u64) -> TempDir {
    let (there, away) = (place.path().join("policy"), place.path().join("away"));
    fs::rename(&there, &away).unwrap();
    let subject = start_keeping(place);
    let (generation, origin) = standing(&subject);
    let (generation, hash) = (generation.as_u64().unwrap(), subject.hash());
    assert_eq!(
        (origin.as_str(), (1..=newest).contains(&generation)),
        ("kept", true),
        "{generation}"
    );
    let place = subject.stop();
    fs::rename(&away, &there).unwrap();
    hold(&place, generation);
    let subject = start_keeping(place);
    assert_eq!(subject.hash(), hash, "what was kept is generation {generation}, whole");
    let place = subject.stop();
    hold(&place, newest);
    place
}

#[test]
fn a_policy_of_which_a_part_is_missing_is_not_started_with_and_the_end_says_what_is_waited_for() {
    let place = place();
    let at = |name: &str| place.path().join("policy").join(name);
    let packed = gzip(&naming("one.com"));
    let (first, second) = packed.split_at(packed.len() / 2);
    fs::write(at("whole"), &packed).unwrap();
    let digest = Command::new("sha256sum").arg(at("whole")).output().unwrap().stdout;
    fs::remove_file(at("whole")).unwrap();
    let digest = String::from_utf8(digest).unwrap();
    let list = format!("sha256:{}\npolicy.yaml.gz.a-0\npolicy.yaml.gz.a-1\n", &digest[..64]);
    fs::write(at("policy.yaml.gz.parts"), list).unwrap();
    fs::write(at("generation"), "1").unwrap();
    fs::write(at("policy.yaml.gz.a-0"), first).unwrap();
    let ended = spawn(&place).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(
        !ended.status.success() && said.contains("parts are not all of one version yet"),
        "{said}"
    );
    fs::write(at("policy.yaml.gz.a-1"), second).unwrap();
    let subject = start_keeping(place);
    assert_eq!(standing(&subject), (1.into(), "mounted".into()));
}

#[test]
fn a_push_that_breaks_off_changes_nothing_and_the_next_one_is_taken() {
    let subject = Subject::start(&[naming("one.com")], &[]);
    let before = subject.hash();
    fs::write(subject.folder.path().join("policy/push-token"), "a secret\n").unwrap();
    let policy = naming("two.com");
    for sent in [0, policy.len() / 2, policy.len() - 1] {
        let mut stream = TcpStream::connect(subject.admin).unwrap();
        write!(
            stream,
            "PUT /policy HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer a secret\r\nContent-Length: {}\r\n\r\n{}",
            subject.admin,
            policy.len(),
            &policy[..sent]
        )
        .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // Once it has nothing more to say, it has dealt with it.
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(!answer.contains(" 200 "), "{answer}");
        assert_eq!(subject.hash(), before, "after {sent} of {} bytes", policy.len());
    }
    assert_eq!(push(&subject, policy.as_bytes(), &[]).0, 200);
    assert_ne!(subject.hash(), before);
}
