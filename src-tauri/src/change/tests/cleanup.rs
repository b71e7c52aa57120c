//! Clean-up: what Egret left goes, and nothing else.

use super::*;

#[test]
fn cleaning_up_takes_every_change_back_in_one_change_set_that_can_itself_be_undone() {
    let bench = Bench::new();
    let before = bench.bytes();
    assert_eq!(bench.changes.leftovers(&bench.view()).unwrap(), []);
    // Twice the same file, a new one, and a change that was undone already.
    for edit in [
        registry_only(),
        put("httpbin", HTTPBIN),
        Edit::Mode {
            scope: "mesh".into(),
            mode: Mode::AllowAny,
        },
        put(
            "other",
            &HTTPBIN
                .replace("name: httpbin", "name: other")
                .replace("httpbin.org", "o.com"),
        ),
    ] {
        bench.stage(edit);
        bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    }
    bench.changes.undo(&bench.folder, None).unwrap();
    bench.stage(registry_only());
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    let left = bench.changes.leftovers(&bench.view()).unwrap();
    let files: Vec<String> = left.iter().map(|row| row.file.clone()).collect();
    assert_eq!(left.iter().filter(|row| row.removes).count(), 1);
    assert!(left.iter().all(|row| row.kept_because.is_none()), "{left:?}");
    assert_eq!(
        left.iter().map(|row| row.because.len()).max(),
        Some(3),
        "each change is named: {left:?}"
    );

    let staged = bench.changes.stage_cleanup(&bench.view(), &files).unwrap();
    assert_eq!(staged.len(), files.len());
    let after = bench.bytes();
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert!(review.applicable && review.diffs.len() == files.len(), "{review:?}");
    assert!(review.changes_mode, "REGISTRY_ONLY ends with it");
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    assert_eq!(bench.bytes(), before);
    assert_eq!(bench.changes.leftovers(&bench.view()).unwrap(), [], "verified empty");
    bench.changes.undo(&bench.folder, None).unwrap();
    assert_eq!(bench.bytes(), after);
}

#[test]
fn what_another_hand_changed_since_stays_with_the_reason() {
    let bench = Bench::new();
    bench.stage(put("httpbin", HTTPBIN));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    let file = bench.changes.leftovers(&bench.view()).unwrap()[0].file.clone();
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert!(!review.changes_mode);
    bench.write(&file, &format!("{}# mine\n", bench.text(&file)));
    let left = bench.changes.leftovers(&bench.view()).unwrap();
    assert!(left[0].kept_because.as_ref().unwrap().contains("another hand"));
    let staged = bench.changes.stage_cleanup(&bench.view(), std::slice::from_ref(&file));
    assert_eq!(staged.unwrap_err().code, "kept");
    let foreign = bench
        .changes
        .stage_cleanup(&bench.view(), &["../elsewhere.yaml".into()]);
    assert_eq!(foreign.unwrap_err().code, "input");
}

#[test]
fn a_marked_object_of_a_folder_is_not_egrets_to_remove_with_the_file_around_it() {
    let bench = Bench::new();
    let marked = HTTPBIN.replace(
        "  name: httpbin\n",
        "  name: httpbin\n  labels: {app.kubernetes.io/managed-by: egret}\n",
    );
    let other = HTTPBIN
        .replace("name: httpbin", "name: mine")
        .replace("httpbin.org", "mine.com");
    bench.write("exported.yaml", &format!("{marked}---\n{other}"));
    assert_eq!(bench.changes.leftovers(&bench.view()).unwrap(), []);
}
