//! The API server or the network goes away in the middle of a change: what is then where is known, and a person settles it.

use std::{process::Command, thread};

use super::{windows::started, *};
use crate::dto::{Holds, JournalEntry};

/// Names the folder that a process of its own works in: its kubeconfig, its data, and the namespace's name.
const KILLED: &str = "EGRET_TEST_KILLED";

/// Objects of one change set: so many that something can happen between the first and the last.
const OBJECTS: usize = 120;

fn name(index: usize) -> String {
    format!("e{index:03}")
}

fn stage(bench: &Bench, space: &str) {
    for index in 0..OBJECTS {
        let host = format!("{}.{space}.com", name(index));
        bench.put(space, &name(index), &entry(space, &name(index), &host));
    }
}

fn entries(bench: &Bench) -> Vec<JournalEntry> {
    bench.changes.entries(&*bench.cluster).unwrap()
}

/// How many objects the API server has.
fn stored(api: &Api, space: &str) -> usize {
    let names = api.text(&["get", "serviceentries", "-n", space, "-o", "name"]);
    names.lines().count()
}

/// Applies everything, and calls `break_off` once the first object is stored.
fn cut_short(bench: &Bench, api: &Api, space: &str, break_off: impl FnOnce()) -> crate::fault::Fault {
    let view = bench.view();
    let written = thread::scope(|scope| {
        let applying = scope.spawn(|| bench.changes.apply(&view, &bench.traffic, None));
        eventually("the first object", || (stored(api, space) > 0).then_some(()));
        break_off();
        applying.join().unwrap()
    });
    written.unwrap_err()
}

#[test]
fn an_api_server_that_dies_in_the_middle_of_a_change_leaves_what_can_be_finished() {
    let Some(api) = api("an_api_server_that_dies") else {
        return;
    };
    let _turn = alone();
    namespace(api, "dies");
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    stage(&bench, "dies");
    let fault = cut_short(&bench, api, "dies", || api.kill_server());
    assert_eq!(fault.code, "cut-short", "{fault:?}");
    api.start_server();
    eventually("the watches to be back", || {
        bench.cluster.lost().is_none().then_some(())
    });

    // Each object is old or new, and the journal says which.
    let written = stored(api, "dies");
    assert!(0 < written && written < OBJECTS, "{written}");
    let known = |holds: Holds| {
        let stands = entries(&bench)[0].cut_short.clone().unwrap();
        stands.iter().filter(|stands| stands.holds == holds).count()
    };
    eventually("the mirror to know them", || {
        (known(Holds::New) == written).then_some(())
    });
    assert_eq!(known(Holds::Old), OBJECTS - written);
    let id = entries(&bench)[0].id;
    assert!(!entries(&bench)[0].undoable);
    assert_eq!(
        bench.changes.staged().len(),
        OBJECTS,
        "and nothing that was staged is lost"
    );

    let whole = bench.changes.settle(&bench.view(), id, Holds::New).unwrap();
    assert!(whole.cut_short.is_none() && whole.undoable);
    assert_eq!(stored(api, "dies"), OBJECTS);
    assert_eq!(bench.changes.staged().len(), 0, "they have been made");
    bench.changes.undo(&*bench.cluster, Some(id)).unwrap();
    assert_eq!(stored(api, "dies"), 0);
}

