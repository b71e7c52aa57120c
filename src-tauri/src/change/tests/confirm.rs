//! A change that nobody keeps is taken back.

use std::time::{Duration, Instant};

use super::{Bench, put, registry_only};
use crate::{
    change::{Changes, Journal, back::By},
    dto::{Afterwards, Countdown, JournalEntry},
    events::Events,
};

/// The shortest countdown.
fn soon(afterwards: Afterwards) -> Countdown {
    Countdown { seconds: 5, afterwards }
}

fn applied(bench: &Bench, afterwards: Afterwards) -> JournalEntry {
    bench.stage(registry_only());
    let countdown = soon(afterwards);
    bench
        .changes
        .apply(&bench.view(), &bench.traffic, Some(&countdown))
        .unwrap()
}

/// The same folder and journal after the app has died.
fn again(bench: &Bench) -> (Changes, Vec<String>) {
    let journal = Journal::open(&bench.database, &bench.folder).unwrap();
    let told = journal.recover(&bench.folder).unwrap();
    (Changes::new(journal, told.clone(), Events::new(|_| {})), told)
}

#[test]
fn a_change_that_nobody_keeps_is_taken_back_when_its_time_is_up() {
    let bench = Bench::new();
    let before = bench.bytes();
    let entry = applied(&bench, Afterwards::Revert);
    assert!(entry.unconfirmed);
    assert_ne!(bench.bytes(), before);
    bench.changes.revert_due(&bench.folder).unwrap();
    assert_ne!(bench.bytes(), before, "not before its time");
    let until = Instant::now() + Duration::from_secs(30);
    while !bench.changes.await_deadline() {
        assert!(Instant::now() < until, "the deadline passes");
    }
    bench.changes.revert_due(&bench.folder).unwrap();
    assert_eq!(bench.bytes(), before);
    let entry = bench.changes.entries(&bench.folder).unwrap().remove(0);
    assert!(entry.undone && entry.reverted && !entry.unconfirmed);
    assert!(bench.changes.unconfirmed(&bench.folder).unwrap().is_empty());
}

#[test]
fn a_change_that_is_kept_stays_and_can_be_undone() {
    let bench = Bench::new();
    let before = bench.bytes();
    let entry = applied(&bench, Afterwards::Revert);
    assert!(bench.changes.settled(&bench.folder).is_err());
    bench.changes.keep(entry.id).unwrap();
    bench.changes.revert_at_exit(&bench.folder).unwrap();
    assert_ne!(bench.bytes(), before);
    bench.changes.settled(&bench.folder).unwrap();
    let undone = bench.changes.undo(&bench.folder, None).unwrap();
    assert!(undone.undone && !undone.reverted);
    assert_eq!(bench.bytes(), before);
}

#[test]
fn what_was_kept_or_taken_back_meanwhile_is_not_taken_back_by_itself() {
    let bench = Bench::new();
    let before = bench.bytes();
    let entry = applied(&bench, Afterwards::Revert);
    let after = bench.bytes();
    bench.changes.keep(entry.id).unwrap();
    bench
        .changes
        .restore(&bench.folder, Some(entry.id), By::Itself)
        .unwrap();
    assert_eq!(bench.bytes(), after, "a person kept it");
    bench.changes.undo(&bench.folder, None).unwrap();

    let entry = applied(&bench, Afterwards::Revert);
    bench.changes.undo(&bench.folder, Some(entry.id)).unwrap();
    let entry = bench
        .changes
        .restore(&bench.folder, Some(entry.id), By::Itself)
        .unwrap();
    assert!(entry.undone && !entry.reverted, "a person took it back");
    assert_eq!(bench.bytes(), before);
}

#[test]
fn the_end_of_the_app_and_its_death_take_an_unconfirmed_change_back() {
    let bench = Bench::new();
    let before = bench.bytes();
    applied(&bench, Afterwards::Revert);
    bench.changes.revert_at_exit(&bench.folder).unwrap();
    assert_eq!(bench.bytes(), before);

    applied(&bench, Afterwards::Revert);
    assert_ne!(bench.bytes(), before);
    let (_, told) = again(&bench);
    assert_eq!(bench.bytes(), before);
    assert!(told[0].contains("was taken back"), "{told:?}");
}

