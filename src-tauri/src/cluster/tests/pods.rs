//! Pods and what they were born with; a change that nobody keeps; ranges that are the cluster's own.

use std::{path::PathBuf, sync::mpsc};

use egret_tests::mesh::{Api, eventually};

use super::{Bench, api, entry, namespace, uid_of};
use crate::{
    app::{Source, left_by_a_killed_app},
    cluster::{Lives, RestartStep, StepState},
    desk::{Desk, Places},
    dto::{Afterwards, Countdown, DraftKind, Edit, PodsRow, RestartStepState, RunsWith},
    session::pods_view,
};

/// A Deployment's pod as injection makes it, with these rules.
fn pod(api: &Api, namespace: &str, name: &str, exclude: &str) {
    // No controller makes it here.
    api.apply(&format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: default, namespace: {namespace}}}\n"
    ));
    api.apply(&format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  selector: \
         {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec: {{containers: \
         [{{name: app, image: i}}]}}\n"
    ));
    let uid = uid_of(api, namespace, name);
    api.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}-1\n  namespace: {namespace}\n  labels: {{app: {name}}}\n  \
         ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: {name}, uid: {uid}, controller: true}}]\nspec:\n  \
         containers: [{{name: app, image: i}}, {{name: istio-proxy, image: i}}]\n  initContainers: [{{name: istio-init, image: \
         i, args: [istio-iptables, -i, '*', -x, '{exclude}']}}]\n"
    ));
}

fn row(bench: &Bench, workload: &str) -> Option<PodsRow> {
    let rows = pods_view(&bench.view(), &bench.cluster).workloads;
    rows.into_iter().find(|row| row.workload == workload)
}

#[test]
fn a_pod_that_was_born_with_other_ranges_is_older_until_it_is_gone() {
    let Some(api) = api("a_pod_that_was_born_with_other_ranges") else {
        return;
    };
    namespace(api, "born");
    let values = serde_json::json!({"global": {"proxy": {"excludeIPRanges": "10.9.0.0/16", "includeIPRanges": "*"}}});
    let map = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio-sidecar-injector", "namespace": "istio-system"},
        "data": {"values": values.to_string()}});
    api.apply(&map.to_string());
    pod(api, "born", "old", "");
    pod(api, "born", "new", "10.9.0.0/16");
    let bench = Bench::open(api.kubeconfig());
    let old = row(&bench, "born/old").unwrap();
    assert_eq!(
        (old.runs_with, old.stale, old.pods, old.restarts),
        (RunsWith::Older, 1, 1, true)
    );
    let lists = old.has.unwrap();
    assert_eq!(
        (lists.exclude_ranges.as_str(), old.gets.exclude_ranges.as_str()),
        ("", "10.9.0.0/16")
    );
    assert_eq!(row(&bench, "born/new").unwrap().runs_with, RunsWith::Current);
    api.text(&["delete", "pod", "old-1", "-n", "born", "--grace-period=0", "--force"]);
    eventually("the pod to go", || row(&bench, "born/old").is_none().then_some(()));
}

#[test]
fn a_workload_gets_ranges_of_its_own_and_keeps_everything_else() {
    let Some(api) = api("a_workload_gets_ranges_of_its_own") else {
        return;
    };
    namespace(api, "own");
    pod(api, "own", "a", "");
    let spec = || api.text(&["get", "deployment", "a", "-n", "own", "-o", "jsonpath={.spec}"]);
    let before = spec();
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let edit = Edit::Capture {
        namespace: "own".into(),
        name: "a".into(),
        include_ranges: None,
        exclude_ranges: Some("10.7.0.0/16".into()),
        include_ports: None,
        exclude_ports: None,
    };
    bench.changes.stage(&bench.view(), edit).unwrap();
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert!(
        review
            .warnings
            .iter()
            .any(|warning| warning.contains("rolls all of its pods")),
        "{:?}",
        review.warnings
    );
    assert!(
        review.diffs[0].command.contains("--type merge --patch '{\"spec\""),
        "{}",
        review.diffs[0].command
    );
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    let after = spec();
    assert!(
        after.contains("excludeOutboundIPRanges\":\"10.7.0.0/16\"") && after.contains("\"image\":\"i\""),
        "{after}"
    );
    let row = row(&bench, "own/a").unwrap();
    assert_eq!(
        (row.gets.exclude_ranges.as_str(), row.own, row.stale),
        ("10.7.0.0/16", true, 1)
    );
    bench.changes.undo(&*bench.cluster, None).unwrap();
    let strip = |spec: String| spec.replace("\"annotations\":{},", "");
    assert_eq!(strip(spec()), before);
}