#[test]
fn a_network_that_goes_in_the_middle_of_a_change_leaves_what_can_be_taken_back() {
    let Some(api) = api("a_network_that_goes") else { return };
    namespace(api, "goes");
    let folder = tempfile::tempdir().unwrap();
    let (cut, kubeconfig) = Cut::before(&api.kubeconfig(), folder.path());
    let bench = Bench::open(kubeconfig);
    bench.cluster.set_editing(true);
    stage(&bench, "goes");
    let fault = cut_short(&bench, api, "goes", || cut.cut());
    assert_eq!(fault.code, "cut-short", "{fault:?}");
    let written = stored(api, "goes");
    assert!(0 < written && written < OBJECTS, "{written}");
    cut.mend();
    eventually("the mirror to know them", || {
        (bench.hosts("goes").len() == written).then_some(())
    });

    // What another hand made of one of them meanwhile is not touched.
    let first = entries(&bench)[0].cut_short.clone().unwrap()[0].file.clone();
    let own = first.trim_start_matches("ServiceEntry/goes.").trim_end_matches(".yaml");
    api.apply(&entry("goes", own, "theirs.com"));
    eventually("the other hand to be seen", || {
        bench.hosts("goes").contains(&"theirs.com".to_string()).then_some(())
    });
    let id = entries(&bench)[0].id;
    let refused = bench.changes.settle(&bench.view(), id, Holds::Old).unwrap_err();
    assert!(
        refused.code == "conflict" && refused.message.contains(&first),
        "{refused:?}"
    );
    assert_eq!(stored(api, "goes"), written);
    api.text(&["delete", "serviceentry", own, "-n", "goes"]);
    eventually("it to be gone", || {
        (bench.hosts("goes").len() == written - 1).then_some(())
    });
    let back = bench.changes.settle(&bench.view(), id, Holds::Old).unwrap();
    assert!(back.undone && back.cut_short.is_none());
    assert_eq!(stored(api, "goes"), 0);
}

/// An app in a process of its own that applies everything, and is killed once the first object is stored.
fn killed(api: &Api, root: &Path, space: &str) {
    namespace(api, space);
    std::fs::copy(api.kubeconfig(), root.join("config")).unwrap();
    std::fs::write(root.join("space"), space).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "applied_by_an_app_of_its_own"])
        .env(KILLED, root)
        .spawn()
        .unwrap();
    eventually("the first object", || (stored(api, space) > 0).then_some(()));
    // SIGKILL: nothing of its end runs.
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
}

#[test]
#[ignore = "the other half of a test, started and killed by it"]
fn applied_by_an_app_of_its_own() {
    let Some(root) = std::env::var_os(KILLED) else { return };
    let root = Path::new(&root);
    let space = std::fs::read_to_string(root.join("space")).unwrap();
    let (_desk, app) = started(root, &root.join("config"));
    app.set_editing(true).unwrap();
    for index in 0..OBJECTS {
        let edit = Edit::Put {
            object: DraftKind::ServiceEntry,
            namespace: space.clone(),
            name: name(index),
            yaml: entry(&space, &name(index), &format!("{}.{space}.com", name(index))),
            base: None,
        };
        app.changes.stage(&app.view(), edit).unwrap();
    }
    app.apply(None).unwrap();
}

#[test]
fn an_app_that_is_killed_in_the_middle_of_a_change_says_at_its_next_start_what_is_old_and_new() {
    let Some(api) = api("an_app_that_is_killed") else {
        return;
    };
    for (space, side) in [("killed-on", Holds::New), ("killed-back", Holds::Old)] {
        let root = tempfile::tempdir().unwrap();
        killed(api, root.path(), space);
        let written = stored(api, space);
        assert!(0 < written && written < OBJECTS, "{written}");

        let (_desk, app) = started(root.path(), &root.path().join("config"));
        let told = app.changes.recovered().join(" ");
        assert!(
            told.contains("was cut short") && told.contains("finish it in Changes, or go back"),
            "{told}"
        );
        assert_eq!(
            stored(api, space),
            written,
            "nothing is written before a person says so"
        );
        let store = app.view().store.clone();
        let entry = app.changes.entries(&*store).unwrap().remove(0);
        let stands = entry.cut_short.unwrap();
        let holding = |holds: Holds| stands.iter().filter(|stands| stands.holds == holds).count();
        assert_eq!((holding(Holds::New), holding(Holds::Old)), (written, OBJECTS - written));

        app.set_editing(true).unwrap();
        let settled = app.changes.settle(&app.view(), entry.id, side).unwrap();
        assert!(settled.cut_short.is_none() && settled.undone == (side == Holds::Old));
        let wanted = if side == Holds::New { OBJECTS } else { 0 };
        assert_eq!(stored(api, space), wanted);
        let mirrors = std::fs::read_dir(root.path().join("data")).unwrap();
        let mirrors = mirrors.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("mirror"));
        assert!(mirrors.count() <= 1, "what the killed app mirrored is gone");
    }
}
