use std::{fs, path::Path, sync::mpsc, thread, time::Duration};

use super::*;

/// Writes a policy of one entry, in the parts of this version's names; its list of parts is written by `list`.
fn in_parts(folder: &Path, version: &str, host: &str) -> String {
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a}}\nspec: {{hosts: [{host}]}}\n"
    );
    let names = [0, 1].map(|part| format!("policy.yaml.{version}{part}"));
    let (first, second) = text.split_at(text.len() / 2);
    for (name, part) in names.iter().zip([first, second]) {
        fs::write(folder.join(name), part).unwrap();
    }
    source::list_of_parts(text.as_bytes(), names.iter().map(String::as_str))
}

#[test]
fn parts_of_two_versions_never_hold_together() {
    let (place, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| place.path().join(name);
    let comes = |from: &str, to: &str| fs::copy(elsewhere.path().join(from), at(to)).unwrap();
    let list = |generation: u64, text: &str| {
        fs::write(at("policy.yaml.parts"), text).unwrap();
        fs::write(at("generation"), generation.to_string()).unwrap();
    };
    let force = |policy: &Policy| {
        let world = policy.world.lock().unwrap();
        let hosts: Vec<String> = world
            .service_entries
            .iter()
            .map(|entry| entry.spec.hosts[0].to_string())
            .collect();
        (hosts.join(","), policy.state().generation, policy.state().errors.len())
    };
    list(1, &in_parts(place.path(), "a", "one.example"));
    let mut folder = Folder::open(place.path()).unwrap();
    let keep = Keep::new(elsewhere.path().to_path_buf());
    let policy = Policy::new(&folder, WorkloadChoice::default(), Some(keep.clone())).unwrap();
    assert_eq!(force(&policy), ("one.example".into(), Some(1), 0));
    let mut look = || {
        folder.refresh().unwrap();
        policy.reload(&folder, None);
        force(&policy)
    };

    // The list comes before its parts, and then one of them before the other.
    let next = in_parts(elsewhere.path(), "b", "two.example");
    list(2, &next);
    assert_eq!(look(), ("one.example".into(), Some(1), 1));
    comes("policy.yaml.b1", "policy.yaml.b1");
    comes("policy.yaml.b1", "policy.yaml.b0");
    assert_eq!(look(), ("one.example".into(), Some(1), 1));
    // Who starts meanwhile has what it kept, or waits to be started again.
    let begun = Folder::open(place.path()).unwrap();
    let kept = Policy::new(&begun, WorkloadChoice::default(), Some(keep)).unwrap();
    assert_eq!(
        (force(&kept).0, kept.state().source),
        ("one.example".into(), Origin::Kept)
    );
    let refused = Policy::new(&begun, WorkloadChoice::default(), None).unwrap_err();
    assert!(refused.to_string().contains("parts"), "{refused}");

    comes("policy.yaml.b0", "policy.yaml.b0");
    assert_eq!(look(), ("two.example".into(), Some(2), 0));
}

#[test]
fn what_was_never_in_force_is_not_kept() {
    let (place, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = place.path().join("a.yaml");
    let good = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}\nspec: {hosts: [a.com]}\n";
    fs::write(&file, good).unwrap();
    let folder = Folder::open(place.path()).unwrap();
    let keep = Keep::new(elsewhere.path().to_path_buf());
    fs::write(&file, "spec: [").unwrap();
    Policy::new(&folder, WorkloadChoice::default(), Some(keep.clone())).unwrap();
    assert_eq!(keep.read(), None);
    fs::write(&file, good).unwrap();
    Policy::new(&folder, WorkloadChoice::default(), Some(keep.clone())).unwrap();
    assert_eq!(
        keep.read().unwrap().files,
        BTreeMap::from([("a.yaml".into(), good.into())])
    );
}

#[test]
fn no_capture_settings_are_missed_between_the_first_and_the_listening() {
    let place = tempfile::tempdir().unwrap();
    let policy = Policy::new(&Folder::open(place.path()).unwrap(), WorkloadChoice::default(), None);
    let policy = policy.unwrap();
    let (taking, (told_tx, told_rx)) = (policy.clone(), mpsc::channel());
    let values = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector, namespace: istio-system}\n\
                  data: {values: '{\"global\": {\"proxy\": {\"excludeOutboundPorts\": \"80\"}}}'}\n";
    let first = policy.on_capture(
        |first| {
            thread::spawn(move || taking.push(values.as_bytes(), None).unwrap());
            // Long enough for it to be missed, if it can be.
            thread::sleep(Duration::from_millis(50));
            first.exclude_ports.clone()
        },
        Box::new(move |next: &Capture| told_tx.send(next.exclude_ports.clone()).unwrap()),
    );
    assert!(first.is_empty());
    assert_eq!(told_rx.recv_timeout(Duration::from_secs(15)), Ok(vec![80]));
}

#[test]
fn what_is_in_force_is_told_while_another_policy_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let folder = Folder::open(folder.path()).unwrap();
    let policy = Policy::new(&folder, WorkloadChoice::default(), None).unwrap();
    let taking_over = policy.standing();
    let (told_tx, told_rx) = mpsc::channel();
    let asked = policy.clone();
    thread::spawn(move || told_tx.send(asked.state().source));
    let told = told_rx.recv_timeout(Duration::from_secs(15));
    drop(taking_over);
    assert!(told.is_ok_and(|source| source == Origin::Mounted));
}
