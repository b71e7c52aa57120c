//! How a policy comes to a sidecar in a pod: mounted as kubelet mounts a ConfigMap, pushed to its admin server, kept through
//! restarts.

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::subject::{Subject, binary, curl, entry, eventually, mesh};

/// Files of a ConfigMap, as kubelet puts them into a pod: links to a folder that is swapped whole.
struct Mounted<'m> {
    folder: &'m Path,
}

impl Mounted<'_> {
    fn hold(&self, version: &str, files: &[(&str, &[u8])]) {
        let fresh = self.folder.join(format!("..{version}"));
        fs::create_dir(&fresh).unwrap();
        for (name, bytes) in files {
            fs::write(fresh.join(name), bytes).unwrap();
            let link = self.folder.join(name);
            if fs::symlink_metadata(&link).is_err() {
                symlink(Path::new("..data").join(name), link).unwrap();
            }
        }
        let before = fs::read_link(self.folder.join("..data"));
        symlink(fresh.file_name().unwrap(), self.folder.join("..data_tmp")).unwrap();
        fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data")).unwrap();
        if let Ok(before) = before {
            fs::remove_dir_all(self.folder.join(before)).unwrap();
        }
    }
}

pub fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = Command::new("gzip")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    gzip.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    gzip.wait_with_output().unwrap().stdout
}

/// A policy that names this host.
pub fn naming(host: &str) -> String {
    [mesh("REGISTRY_ONLY"), entry(host, 80, "HTTP")].join("---\n")
}

/// A place with a policy folder in it.
pub fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("policy")).unwrap();
    place
}

fn start(place: TempDir, options: &[&str]) -> Subject {
    let options: Vec<String> = options.iter().map(ToString::to_string).collect();
    Subject::start_in(place, "127.0.0.1:0", &options, Path::new("/dev/null"))
}

/// Starts with a place to keep policies in.
pub fn start_keeping(place: TempDir) -> Subject {
    let keep = place.path().join("keep").display().to_string();
    start(place, &["--keep", &keep])
}

/// Generation, and where the policy in force comes from.
pub fn standing(subject: &Subject) -> (Value, String) {
    let config = subject.config();
    (config["generation"].clone(), config["source"].as_str().unwrap().into())
}

/// Sends a policy as one who knows the token; the status, and what was said.
pub fn push(subject: &Subject, policy: &[u8], headers: &[&str]) -> (u16, Value) {
    fs::write(subject.folder.path().join("policy/push-token"), "a secret\n").unwrap();
    send(
        subject,
        policy,
        &[&["Authorization: Bearer a secret"], headers].concat(),
    )
}

/// Sends a policy; the status, and what was said.
fn send(subject: &Subject, policy: &[u8], headers: &[&str]) -> (u16, Value) {
    let file = subject.folder.path().join("pushed");
    fs::write(&file, policy).unwrap();
    let (data, url) = (
        format!("@{}", file.display()),
        format!("http://{}/policy", subject.admin),
    );
    let mut arguments = vec!["-X", "PUT", "-H", "Expect:", "--data-binary", &data, &url];
    headers.iter().for_each(|header| arguments.extend(["-H", header]));
    let answer = curl(&arguments);
    (answer.status(), serde_json::from_str(&answer.body).unwrap_or_default())
}

#[test]
fn what_kubelet_swaps_in_is_in_force_packed_or_not_with_its_generation() {
    let place = place();
    let path = place.path().join("policy");
    let mounted = Mounted { folder: &path };
    mounted.hold(
        "1",
        &[("policy.yaml", naming("one.com").as_bytes()), ("generation", b"1\n")],
    );
    let subject = start(place, &[]);
    assert_eq!(standing(&subject), (1.into(), "mounted".into()));
    let first = subject.hash();
    let settles = |generation: u64| {
        eventually("the swapped policy", || {
            (subject.config()["generation"] == generation).then(|| subject.hash())
        })
    };
    mounted.hold(
        "2",
        &[("policy.yaml", naming("two.com").as_bytes()), ("generation", b"2")],
    );
    let second = settles(2);
    assert_ne!(second, first);
    mounted.hold(
        "3",
        &[("policy.yaml", naming("one.com").as_bytes()), ("generation", b"3")],
    );
    assert_eq!(settles(3), first);
    // Nothing but the number.
    mounted.hold(
        "4",
        &[("policy.yaml", naming("one.com").as_bytes()), ("generation", b"4")],
    );
    assert_eq!(settles(4), first);
    fs::remove_file(path.join("policy.yaml")).unwrap();
    mounted.hold(
        "5",
        &[("policy.yaml.gz", &gzip(&naming("two.com"))), ("generation", b"5")],
    );
    assert_eq!(settles(5), second);
    assert_eq!(subject.config()["errors"], serde_json::json!([]));
}

