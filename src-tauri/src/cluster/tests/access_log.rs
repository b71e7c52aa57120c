//! The access log's switch on a real API server.

use proxy_core::{
    policy::Verdict,
    record::{FlowWorkload, Line},
};

use super::*;
use crate::session::{access_log, due, switched_on};

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
    assert_eq!(bench.cluster.unread_access_logs().unwrap().code, "forbidden");
    assert!(bench.cluster.lost().is_none());
    let admin = Bench::open(api.kubeconfig());
    assert_eq!(admin.cluster.unread_access_logs(), None);
}

#[test]
fn a_format_that_an_envoy_filter_adds_is_read_for_the_pods_that_it_selects() {
    let Some(api) = api("a_format_that_an_envoy_filter_adds") else {
        return;
    };
    namespace(api, "filtered");
    let patch = |kind: &str, filter: &str| {
        format!(
            "  - applyTo: NETWORK_FILTER\n    match: {{context: SIDECAR_OUTBOUND, listener: {{filterChain: {{filter: {{name: \
             {filter}}}}}}}}}\n    patch:\n      operation: MERGE\n      value:\n        typed_config:\n          '@type': \
             type.googleapis.com/envoy.extensions.filters.network.{kind}\n          access_log:\n          - name: \
             envoy.access_loggers.file\n            typed_config:\n              '@type': \
             type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog\n              path: /dev/stdout\n              \
             log_format: {{text_format: 'OWN %REQUESTED_SERVER_NAME% %UPSTREAM_CLUSTER% %DOWNSTREAM_LOCAL_ADDRESS%'}}\n"
        )
    };
    api.apply(&format!(
        "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: log, namespace: filtered}}\nspec:\n  \
         workloadSelector: {{labels: {{app: a}}}}\n  configPatches:\n{}{}",
        patch(
            "http_connection_manager.v3.HttpConnectionManager",
            "envoy.filters.network.http_connection_manager"
        ),
        patch("tcp_proxy.v3.TcpProxy", "envoy.filters.network.tcp_proxy"),
    ));
    for name in ["a", "b"] {
        api.apply(&format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: filtered}}\nspec:\n  selector: \
             {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec: {{containers: \
             [{{name: app, image: i}}]}}\n"
        ));
    }
    let bench = Bench::open(api.kubeconfig());
    let view = bench.view();
    view.learned();
    let formats = bench.cluster.formats();
    let line = "OWN edition.cnn.com BlackHoleCluster 198.19.0.12:443";
    let read = |app: &str| {
        let workload = FlowWorkload {
            namespace: "filtered".into(),
            name: app.into(),
            labels: [("app".to_string(), app.to_string())].into(),
        };
        formats.read(line, &workload.into(), "")
    };
    let seen = read("a");
    assert!(
        matches!(&seen, Line::Flow(flow) if flow.verdict == Verdict::Blocked),
        "{seen:?} by {:?}",
        view.world().envoy_filters
    );
    assert_eq!(read("b"), Line::Other);
    // The mesh's own log may be on or off in this API server: what the filter adds is told from it either way.
    let told = access_log(&view, None);
    let own_is_on = !told.first_off.contains(&"filtered/b".to_string());
    let twice = told.twice.is_some_and(|told| told.contains("EnvoyFilter filtered/log"));
    assert!(!told.first_off.contains(&"filtered/a".to_string()));
    assert_eq!(twice, own_is_on);
}
