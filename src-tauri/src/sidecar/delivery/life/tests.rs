use std::{env, fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command, thread};

use egret_tests::mesh::{Asks, NotUp, Registry};
use serde_json::json;

use super::*;
use crate::cluster::{Node, Nodes};

/// A folder with a program for amd64 to put into an image. Source: elf(5).
fn place() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("egret-proxy");
    let mut header = vec![0; 64];
    header[..6].copy_from_slice(b"\x7fELF\x02\x01");
    header[18] = 62;
    fs::write(&program, header).unwrap();
    (place, program)
}

fn delivery() -> (Delivery, Arc<Mutex<Vec<DeliveryState>>>) {
    let told: Arc<Mutex<Vec<DeliveryState>>> = Arc::default();
    let own = told.clone();
    let events = Events::new(move |event| {
        if let Event::DeliveryChanged(state) = event {
            own.lock().unwrap().push(*state);
        }
    });
    (Delivery::new(events), told)
}

/// Has a stand-in for kind, which is this script, bring an image.
fn by_script(delivery: &Delivery, script: &str) -> DeliveryState {
    by_tool(delivery, script, None)
}

fn by_tool(delivery: &Delivery, script: &str, listing: Option<&[&str]>) -> DeliveryState {
    let (place, program) = place();
    let kind = place.path().join("kind");
    fs::write(&kind, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&kind, fs::Permissions::from_mode(0o700)).unwrap();
    let archive = place.path().join("egret-proxy.tar");
    let words = ["load", "image-archive", archive.to_str().unwrap(), "--name", "dev"];
    let chosen = Chosen {
        program: kind,
        arguments: words.iter().map(ToString::to_string).collect(),
        variables: Vec::new(),
        listing: listing.map(|words| words.iter().map(ToString::to_string).collect()),
    };
    let done = delivery.run(DeliveryWay::Kind, async |delivery| {
        let built = Built::of(std::slice::from_ref(&program)).unwrap();
        delivery.through(&chosen, &built, &archive).await?;
        Ok(IMAGE.to_string())
    });
    done.unwrap()
}