#[test]
fn a_folder_that_gets_its_config_map_later_is_noticed() {
    let place = place();
    let path = place.path().join("policy");
    let subject = start_keeping(place);
    assert_eq!(
        (subject.config()["objects"].clone(), standing(&subject).0),
        (0.into(), Value::Null)
    );
    assert!(
        !subject.folder.path().join("keep").exists(),
        "nothing is nothing to keep"
    );
    Mounted { folder: &path }.hold(
        "1",
        &[("policy.yaml", naming("one.com").as_bytes()), ("generation", b"1")],
    );
    eventually("the policy", || {
        (standing(&subject) == (1.into(), "mounted".into())).then_some(())
    });
    assert_eq!(subject.config()["objects"], 2);
}

#[test]
fn a_pushed_policy_holds_at_once_and_through_a_restart_until_the_folder_has_caught_up() {
    let place = place();
    let file = |place: &TempDir, name: &str| place.path().join("policy").join(name);
    fs::write(file(&place, "policy.yaml"), naming("one.com")).unwrap();
    fs::write(file(&place, "generation"), "4").unwrap();
    let subject = start_keeping(place);
    let mounted = subject.hash();
    let (status, said) = push(&subject, &gzip(&naming("two.com")), &["Egret-Generation: 5"]);
    assert_eq!(
        (status, &said["generation"], &said["source"]),
        (200, &5.into(), &"pushed".into()),
        "{said}"
    );
    let pushed = subject.hash();
    assert_eq!(said["hash"], *pushed);
    assert_ne!(pushed, mounted);

    let subject = start_keeping(subject.stop());
    assert_eq!(
        (standing(&subject), subject.hash()),
        ((5.into(), "kept".into()), pushed.clone())
    );
    let place = subject.stop();
    fs::rename(file(&place, ""), place.path().join("away")).unwrap();
    let subject = start_keeping(place);
    assert_eq!(
        (standing(&subject), subject.hash()),
        ((5.into(), "kept".into()), pushed.clone())
    );
    let place = subject.stop();
    fs::rename(place.path().join("away"), file(&place, "")).unwrap();
    fs::write(file(&place, "policy.yaml"), "a: [1,\n").unwrap();
    fs::write(file(&place, "generation"), "6").unwrap();
    let subject = start_keeping(place);
    assert_eq!(
        (standing(&subject), subject.hash()),
        ((5.into(), "kept".into()), pushed)
    );
    assert!(
        subject.config()["errors"][0]
            .as_str()
            .unwrap()
            .starts_with("policy.yaml:")
    );

    subject.write_policy(&naming("one.com"));
    eventually("the folder's policy", || {
        (standing(&subject) == (6.into(), "mounted".into())).then_some(())
    });
    assert_eq!(
        (subject.hash(), &subject.config()["errors"]),
        (mounted.clone(), &serde_json::json!([]))
    );
    // And without the folder, it is this one that is kept.
    let place = subject.stop();
    fs::remove_dir_all(file(&place, "")).unwrap();
    let subject = start_keeping(place);
    assert_eq!(
        (standing(&subject), subject.hash()),
        ((6.into(), "kept".into()), mounted)
    );
}