#[test]
fn where_a_person_wants_to_be_asked_the_next_start_asks() {
    let bench = Bench::new();
    let entry = applied(&bench, Afterwards::Ask);
    let after = bench.bytes();
    bench.changes.revert_at_exit(&bench.folder).unwrap();
    let (changes, told) = again(&bench);
    assert_eq!((bench.bytes(), told), (after, Vec::new()));
    let waiting = changes.unconfirmed(&bench.folder).unwrap().remove(0);
    assert_eq!((waiting.id, waiting.until, waiting.here), (entry.id, None, true));
    changes.keep(entry.id).unwrap();
    assert!(changes.unconfirmed(&bench.folder).unwrap().is_empty());
}

#[test]
fn another_place_tells_what_waits_there() {
    let bench = Bench::new();
    applied(&bench, Afterwards::Ask);
    let elsewhere = tempfile::tempdir().unwrap().keep();
    let journal = Journal::open(&bench.database, &elsewhere).unwrap();
    let changes = Changes::new(journal, Vec::new(), Events::new(|_| {}));
    let waiting = changes.unconfirmed(&elsewhere).unwrap().remove(0);
    assert_eq!(
        (waiting.place, waiting.here, waiting.until),
        (bench.folder.display().to_string(), false, None)
    );
}

#[test]
fn what_has_changed_since_is_not_taken_back_and_says_why() {
    let bench = Bench::new();
    let entry = applied(&bench, Afterwards::Revert);
    let file = &entry.files[0];
    bench.write(file, "# by another hand\n");
    bench.changes.revert_at_exit(&bench.folder).unwrap();
    assert_eq!(bench.text(file), "# by another hand\n");
    let waiting = bench.changes.unconfirmed(&bench.folder).unwrap().remove(0);
    assert_eq!(waiting.fault.unwrap().code, "undo-blocked");
}

#[test]
fn what_another_hand_changed_is_left_and_the_rest_of_the_change_is_taken_back() {
    for is_dead in [false, true] {
        let bench = Bench::new();
        let before = bench.bytes();
        bench.stage(put("httpbin", super::HTTPBIN));
        let entry = applied(&bench, Afterwards::Revert);
        assert_eq!(entry.files, ["httpbin.yaml", "mesh.yaml"]);
        let theirs = format!("{}# by another hand\n", bench.text("mesh.yaml"));
        bench.write("mesh.yaml", &theirs);
        let told = if is_dead {
            again(&bench).1
        } else {
            bench.changes.revert_at_exit(&bench.folder).unwrap();
            bench.changes.recovered()
        };
        assert!(
            told[0].contains("taken back, but for mesh.yaml, which another hand has changed since"),
            "{told:?}"
        );
        let mut left = before.clone();
        left.insert("mesh.yaml".into(), theirs.into_bytes());
        assert_eq!(bench.bytes(), left);
        let (changes, told) = again(&bench);
        let entry = changes.entries(&bench.folder).unwrap().remove(0);
        assert!(entry.reverted && !entry.unconfirmed && !entry.undoable);
        assert_eq!(entry.kept, ["mesh.yaml"]);
        assert!(told.is_empty() && changes.unconfirmed(&bench.folder).unwrap().is_empty());
        // What Egret wrote is still in it.
        let rows = changes.leftovers(&bench.view()).unwrap();
        assert_eq!(rows.len(), 1);
        assert!(rows[0].file == "mesh.yaml" && rows[0].kept_because.is_some());
    }
}

#[test]
fn the_same_file_waits_for_the_answer_and_others_do_not() {
    let bench = Bench::new();
    applied(&bench, Afterwards::Revert);
    bench.stage(put("httpbin", super::HTTPBIN));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    bench.stage(crate::dto::Edit::Mode {
        scope: "mesh".into(),
        mode: crate::dto::Mode::AllowAny,
    });
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert!(review.blocked_because.unwrap().contains("not confirmed"));
    let fault = bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap_err();
    assert_eq!(fault.code, "unconfirmed");
}

#[test]
fn a_countdown_has_bounds() {
    let bench = Bench::new();
    bench.stage(registry_only());
    for seconds in [0, 4, 3601] {
        let countdown = Countdown {
            seconds,
            afterwards: Afterwards::Ask,
        };
        let fault = bench
            .changes
            .apply(&bench.view(), &bench.traffic, Some(&countdown))
            .unwrap_err();
        assert_eq!(fault.code, "input");
    }
}
