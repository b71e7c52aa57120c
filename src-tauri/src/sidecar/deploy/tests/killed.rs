//! An app that is killed at any moment of a deployment: the next one finds what is left, a person removes it, and the
//! namespace is what it was. Without a node no pod runs; that a sidecar runs is only said.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Child, Command},
    sync::Arc,
    thread,
};

use egret_tests::mesh::{Api, eventually};
use serde_json::{Value, json};

use super::{
    super::prepare,
    between::{Moment, everything, named, runs},
};
use crate::{
    app::App,
    cluster::{
        SESSION,
        tests::{
            Bench, api,
            deployed::{options, workload},
            entry, namespace, uid_of,
            windows::{started, started_telling},
        },
    },
    dto::{DeployDns, DeployMode, DeployOptions, DeployPlace, DeployWay},
    events::Event,
    sidecar::deploy::{ADMIN_PORT, IMAGE},
};

/// Names the folder of a process of its own: its kubeconfig, its data, and the row of the table that it plays.
const KILLED: &str = "EGRET_TEST_KILLED_DEPLOYING";

/// Of a workload that has one.
const POD: &str = "cart-1";

const MOMENTS: [Moment; 8] = [
    Moment::Policy,
    Moment::Put,
    Moment::Waits,
    Moment::Runs,
    Moment::Changed,
    Moment::Stops,
    Moment::Out,
    Moment::Gone,
];

/// Where it is deployed, and when the app is killed.
#[derive(Clone, Copy)]
struct Row {
    place: DeployPlace,
    moment: Moment,
}

impl Row {
    fn all() -> impl Iterator<Item = Self> {
        let places = [DeployPlace::Copy, DeployPlace::Workload, DeployPlace::Pod].into_iter();
        let all = places.flat_map(|place| MOMENTS.into_iter().map(move |moment| Self { place, moment }));
        // What runs in a pod is ended by telling it to.
        all.filter(|row| row.place != DeployPlace::Pod || !row.moment.is_after_start())
    }

    fn name(self) -> String {
        format!("{}-{:?}", named(self.place), self.moment).to_lowercase()
    }

    /// All rows of a place share a namespace, which each leaves as it was; but a pod keeps what was added to it.
    fn space(self) -> String {
        match self.place {
            DeployPlace::Pod => format!("killed-{}", self.name()),
            DeployPlace::Copy | DeployPlace::Workload => format!("killed-{}", named(self.place)),
        }
    }
}

/// An app in a process of its own, which has come as far as its row says and goes no further.
fn at_its_moment(api: &Api, root: &Path, row: Row) -> Child {
    fs::copy(api.kubeconfig(), root.join("config")).unwrap();
    fs::write(root.join("row"), row.name()).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "deployed_by_an_app_of_its_own"])
        .env(KILLED, root)
        .spawn()
        .unwrap();
    if row.moment == Moment::Changed {
        eventually("the sidecar to run", || root.join("runs").exists().then_some(()));
        api.apply(&entry(&row.space(), "new", "new.com"));
    }
    eventually(&format!("{:?}", row.moment), || {
        root.join("reached").exists().then_some(())
    });
    child
}

#[test]
#[ignore = "the other half of a test, started and killed by it"]
fn deployed_by_an_app_of_its_own() {
    let Some(root) = std::env::var_os(KILLED) else { return };
    let root = Path::new(&root).to_path_buf();
    let name = fs::read_to_string(root.join("row")).unwrap();
    let row = Row::all().find(|row| row.name() == name).unwrap();
    let space = row.space();
    let told = root.clone();
    let (_desk, app) = started_telling(&root, &root.join("config"), move |_, event| {
        let Event::DeployChanged(state) = event else { return };
        if Moment::Runs.has_come(&state) {
            fs::write(told.join("runs"), "").unwrap();
        }
        if row.moment.has_come(&state) {
            fs::write(told.join("reached"), "").unwrap();
            stay();
        }
    });
    app.set_editing(true).unwrap();
    match row.moment.is_after_start() {
        false => drop(app.deploy_start(chosen(row.place, &space)).unwrap()),
        true => runs_and_stops(&app, row, &space),
    }
}

/// It runs, and is stopped where the row is about that.
fn runs_and_stops(app: &Arc<App>, row: Row, space: &str) {
    let (cluster, deployment) = (app.cluster().unwrap(), &app.deployment);
    let options = options("Deployment", space, row.place, DeployWay::Capture);
    let prepared = Arc::new(prepare(&cluster, &app.view(), None, options).unwrap());
    runs(deployment, &cluster, &prepared);
    if row.moment == Moment::Changed {
        stay();
    }
    deployment.stop().unwrap();
}

fn stay() -> ! {
    loop {
        thread::park();
    }
}