#[test]
fn a_restart_is_refused_while_read_only_and_stops_at_the_first_that_cannot_roll() {
    let Some(api) = api("a_restart_is_refused_while_read_only") else {
        return;
    };
    namespace(api, "restart");
    for name in ["a", "b", "c"] {
        pod(api, "restart", name, "");
    }
    api.text(&["rollout", "pause", "deployment/b", "-n", "restart"]);
    let bench = Bench::open(api.kubeconfig());
    let of = |names: &[&str]| {
        let key = |name: &&str| ("Deployment".to_string(), "restart".to_string(), (*name).to_string());
        names.iter().map(key).collect::<Vec<_>>()
    };
    let fault = bench.cluster.begin_restart(of(&["a"]), |_| {}).unwrap_err();
    assert_eq!(fault.code, "read-only");
    bench.cluster.set_editing(true);
    let job = vec![("Job".to_string(), "restart".to_string(), "j".to_string())];
    assert_eq!(bench.cluster.begin_restart(job, |_| {}).unwrap_err().code, "kind");
    let (told_tx, told_rx) = mpsc::channel();
    let hear = move |steps: &[RestartStep]| told_tx.send(steps.to_vec()).unwrap();
    bench.cluster.begin_restart(of(&["b", "c"]), hear).unwrap();
    let ended = eventually("the restart to end", || {
        let restart = pods_view(&bench.view(), &bench.cluster).restart;
        (!restart.running).then_some(restart)
    });
    assert!(matches!(&ended.steps[0].step, RestartStepState::Failed { fault } if fault.message.contains("paused")));
    assert_eq!(ended.steps[1].step, RestartStepState::Left);
    let told = told_rx.recv().unwrap();
    assert!(matches!(&told[0].state, StepState::Failed(fault) if fault.message.contains("paused")));
    assert_eq!((told.len(), &told[1].state), (2, &StepState::Left));

    // Nobody rolls pods here: what is begun goes on until it is stopped, and the next one is never begun.
    bench.cluster.begin_restart(of(&["a", "c"]), |_| {}).unwrap();
    eventually("the annotation", || {
        let path = "jsonpath={.spec.template.metadata.annotations}";
        let annotations = api.text(&["get", "deployment", "a", "-n", "restart", "-o", path]);
        annotations.contains("restartedAt").then_some(())
    });
    assert_eq!(
        bench.cluster.begin_restart(of(&["a"]), |_| {}).unwrap_err().code,
        "busy"
    );
    eventually("the workload to roll", || {
        let restart = pods_view(&bench.view(), &bench.cluster).restart;
        matches!(restart.steps[0].step, RestartStepState::Rolling { .. }).then_some(())
    });
    bench.cluster.stop_restart();
    assert!(!pods_view(&bench.view(), &bench.cluster).restart.running);
}

#[test]
fn a_change_that_nobody_keeps_is_taken_back_with_editing_switched_off() {
    let Some(api) = api("a_change_that_nobody_keeps") else {
        return;
    };
    namespace(api, "unkept");
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    bench.put("unkept", "a", &entry("unkept", "a", "a.com"));
    let countdown = Countdown {
        seconds: 5,
        afterwards: Afterwards::Revert,
    };
    let applied = bench.changes.apply(&bench.view(), &bench.traffic, Some(&countdown));
    assert!(applied.unwrap().unconfirmed);
    bench.waits_for("unkept", &["a.com"]);
    bench.cluster.set_editing(false);
    while !bench.changes.await_deadline() {}
    bench.changes.revert_due(&*bench.cluster).unwrap();
    let left = api.text(&["get", "serviceentries", "-n", "unkept", "-o", "name"]);
    assert_eq!(left, "");
    assert!(bench.changes.entries(&*bench.cluster).unwrap()[0].reverted);
}

#[test]
fn what_nobody_kept_in_a_cluster_is_taken_back_at_the_next_start_of_the_app() {
    let Some(api) = api("what_nobody_kept_in_a_cluster") else {
        return;
    };
    namespace(api, "restarted");
    let root = tempfile::tempdir().unwrap();
    let (folder, data) = (root.path().join("folder"), root.path().join("data"));
    std::fs::create_dir(&folder).unwrap();
    let start = |data: PathBuf| {
        let places = Places {
            folder: Some(folder.clone()),
            resources: None,
            data,
        };
        Desk::open(places, |_, _| {}).unwrap()
    };
    let (desk, app) = start(data.clone());
    let file = app.shared.kubeconfigs.add(&api.kubeconfig()).unwrap();
    let listed = app.kubeconfigs().into_iter().find(|listed| listed.id == file);
    let name = listed.unwrap().contexts.remove(0).name;
    app.open(&Source::Context { file, name }).unwrap();
    app.set_editing(true).unwrap();
    let edit = Edit::Put {
        object: DraftKind::ServiceEntry,
        namespace: "restarted".into(),
        name: "a".into(),
        yaml: entry("restarted", "a", "a.com"),
        base: None,
    };
    app.changes.stage(&app.view(), edit).unwrap();
    let countdown = Countdown {
        seconds: 3600,
        afterwards: Afterwards::Revert,
    };
    app.apply(Some(&countdown)).unwrap();
    let left = || api.text(&["get", "serviceentries", "-n", "restarted", "-o", "name"]);
    assert_ne!(left(), "");
    let left_open = app.open(&Source::Folder(folder.clone()));
    assert_eq!(left_open.unwrap_err().code, "unconfirmed");
    // Killed: nothing of its end runs.
    std::mem::forget((desk, app));

    let (_desk, app) = start(left_by_a_killed_app(&data));
    eventually("the change to be taken back", || left().is_empty().then_some(()));
    eventually("it to be told", || {
        let told = app.changes.recovered();
        told.iter().any(|told| told.contains("was taken back")).then_some(())
    });
    assert!(app.changes.unconfirmed(&*app.view().store).unwrap().is_empty());
}

#[test]
fn the_clusters_own_ranges_are_found_by_whoever_may_read_them() {
    let Some(api) = api("the_clusters_own_ranges") else {
        return;
    };
    let ranges = Bench::open(api.kubeconfig()).cluster.own_ranges().unwrap();
    let services = ranges
        .found
        .iter()
        .find(|range| range.lives == Lives::Services)
        .unwrap();
    assert_eq!(
        (services.range.to_string().as_str(), services.certain),
        ("10.96.0.0/16", true)
    );
    assert_eq!(ranges.unread, Vec::<String>::new());
    let viewer = Bench::open(api.user("viewer").kubeconfig())
        .cluster
        .own_ranges()
        .unwrap();
    assert!(!viewer.unread.is_empty(), "what was not read is said: {viewer:?}");
}
