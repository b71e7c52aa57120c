//! A window that puts a sidecar beside a workload: what it starts is its own, and goes with it.

use std::thread;

use egret_tests::mesh::eventually;

use super::{
    Bench, api,
    deployed::{options, prepared, put, stored, workload},
    namespace,
    windows::started,
};
use crate::{
    cluster::SESSION,
    dto::{CheckOutcome, DeployDns, DeployMode, DeployOptions, DeployPhase, DeployPlace, DeployWay},
    sidecar::deploy::{IMAGE, Options},
};

#[test]
fn what_a_window_starts_is_not_listed_as_left_behind_and_goes_when_it_closes() {
    let Some(api) = api("what_a_window_starts") else { return };
    namespace(api, "closing");
    workload(api, "Deployment", "closing");
    let root = tempfile::tempdir().unwrap();
    let (desk, app) = started(root.path(), &api.kubeconfig());

    let options = DeployOptions {
        kind: "Deployment".into(),
        workload: "closing/cart".into(),
        mode: DeployMode::Enforce,
        place: DeployPlace::Copy,
        way: DeployWay::Capture,
        dns: DeployDns::Workload,
        image: IMAGE.into(),
        staged: false,
    };
    let checks = app.deploy_checks(options.clone()).unwrap();
    assert!(checks.refused.unwrap().contains("switched off"));
    let image = checks.checks.iter().find(|check| check.title == "Image").unwrap();
    assert_eq!(image.outcome, CheckOutcome::Unknown, "no node says anything: {image:?}");
    app.set_editing(true).unwrap();
    let starting = {
        let app = app.clone();
        thread::spawn(move || app.deploy_start(options).unwrap())
    };
    let session = eventually("the copy to be made", || {
        let state = app.deployment.state();
        let step = state.steps.get(1)?;
        state.session.filter(|_| step.text.contains("waits for"))
    });
    let left = app.deploy_left().unwrap();
    assert!(left.iter().all(|each| each.session != session), "{left:?}");
    assert_eq!(app.deploy_remove("closing", &session).unwrap_err().code, "running");

    assert!(desk.close(&app.window), "it was the last window");
    let state = starting.join().unwrap();
    assert_eq!(state.phase, DeployPhase::Failed);
    let made = [
        "get",
        "deployments,configmaps",
        "-n",
        "closing",
        "-l",
        SESSION,
        "-o",
        "name",
    ];
    assert_eq!(api.text(&made), "");
    drop(app);
    desk.end();
}

#[test]
fn what_was_chosen_about_dns_is_in_the_pods_that_are_stored() {
    let Some(api) = api("what_was_chosen_about_dns") else {
        return;
    };
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    namespace(api, "inject-dns");
    workload(api, "Deployment", "inject-dns");
    for (dns, captured, told) in [
        (DeployDns::Workload, false, None),
        (DeployDns::On, true, Some("--dns-capture=true")),
        (DeployDns::Off, false, Some("--dns-capture=false")),
    ] {
        let options = Options {
            dns,
            ..options("Deployment", "inject-dns", DeployPlace::Workload, DeployWay::Capture)
        };
        let prepared = prepared(&bench, options);
        put(&bench.cluster, &prepared);
        let (pods, _) = stored(api, "Deployment", "inject-dns");
        assert_eq!(pods.contains("--dns-port=15953"), captured, "{dns:?}");
        assert_eq!(pods.contains("--dns=127.0.0.1:15953"), captured, "{dns:?}");
        assert_eq!(pods.contains("--dns-capture"), told.is_some(), "{dns:?}");
        assert!(told.is_none_or(|told| pods.contains(told)), "{dns:?}");
        bench
            .cluster
            .eject("Deployment", "inject-dns", "cart")
            .unwrap()
            .unwrap();
        bench.cluster.delete_session("inject-dns", &prepared.id).unwrap();
    }
}
