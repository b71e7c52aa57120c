//! The access log's switch: a Telemetry of Egret's own, with its end written on it.

use proxy_core::policy::{Logged, logged};

use super::*;
use crate::session::{access_log, due, switched_on};

const UNTIL: &str = "2126-11-28T12:00:00Z";

fn switch(scope: &str, on: bool, until: Option<&str>) -> Edit {
    Edit::AccessLog {
        scope: scope.into(),
        on,
        until: until.map(str::to_string),
    }
}

/// A bench whose mesh writes no access log.
fn silent() -> Bench {
    let bench = Bench::new();
    let mesh = bench.text("mesh.yaml");
    bench.write(
        "mesh.yaml",
        &mesh.replace("accessLogFile: /dev/stdout", "accessLogFile: ''"),
    );
    assert!(matches!(of_sleep(&bench), Logged::Nothing(_)));
    bench
}

fn of_sleep(bench: &Bench) -> Logged {
    let view = bench.view();
    logged(view.world(), &view.workload("default/sleep").unwrap())
}

#[test]
fn each_scope_is_a_telemetry_that_says_who_made_it_and_when_it_ends() {
    for (scope, file, own) in [
        (
            "mesh",
            "istio-system-egret-access-log.yaml",
            "name: egret-access-log\n  namespace: istio-system",
        ),
        (
            "namespace default",
            "default-egret-access-log.yaml",
            "name: egret-access-log\n  namespace: default",
        ),
        (
            "workload default/sleep",
            "default-egret-access-log-sleep.yaml",
            "selector:\n    matchLabels:\n      app: sleep",
        ),
    ] {
        let bench = silent();
        let before = bench.bytes();
        let off = access_log(&bench.view(), None);
        assert!(
            off.off == off.workloads && off.because.unwrap().contains("accessLogFile"),
            "{scope}"
        );
        bench.stage(switch(scope, true, Some(UNTIL)));
        bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
        let text = bench.text(file);
        for part in [
            own,
            "app.kubernetes.io/managed-by: egret",
            &format!("egret.dev/remove-after: \"{UNTIL}\""),
            "- name: envoy",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(of_sleep(&bench), Logged::All, "{scope}");
        let [on] = switched_on(&bench.view()).try_into().unwrap();
        assert_eq!(
            (on.scope.as_str(), on.until.as_deref(), on.overdue),
            (scope, Some(UNTIL), false)
        );
        bench.stage(switch(scope, true, None));
        bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
        assert!(
            !bench.text(file).contains("remove-after"),
            "switched on once more, without an end"
        );
        bench.stage(switch(scope, false, None));
        bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
        assert_eq!(bench.bytes(), before, "{scope}");
    }
}

#[test]
fn another_telemetry_of_the_scope_is_edited_for_istio_takes_only_one() {
    let bench = silent();
    let theirs = "# tracing team\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata:\n  name: tracing\n  namespace: default\nspec:\n  tracing:\n  - randomSamplingPercentage: 5\n";
    bench.write("tracing.yaml", theirs);
    let fault = bench
        .changes
        .stage(&bench.view(), switch("namespace default", true, Some(UNTIL)))
        .unwrap_err();
    assert_eq!(fault.code, "taken");
    assert!(bench.changes.staged().is_empty());
    bench.stage(switch("namespace default", true, None));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    assert!(
        bench.text("tracing.yaml").starts_with(theirs.trim_end()),
        "{}",
        bench.text("tracing.yaml")
    );
    assert_eq!(of_sleep(&bench), Logged::All);
    assert_eq!(switched_on(&bench.view()), [], "it is not Egret's to remove");
    bench.changes.undo(&bench.folder, None).unwrap();
    assert_eq!(bench.text("tracing.yaml"), theirs);
}

#[test]
fn what_is_due_is_taken_away_and_what_is_staged_stays() {
    let bench = silent();
    bench.stage(switch("mesh", true, Some(UNTIL)));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    assert_eq!(due(&bench.view()), []);
    let file = "istio-system-egret-access-log.yaml";
    bench.write(file, &bench.text(file).replace("2126", "2020"));
    let edits = due(&bench.view());
    assert_eq!(edits, [switch("mesh", false, None)]);
    bench.stage(registry_only());
    let entry = bench.changes.apply_now(&bench.view(), &bench.traffic, edits).unwrap();
    assert_eq!(entry.title, "Access log off for mesh");
    assert!(!bench.folder.join(file).exists());
    assert_eq!(bench.changes.staged().len(), 1, "what a person staged waits on");
    bench.write(file, "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata:\n  name: egret-access-log\n  namespace: istio-system\n  annotations:\n    egret.dev/remove-after: soon\nspec: {}\n");
    assert_eq!(due(&bench.view()), [], "what is no time is never due");
}

#[test]
fn what_is_due_is_taken_away_of_a_workload_that_has_gone_too() {
    let bench = silent();
    let before = bench.bytes();
    bench.stage(switch("mesh", true, Some(UNTIL)));
    bench.stage(switch("workload default/sleep", true, Some(UNTIL)));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    std::fs::remove_file(bench.folder.join("sleep.yaml")).unwrap();
    let off = [
        switch("mesh", false, None),
        switch("workload default/sleep", false, None),
    ];
    for edit in off {
        bench
            .changes
            .apply_now(&bench.view(), &bench.traffic, vec![edit])
            .unwrap();
    }
    let mut left = before;
    left.remove("sleep.yaml");
    assert_eq!(bench.bytes(), left);
}

#[test]
fn an_end_that_is_over_blocks_apply_and_nonsense_is_refused() {
    let bench = silent();
    bench.stage(switch("mesh", true, Some("2020-01-01T00:00:00Z")));
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert!(review.blocked_because.unwrap().contains("is over"));
    assert_eq!(
        bench
            .changes
            .apply(&bench.view(), &bench.traffic, None)
            .unwrap_err()
            .code,
        "not-applicable"
    );
    for (scope, until) in [
        ("planet", None),
        ("workload default/none", None),
        ("namespace A b", None),
        ("mesh", Some("soon")),
    ] {
        assert!(
            bench.changes.stage(&bench.view(), switch(scope, true, until)).is_err(),
            "{scope} {until:?}"
        );
    }
    bench.changes.discard_all();
    bench.stage(switch("namespace default", false, None));
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert!(
        review.blocked_because.unwrap().contains("nothing to write"),
        "what is gone is gone"
    );
}
