//! A form sends the whole object: nothing that changed while it was open goes back unseen.

use super::{Bench, HTTPBIN};
use crate::{
    draft,
    dto::{DraftKind, Edit},
};

/// The edit of the object httpbin that a form makes which was opened while its file said `base`.
fn put_over(base: &str, yaml: &str) -> Edit {
    Edit::Put {
        object: DraftKind::ServiceEntry,
        namespace: "default".into(),
        name: "httpbin".into(),
        yaml: yaml.into(),
        base: Some(base.into()),
    }
}

#[test]
fn what_another_hand_changed_while_a_form_was_open_is_a_conflict() {
    let bench = Bench::new();
    bench.write("httpbin.yaml", HTTPBIN);
    let opened = draft::open(&bench.view(), None, (DraftKind::ServiceEntry, "default", "httpbin")).unwrap();
    let base = opened.base.unwrap();
    assert_eq!(base, HTTPBIN);
    let theirs = HTTPBIN.replace("number: 80", "number: 8080");
    bench.write("httpbin.yaml", &theirs);
    let mine = HTTPBIN.replace("resolution: DNS", "resolution: NONE");
    let edit = put_over(&base, &mine);
    let preview = bench
        .changes
        .preview(&bench.view(), &bench.traffic, vec![edit.clone()])
        .unwrap();
    bench.stage(edit);
    for review in [preview, bench.changes.review(&bench.view(), &bench.traffic).unwrap()] {
        assert!(!review.applicable);
        let conflict = &review.conflicts[0];
        assert_eq!(
            (conflict.base.as_str(), conflict.mine.as_str(), conflict.theirs.as_str()),
            (HTTPBIN, mine.as_str(), theirs.as_str())
        );
    }
    let fault = bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap_err();
    assert_eq!((fault.code.as_str(), bench.text("httpbin.yaml")), ("conflict", theirs));
    let (staged, base) = bench
        .changes
        .staged_object(DraftKind::ServiceEntry, "default", "httpbin")
        .unwrap();
    assert_eq!(
        (staged, base.as_deref()),
        (mine, Some(HTTPBIN)),
        "opened again it is the same"
    );
}

#[test]
fn what_was_applied_from_a_form_that_stays_open_is_no_conflict() {
    let bench = Bench::new();
    bench.write("httpbin.yaml", HTTPBIN);
    for number in ["8080", "8081", "8082"] {
        let mine = HTTPBIN.replace("number: 80", &format!("number: {number}"));
        bench.stage(put_over(HTTPBIN, &mine));
        bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
        assert_eq!(bench.text("httpbin.yaml"), mine);
    }
    bench.write("httpbin.yaml", &HTTPBIN.replace("number: 80", "number: 9000"));
    bench.stage(put_over(HTTPBIN, &HTTPBIN.replace("number: 80", "number: 8083")));
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert_eq!(review.conflicts.len(), 1, "what another hand made after that is");
}

#[test]
fn a_new_object_does_not_take_the_place_of_one_that_another_hand_has_made() {
    let other = HTTPBIN.replace("name: httpbin", "name: other");
    for theirs in [HTTPBIN.to_string(), format!("{other}---\n{HTTPBIN}")] {
        let bench = Bench::new();
        bench.write("theirs.yaml", &theirs);
        let mine = HTTPBIN.replace("httpbin.org", "mine.org");
        bench.stage(super::put("httpbin", &mine));
        let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
        let conflict = &review.conflicts[0];
        assert_eq!(conflict.theirs, theirs);
        assert!(!conflict.base.contains("name: httpbin"), "{}", conflict.base);
        assert!(conflict.mine.contains("mine.org"));
        let fault = bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap_err();
        assert_eq!((fault.code.as_str(), bench.text("theirs.yaml")), ("conflict", theirs));
    }
}

#[test]
fn a_form_in_which_an_object_was_made_and_applied_goes_on_with_it() {
    let bench = Bench::new();
    for host in ["a.com", "b.com"] {
        bench.stage(super::put("httpbin", &HTTPBIN.replace("httpbin.org", host)));
        bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
        assert!(bench.text("httpbin.yaml").contains(host));
    }
}

#[test]
fn edits_that_do_not_fit_any_more_are_said_and_never_taken_for_nothing_staged() {
    let bench = Bench::new();
    assert!(bench.changes.proposal(&bench.view()).unwrap().is_none());
    bench.write("httpbin.yaml", HTTPBIN);
    bench.stage(Edit::Delete {
        object: DraftKind::ServiceEntry,
        namespace: "default".into(),
        name: "httpbin".into(),
    });
    assert!(bench.changes.proposal(&bench.view()).unwrap().is_some());
    std::fs::remove_file(bench.folder.join("httpbin.yaml")).unwrap();
    let fault = bench.changes.proposal(&bench.view()).unwrap_err();
    assert_eq!((fault.code.as_str(), bench.changes.staged().len()), ("missing", 1));
}
