//! The sidecar, the app and the API server are killed at each step of a deployment. Whatever is killed when: the sidecar goes
//! on with the last good policy and says how old it is, nothing stays half done, what is left is found and removed, and the
//! workload is what it was.

use egret_tests::mesh::{Mesh, eventually};

use super::{
    deploying::{
        Stored, bring_image, check_and_start, choose, comes_out, left, open, policy_is, refused, stands, stop,
    },
    own, stage,
    window::Window,
};

/// A workload that Istio leaves alone, so that it starts and ends at once.
const BARE: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: bare, namespace: default}
spec:
  selector: {matchLabels: {app: bare}}
  template:
    metadata: {labels: {app: bare, sidecar.istio.io/inject: 'false'}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: 'egret.test/sleep:1'}]
";
const TARGET: &str = "Deployment default/bare";

/// How far a deployment is when something is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// Its policy is in the cluster.
    Policy,
    /// The workload has been given the sidecar.
    Workload,
    /// The sidecar is ready, and is being connected to.
    Traffic,
    Running,
    /// Another policy is on its way.
    Change,
    /// It is being removed.
    Stopping,
}

const STEPS: [Step; 6] = [
    Step::Policy,
    Step::Workload,
    Step::Traffic,
    Step::Running,
    Step::Change,
    Step::Stopping,
];

pub fn story(mesh: &Mesh) {
    bring_image(mesh);
    mesh.apply(BARE);
    mesh.text(&["rollout", "status", "deployment/bare", "--timeout=55s"]);
    let before = Stored::of(mesh, "default", "bare");
    let clean = |when: &str| {
        eventually(&format!("nothing to be left, {when}"), || {
            left(mesh).is_empty().then_some(())
        });
        assert_eq!(Stored::of(mesh, "default", "bare"), before, "{when}");
    };
    for (index, step) in STEPS.into_iter().enumerate() {
        // Each place in turn.
        let place = ["place-copy", "place-workload"][index % 2];
        the_app(mesh, step, place);
        clean(&format!("the app was killed: {step:?}, {place}"));
    }
    for place in ["place-workload", "place-copy"] {
        the_others(mesh, place, &clean);
    }
    mesh.text(&["delete", "deployment/bare", "--wait=false"]);
}

/// Kills the app; another one finds what is left, and removes it.
fn the_app(mesh: &Mesh, step: Step, place: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let session = own::session(scratch.path(), &mesh.kubeconfig());
    stage::play_to_the_death(&session, async |window| {
        open(window).await;
        choose(window, TARGET, &["mode-enforce", place]).await;
        comes_to(mesh, window, step).await;
        session.kill_app();
    });
    if step == Step::Change {
        mesh.set_mode("REGISTRY_ONLY", "ALLOW_ANY");
    }
    let scratch = tempfile::tempdir().unwrap();
    let session = own::session(scratch.path(), &mesh.kubeconfig());
    stage::play(&session, async |window| {
        open(window).await;
        // One that was being stopped may have been told to go, all of it.
        if !left(mesh).is_empty() && step != Step::Stopping {
            window.wait_for("deploy-left", &["default/bare"]).await;
            window.click("deploy-left-remove").await;
        }
    });
}

/// Kills the API server at each step, and the sidecar once there is one: all of it in one deployment's life.
fn the_others(mesh: &Mesh, place: &str, clean: &impl Fn(&str)) {
    let scratch = tempfile::tempdir().unwrap();
    let session = own::session(scratch.path(), &mesh.kubeconfig());
    stage::play(&session, async |window| {
        open(window).await;
        choose(window, TARGET, &["mode-enforce", place]).await;
        for step in [Step::Policy, Step::Workload] {
            comes_to(mesh, window, step).await;
            outage(mesh);
            stands(window, "running").await;
            comes_out(window, "https://www.google.com/headers", "200", "Passthrough").await;
            stop(window).await;
            clean(&format!("the API server was killed: {step:?}, {place}"));
        }

        check_and_start(window).await;
        mesh.set_mode("ALLOW_ANY", "REGISTRY_ONLY");
        policy_is(window, "no. 2").await;
        // The last policy that was good is kept, also by a sidecar that was killed; and it says since when.
        kill_sidecar(mesh);
        let pod = window.wait_for("deploy-pod", &["no. 2", "kept"]).await;
        assert!(pod.contains("ago") || pod.contains("now"), "its age is said: {pod}");
        comes_out(window, "https://www.google.com/headers", "exit 35", "Blocked").await;
        outage(mesh);
        policy_is(window, "no. 2").await;
        comes_out(window, "https://www.google.com/headers", "exit 35", "Blocked").await;

        // Another policy, while the sidecar, and then the API server, go away.
        mesh.set_mode("REGISTRY_ONLY", "ALLOW_ANY");
        kill_sidecar(mesh);
        policy_is(window, "no. 3").await;
        comes_out(window, "https://www.google.com/headers", "200", "Passthrough").await;
        mesh.set_mode("ALLOW_ANY", "REGISTRY_ONLY");
        outage(mesh);
        policy_is(window, "no. 4").await;
        comes_out(window, "https://www.google.com/headers", "exit 35", "Blocked").await;
        mesh.set_mode("REGISTRY_ONLY", "ALLOW_ANY");
        policy_is(window, "no. 5").await;

        window.click("deploy-stop").await;
        outage(mesh);
        stands(window, "none").await;
    });
    clean(&format!("sidecar and API server were killed, {place}"));
}

/// The API server is away, and back.
fn outage(mesh: &Mesh) {
    mesh.kill_server();
    mesh.start_server();
}

/// Starts, and returns as soon as it is as far as this.
async fn comes_to(mesh: &Mesh, window: &Window, step: Step) {
    if matches!(step, Step::Policy | Step::Workload | Step::Traffic) {
        assert_eq!(refused(window).await, Vec::<String>::new());
        window.click("deploy-start").await;
        let there = |arguments: &[&str]| {
            eventually(&format!("{step:?}"), || {
                let found = mesh.text(&[&["get"], arguments, &["--ignore-not-found"]].concat());
                found.contains("egret").then_some(())
            });
        };
        match step {
            Step::Policy => there(&["configmaps", "--selector=egret.dev/session", "--output=name"]),
            Step::Workload => there(&[
                "pods",
                "--selector=egret.dev/session",
                "--output=jsonpath={.items[*].spec.initContainers[*].name}",
            ]),
            _ => there(&[
                "pods",
                "--selector=egret.dev/session",
                "--output=jsonpath={.items[*].status.initContainerStatuses[?(@.ready==true)].name}",
            ]),
        }
        return;
    }
    check_and_start(window).await;
    match step {
        Step::Change => mesh.set_mode("ALLOW_ANY", "REGISTRY_ONLY"),
        Step::Stopping => window.click("deploy-stop").await,
        _ => {}
    }
}

/// Kills the sidecar's first process, and returns when it runs again.
fn kill_sidecar(mesh: &Mesh) {
    let status = |field: &str| {
        let path =
            format!("--output=jsonpath={{.items[0].status.initContainerStatuses[?(@.name=='egret-proxy')].{field}}}");
        mesh.text(&["get", "pods", "--selector=egret.dev/session", &path])
    };
    let before = status("restartCount");
    mesh.kill_container(status("containerID").trim_start_matches("containerd://"));
    eventually("the sidecar to run again", || {
        (status("restartCount") != before && status("ready") == "true").then_some(())
    });
}