#[test]
fn an_older_folder_does_not_take_a_pushed_policy_back() {
    let place = place();
    let path = place.path().join("policy");
    let mounted = Mounted { folder: &path };
    mounted.hold(
        "1",
        &[("policy.yaml", naming("one.com").as_bytes()), ("generation", b"1")],
    );
    let subject = start(place, &[]);
    assert_eq!(
        push(&subject, naming("three.com").as_bytes(), &["Egret-Generation: 3"]).0,
        200
    );
    let pushed = subject.hash();
    mounted.hold(
        "2",
        &[("policy.yaml", naming("two.com").as_bytes()), ("generation", b"2")],
    );
    subject.message("is not taken over");
    assert_eq!(subject.hash(), pushed);
    let (status, said) = push(&subject, naming("two.com").as_bytes(), &["Egret-Generation: 2"]);
    assert_eq!(status, 409, "{said}");
    assert_eq!(subject.hash(), pushed);
    mounted.hold(
        "3",
        &[("policy.yaml", naming("three.com").as_bytes()), ("generation", b"3")],
    );
    eventually("the folder to catch up", || {
        (standing(&subject) == (3.into(), "mounted".into())).then_some(())
    });
    assert_eq!(subject.hash(), pushed);
}

#[test]
fn what_is_no_policy_is_refused_and_the_last_good_one_stays() {
    let subject = Subject::start(&[naming("one.com")], &[]);
    let before = subject.hash();
    let wrong = naming("one.com").replace("hosts: [one.com]", "hosts: {a: b}");
    let (status, said) = push(&subject, wrong.as_bytes(), &[]);
    assert_eq!((status, &said["findings"][0]["line"]), (422, &13.into()), "{said}");
    assert_eq!(said["findings"][0]["object"]["kind"], "ServiceEntry");
    assert_eq!(push(&subject, b"a: [1,\n", &[]).0, 422);
    assert_eq!(push(&subject, b"", &[]).0, 422);
    assert_eq!(push(&subject, &gzip(&naming("a.com"))[..40], &[]).0, 422);
    // A little that is a lot when unpacked.
    assert_eq!(push(&subject, &gzip(&" ".repeat(40 << 20)), &[]).0, 422);
    assert_eq!(push(&subject, &vec![b' '; (16 << 20) + 1], &[]).0, 413);
    assert_eq!(
        push(&subject, naming("a.com").as_bytes(), &["Egret-Generation: x"]).0,
        400
    );
    assert_eq!(
        (subject.hash(), &subject.config()["errors"]),
        (before, &serde_json::json!([]))
    );
}

#[test]
fn no_web_page_and_nobody_without_the_token_changes_the_policy() {
    let subject = Subject::start(&[naming("one.com")], &[]);
    let before = subject.hash();
    let policy = naming("two.com");
    let token = subject.folder.path().join("policy/push-token");
    // Where there is no token, or none in it, nobody knows it.
    for headers in [&[][..], &["Authorization: Bearer"], &["Authorization: Bearer a secret"]] {
        assert_eq!(send(&subject, policy.as_bytes(), headers).0, 403, "{headers:?}");
        fs::write(&token, "\n").unwrap();
        assert_eq!(send(&subject, policy.as_bytes(), headers).0, 403, "{headers:?}");
        fs::remove_file(&token).unwrap();
    }
    for header in ["Origin: http://localhost:8080", "Host: evil.example.com"] {
        assert_eq!(push(&subject, policy.as_bytes(), &[header]).0, 403, "{header}");
    }
    for headers in [&[][..], &["Authorization: Bearer a"], &["Authorization: a secret"]] {
        assert_eq!(send(&subject, policy.as_bytes(), headers).0, 401, "{headers:?}");
    }
    assert_eq!(subject.hash(), before);
    assert_eq!(push(&subject, policy.as_bytes(), &[]).0, 200);
    assert_ne!(subject.hash(), before);
}

#[test]
fn health_answers_from_outside_with_readiness_and_metrics_alone() {
    let subject = Subject::start(&[naming("one.com")], &["--health".into(), "127.0.0.1:0".into()]);
    let url = |path: &str| format!("http://{}{path}", subject.address("health"));
    for (path, status) in [("/ready", 200), ("/metrics", 200), ("/config", 404), ("/flows", 404)] {
        assert_eq!(curl(&["-H", "Host: 10.1.2.3", &url(path)]).status(), status, "{path}");
    }
    assert_eq!(curl(&["-X", "PUT", "-d", "a", &url("/policy")]).status(), 405);
    // As the probe of a pod asks, with no curl in the image.
    let get = |path: &str| {
        let output = Command::new(binary())
            .args(["get", "-f", "-s", &url(path)])
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            output.stderr.len(),
        )
    };
    assert_eq!(get("/ready"), (0, "LIVE\n".into(), 0));
    assert_eq!(get("/config"), (22, String::new(), 0));
}