fn chosen(place: DeployPlace, space: &str) -> DeployOptions {
    DeployOptions {
        kind: "Deployment".into(),
        workload: format!("{space}/cart"),
        mode: DeployMode::Enforce,
        place,
        way: DeployWay::Capture,
        dns: DeployDns::Workload,
        image: IMAGE.into(),
        staged: false,
    }
}

#[test]
fn what_an_app_that_is_killed_at_any_moment_left_is_found_and_removed_and_the_namespace_is_what_it_was() {
    let Some(api) = api("what_an_app_that_is_killed_at_any_moment") else {
        return;
    };
    let roots: Vec<_> = Row::all().map(|row| (row, tempfile::tempdir().unwrap())).collect();
    let mut spaces = BTreeSet::new();
    for (row, root) in &roots {
        let (row, root) = (*row, root.path());
        let (space, when) = (row.space(), format!("{}, {:?}", named(row.place), row.moment));
        if spaces.insert(space.clone()) {
            namespace(api, &space);
            workload(api, "Deployment", &space);
        }
        if row.place == DeployPlace::Pod {
            running_pod(api, &space);
        }
        let before = everything(api, &space);
        let mut killed = at_its_moment(api, root, row);
        // SIGKILL: nothing of its end runs.
        killed.kill().unwrap();
        assert!(!killed.wait().unwrap().success());
        if row.place == DeployPlace::Pod && row.moment != Moment::Policy {
            ended(api, &space);
        }
        if row.moment == Moment::Changed {
            api.text(&["delete", "serviceentry", "new", "-n", &space]);
        }

        let (_desk, app) = started(root, &root.join("config"));
        let left = || {
            let all = app.deploy_left().unwrap().into_iter();
            all.filter(|each| each.namespace == space).collect::<Vec<_>>()
        };
        let found = left();
        if row.moment == Moment::Gone {
            assert_eq!(found, [], "{when}");
        } else {
            assert_eq!(found.len(), 1, "{when}: {found:?}");
            let found = &found[0];
            assert_eq!(found.workload, format!("Deployment {space}/cart"), "{when}");
            let both = !matches!(row.moment, Moment::Policy | Moment::Out);
            assert_eq!(found.objects.len(), 1 + usize::from(both), "{when}: {found:?}");
            let refused = app.deploy_remove(&space, &found.session).unwrap_err();
            assert_eq!(
                refused.code, "read-only",
                "{when}: nothing is touched before a person says so"
            );
            app.set_editing(true).unwrap();
            app.deploy_remove(&space, &found.session).unwrap();
        }
        assert_eq!(left(), [], "{when}");
        assert_eq!(everything(api, &space), before, "{when}");
    }
}

#[test]
fn a_sidecar_whose_image_cannot_be_fetched_is_taken_out_of_its_pod_though_it_answers_nobody() {
    let Some(api) = api("a_sidecar_whose_image_cannot_be_fetched") else {
        return;
    };
    let space = "unfetched";
    namespace(api, space);
    workload(api, "Deployment", space);
    running_pod(api, space);
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let options = options("Deployment", space, DeployPlace::Pod, DeployWay::Capture);
    let prepared = prepare(&bench.cluster, &bench.view(), None, options).unwrap();
    let (sidecar, _) = prepared.attached();
    bench.cluster.attach(space, POD, &prepared.id, &sidecar).unwrap();
    let name = sidecar["name"].as_str().unwrap();
    let waits = json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}});
    say(
        api,
        space,
        &json!({"ephemeralContainerStatuses": [container(name, &waits)]}),
    );
    bench.cluster.detach(space, POD, &prepared.id, ADMIN_PORT).unwrap();
    let marked = api.text(&["get", "pods", "-n", space, "-l", SESSION, "-o", "name"]);
    assert_eq!(marked, "");
}

/// A pod of the workload that is said to run.
fn running_pod(api: &Api, space: &str) {
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": POD, "namespace": space, "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "Deployment", "name": "cart", "uid": uid_of(api, space, "cart"), "controller": true}]},
        "spec": {"serviceAccountName": "cart", "containers": [{"name": "app", "image": "app:1"}]}});
    api.apply(&pod.to_string());
    say(
        api,
        space,
        &json!({"containerStatuses": [container("app", &json!({"running": {}}))]}),
    );
}

/// As the node says of what was added to the pod once it was killed.
fn ended(api: &Api, space: &str) {
    let names = "jsonpath={.spec.ephemeralContainers[*].name}";
    let names = api.text(&["get", "pod", POD, "-n", space, "-o", names]);
    let end = json!({"terminated": {"exitCode": 137}});
    let all: Vec<Value> = names.split(' ').map(|name| container(name, &end)).collect();
    say(api, space, &json!({"ephemeralContainerStatuses": all}));
}

fn container(name: &str, state: &Value) -> Value {
    json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state})
}

fn say(api: &Api, space: &str, status: &Value) {
    let patch = json!({ "status": status }).to_string();
    api.text(&["patch", "pod", POD, "-n", space, "--subresource=status", "-p", &patch]);
}