#[test]
fn a_tool_is_given_the_archive_and_its_words_are_shown() {
    let (delivery, told) = delivery();
    let state = by_script(&delivery, r#"echo "$1 $2 $4 $5"; tar -xOf "$3" oci-layout"#);
    assert_eq!(
        (state.phase, state.image.as_deref()),
        (DeliveryPhase::Done, Some(IMAGE)),
        "{state:?}"
    );
    assert_eq!(
        state.log,
        ["load image-archive --name dev", r#"{"imageLayoutVersion":"1.0.0"}"#]
    );
    let told = told.lock().unwrap();
    assert_eq!(told.first().map(|state| state.phase), Some(DeliveryPhase::Running));
    assert_eq!(told.last(), Some(&state));
}

#[test]
fn a_tool_that_fails_is_told_with_its_words_and_another_try_begins_anew() {
    let (delivery, _) = delivery();
    let state = by_script(
        &delivery,
        "echo 'ERROR: no nodes found for cluster \"dev\"' >&2; exit 1",
    );
    assert_eq!((state.phase, state.image), (DeliveryPhase::Failed, None));
    let fault = state.fault.unwrap();
    assert_eq!(
        fault.message,
        "kind ended with 1: ERROR: no nodes found for cluster \"dev\""
    );
    let state = by_script(&delivery, "echo again");
    assert_eq!(
        (state.phase, state.fault, state.log),
        (DeliveryPhase::Done, None, vec!["again".to_string()])
    );
}

#[test]
fn a_tool_whose_end_says_nothing_is_believed_where_the_nodes_list_the_image() {
    let (delivery, _) = delivery();
    let nodes_have = |image: &str| {
        let script = format!("[ \"$1\" = load ] || echo 'registry.k8s.io/pause:3.10 {image}' | tr ' ' '\\n'");
        by_tool(&delivery, &script, Some(&["image", "ls"]))
    };
    let state = nodes_have(&format!("docker.io/{IMAGE}"));
    let fault = state.fault.unwrap();
    assert_eq!(state.phase, DeliveryPhase::Failed);
    assert_eq!(
        fault.message,
        format!("kind ended well, but {IMAGE} is not among the images that it lists.")
    );
    let state = nodes_have(IMAGE);
    assert_eq!((state.phase, state.fault), (DeliveryPhase::Done, None));
    assert_eq!(state.image.as_deref(), Some(IMAGE));
}

#[test]
fn what_is_under_way_is_called_off_and_nothing_is_begun_beside_it() {
    let (delivery, _) = delivery();
    let own = delivery.clone();
    let running = thread::spawn(move || by_script(&own, "echo begun; sleep 600"));
    while delivery.state().log.is_empty() {
        thread::sleep(Duration::from_millis(10));
    }
    let second = delivery.push("ghcr.io/team/egret-proxy:1").unwrap_err();
    assert_eq!(second.code, "busy");
    delivery.cancel();
    let state = running.join().unwrap();
    assert_eq!(state.fault.map(|fault| fault.code), Some("stopped".into()));
}

#[test]
fn a_window_that_turns_away_calls_it_off_and_knows_nothing_of_it() {
    let (delivery, _) = delivery();
    let own = delivery.clone();
    let running = thread::spawn(move || by_script(&own, "echo begun; sleep 600"));
    while delivery.state().log.is_empty() {
        thread::sleep(Duration::from_millis(10));
    }
    delivery.end();
    running.join().unwrap();
    assert_eq!(delivery.state(), DeliveryState::default());
}

#[test]
fn a_registry_that_no_reference_names_is_not_asked() {
    let (delivery, told) = delivery();
    assert_eq!(delivery.push("team/egret-proxy").unwrap_err().code, "reference");
    assert!(told.lock().unwrap().is_empty());
}

#[test]
fn a_pushed_image_is_named_by_its_digest_and_no_secret_is_told() {
    let registry = match Registry::up(Asks::Token, None) {
        Ok(registry) => registry,
        Err(NotUp::Lacking(reason)) => {
            // Not through the test's captured output: a skipped test must be seen.
            let _ = writeln!(
                std::io::stderr(),
                "skipped a_pushed_image_is_named_by_its_digest: {reason}"
            );
            return;
        }
        Err(NotUp::Failed(reason)) => panic!("{reason}"),
    };
    let (place, program) = place();
    let config = place.path().join("config.json");
    let push = |password: &str| {
        let entry = json!({ "username": Registry::USER, "password": password });
        fs::write(&config, json!({ "auths": { registry.address(): entry } }).to_string()).unwrap();
        let keyrings = Keyrings {
            files: vec![config.clone()],
            path: env::var_os("PATH"),
        };
        let reference = format!("{}/team/egret-proxy:1", registry.address()).parse().unwrap();
        let (delivery, told) = delivery();
        let state = delivery.run(DeliveryWay::Registry, async |delivery| {
            let built = Built::of(std::slice::from_ref(&program)).unwrap();
            delivery.to_registry(&built, &reference, &keyrings).await
        });
        let told = format!("{:?}", told.lock().unwrap());
        assert!(!told.contains(password), "{told}");
        state.unwrap()
    };
    let refused = push("hunter2").fault.unwrap();
    assert!(refused.message.contains("does not take the credentials"), "{refused}");
    let state = push(Registry::PASSWORD);
    let digest = registry.digest("team/egret-proxy", "1").unwrap();
    let name = format!("{}/team/egret-proxy@{digest}", registry.address());
    assert_eq!(state.image, Some(name));
    assert!(state.total > 0 && state.sent == state.total, "{state:?}");
}

/// `make kind-test` brings up what it needs.
#[test]
#[ignore = "needs Docker's engine with a node in it; make kind-test brings it up"]
fn what_kind_and_k3d_themselves_bring_is_found_and_run_by_the_node() {
    let name = env::var("EGRET_KIND_NODE").expect("make kind-test names the node");
    let in_node = |words: &[&str]| {
        let mut command = Command::new("docker");
        command
            .args(["exec", &name, "ctr", "--namespace", "k8s.io"])
            .args(words);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for (way, provider) in [
        (DeliveryWay::Kind, format!("kind://docker/egret/{name}")),
        (DeliveryWay::K3d, format!("k3s://{name}")),
    ] {
        let node = Node {
            provider,
            architecture: "amd64".into(),
            ..Node::default()
        };
        let nodes = Nodes {
            seen: vec![node],
            are_all: true,
        };
        let place = tempfile::tempdir().unwrap();
        let archive = place.path().join("egret-proxy.tar");
        let ways = Ways::into(Some(&nodes), "any");
        let chosen = ways.chosen(way, archive.to_str().unwrap()).unwrap();
        let (delivery, _) = delivery();
        let state = delivery.run(way, async |delivery| {
            delivery.through(&chosen, &programs::built()?, &archive).await?;
            Ok(IMAGE.to_string())
        });
        let state = state.unwrap();
        assert_eq!((state.phase, state.fault), (DeliveryPhase::Done, None), "{way:?}");
        let said = in_node(&["run", "--rm", "--cgroup=", IMAGE, "trial", "/egret-proxy", "--version"]);
        assert_eq!(
            said,
            concat!("egret-proxy ", env!("CARGO_PKG_VERSION"), "\n"),
            "{way:?}"
        );
        // The next way is not to find it there.
        in_node(&["images", "rm", "--sync", IMAGE]);
    }
}
