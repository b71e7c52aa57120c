//! The access log's switch on a real API server.

use super::*;
use crate::session::{due, switched_on};

#[test]
fn an_access_log_is_switched_on_by_a_marked_object_and_ends_when_due() {
    let Some(api) = api("an_access_log_is_switched_on") else {
        return;
    };
    namespace(api, "logged");
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let edit = Edit::AccessLog {
        scope: "namespace logged".into(),
        on: true,
        until: Some("2126-11-28T12:00:00Z".into()),
    };
    bench.changes.stage(&bench.view(), edit).unwrap();
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert_eq!((review.applicable, review.blocked_because), (true, None));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    let own = |path: &str| {
        let path = format!("jsonpath={path}");
        api.text(&["get", "telemetry", "egret-access-log", "-n", "logged", "-o", &path])
    };
    assert_eq!(
        own("{.metadata.annotations.egret\\.dev/remove-after}"),
        "2126-11-28T12:00:00Z"
    );
    assert_eq!(own("{.metadata.labels.app\\.kubernetes\\.io/managed-by}"), "egret");
    assert_eq!(own("{.spec.accessLogging[0].providers[0].name}"), "envoy");
    assert_eq!(switched_on(&bench.view())[0].scope, "namespace logged");

    // Somebody shortens it: it is due, and goes as any other change does.
    let annotate = [
        "annotate",
        "telemetry",
        "egret-access-log",
        "-n",
        "logged",
        "--overwrite",
    ];
    api.text(&[&annotate[..], &["egret.dev/remove-after=2020-01-01T00:00:00Z"]].concat());
    let edits = eventually("the end to be due", || {
        Some(due(&bench.view())).filter(|due| !due.is_empty())
    });
    let entry = bench.changes.apply_now(&bench.view(), &bench.traffic, edits).unwrap();
    assert_eq!(api.text(&["get", "telemetry", "-n", "logged", "-o", "name"]), "");
    assert!(entry.undoable, "the journal has it");
}

#[test]
fn who_may_not_read_telemetry_sees_the_policy_and_is_told() {
    let Some(api) = api("who_may_not_read_telemetry") else {
        return;
    };
    let bench = Bench::open(api.user("viewer").kubeconfig());
    assert_eq!(bench.cluster.unread_telemetry().unwrap().code, "forbidden");
    assert!(bench.cluster.lost().is_none());
    let admin = Bench::open(api.kubeconfig());
    assert_eq!(admin.cluster.unread_telemetry(), None);
}
