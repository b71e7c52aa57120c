//! A sidecar beside a workload, by clicking: in a copy and in the workload itself, enforcing and observing, redirected and as
//! an HTTP proxy, under a policy that changes while it runs; and nothing is left of it.

use egret_tests::mesh::{Mesh, eventually};

use super::{
    deploying::{Stored, bring_image, check_and_start, choose, comes_out, left, open, policy_is, refused, stop},
    own, stage,
    story::{HTTPBIN, TIMEOUT},
    window::Window,
};

const SLEEP: &str = "Deployment default/sleep";
/// A namespace that allows no capability, with a workload that needs none.
const STRICT: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: strict, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: strict, namespace: strict}
spec:
  selector: {matchLabels: {app: strict}}
  template:
    metadata: {labels: {app: strict}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: app
        image: egret.test/sleep:1
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
";

pub fn story(mesh: &Mesh) {
    bring_image(mesh);
    let before = Stored::of(mesh, "default", "sleep");
    for play in [in_a_copy, in_a_running_pod, in_the_workload] as [fn(&Mesh); 3] {
        play(mesh);
        assert_eq!(Stored::of(mesh, "default", "sleep"), before);
        assert_eq!(left(mesh), "");
    }
    where_nothing_may_redirect(mesh);
    assert_eq!(left(mesh), "");
}

fn by_clicking(mesh: &Mesh, story: impl AsyncFnOnce(&Window)) {
    let scratch = tempfile::tempdir().unwrap();
    let session = own::session(scratch.path(), &mesh.kubeconfig());
    stage::play(&session, story);
}

/// Enforces, first what holds, then another mode, while it runs.
fn in_a_copy(mesh: &Mesh) {
    by_clicking(mesh, async |window| {
        open(window).await;
        choose(window, SLEEP, &["mode-enforce", "dns-on"]).await;
        assert_eq!(refused(window).await, Vec::<String>::new());
        window.wait_for("deploy-check", &["DNS", "as chosen"]).await;
        window.click("deploy-dns-workload").await;
        check_and_start(window).await;
        // The copy is under Egret's sidecar alone.
        let copies = [
            "get",
            "pods",
            "--selector=egret.dev/copy-of=sleep",
            "--output=jsonpath={.items[*].spec.containers[*].name}",
        ];
        assert_eq!(mesh.text(&copies), "sleep");
        comes_out(window, "http://httpbin.org/headers", "200", "Passthrough").await;
        mesh.set_mode("ALLOW_ANY", "REGISTRY_ONLY");
        policy_is(window, "no. 2").await;
        comes_out(window, "https://www.google.com/headers", "exit 35", "Blocked").await;
        mesh.apply(HTTPBIN);
        policy_is(window, "no. 3").await;
        comes_out(window, "http://httpbin.org/headers", "200", "Registered").await;
        comes_out(window, "http://www.google.com/headers", "502", "Blocked").await;
        mesh.text(&["delete", "serviceentry/httpbin"]);
        mesh.set_mode("REGISTRY_ONLY", "ALLOW_ANY");
        let ended = stop(window).await;
        assert!(
            ended.contains("copy of Deployment default/sleep") && ended.contains("are gone"),
            "{ended}"
        );
    });
}

/// The address of IPv4 that istiod gives the host of a ServiceEntry in `default`.
fn allocated(mesh: &Mesh, entry: &str) -> String {
    let addresses = [
        "get",
        "serviceentry",
        entry,
        "--output=jsonpath={.status.addresses[*].value}",
    ];
    eventually("an allocated address", || {
        let addresses = mesh.text(&addresses);
        addresses
            .split(' ')
            .find(|address| address.contains('.'))
            .map(str::to_string)
    })
}

/// Added to a pod that runs, and goes on running: what is redirected, DNS too, is redirected for as long as the sidecar lives.
fn in_a_running_pod(mesh: &Mesh) {
    let pods = ["get", "pods", "--selector=app=sleep", "--output=name"];
    let pod = mesh.text(&pods);
    let attached = |field: &str| {
        let path = format!("--output=jsonpath={{.status.ephemeralContainerStatuses[*].{field}}}");
        mesh.text(&["get", pod.trim(), &path])
    };
    by_clicking(mesh, async |window| {
        open(window).await;
        choose(window, SLEEP, &["mode-enforce", "place-pod", "dns-on"]).await;
        check_and_start(window).await;
        comes_out(window, "http://httpbin.org/headers", "200", "Passthrough").await;
        let real = mesh.sleep().curl("http://httpbin.org/headers").called;
        assert!(real.starts_with("198.19."), "nothing declares it: {real}");
        mesh.set_mode("ALLOW_ANY", "REGISTRY_ONLY");
        policy_is(window, "no. 2").await;
        comes_out(window, "https://www.google.com/headers", "exit 35", "Blocked").await;
        window.wait_for("live-row", &["www.google.com"]).await;
        mesh.set_mode("REGISTRY_ONLY", "ALLOW_ANY");
        policy_is(window, "no. 3").await;

        // The sidecar answers with the address that istiod allocated, and decides by it; nobody else knows the address.
        mesh.apply(HTTPBIN);
        let allocated = allocated(mesh, "httpbin");
        let asked = || mesh.sleep().curl("http://httpbin.org/headers");
        eventually("the sidecar to answer with the allocated address", || {
            (asked().called == allocated).then_some(())
        });
        assert_eq!(asked().status, 200);
        comes_out(window, "http://httpbin.org/headers", "200", "Registered").await;
        let ended = stop(window).await;
        assert!(ended.contains("stay in its spec"), "{ended}");
        assert_eq!(attached("state.terminated.exitCode"), "0 0");
        let reply = asked();
        assert_eq!(
            (reply.called, reply.status),
            (real, 200),
            "the pod's own servers answer again"
        );
        mesh.text(&["delete", "serviceentry/httpbin"]);

        // One that is killed takes its rules along: nothing is led to where nobody listens.
        check_and_start(window).await;
        mesh.set_mode("ALLOW_ANY", "REGISTRY_ONLY");
        policy_is(window, "no. 2").await;
        let running = "--output=jsonpath={range .status.ephemeralContainerStatuses[?(@.state.running)]}{.name} {.containerID}{\"\\n\"}{end}";
        let running = mesh.text(&["get", pod.trim(), running]);
        let sidecar = running.lines().find(|line| line.starts_with("egret-proxy")).unwrap();
        let (_, id) = sidecar.split_once(' ').unwrap();
        mesh.set_mode("REGISTRY_ONLY", "ALLOW_ANY");
        mesh.sleep().settles(super::story::CATCH_ALL, |listener| {
            listener.contains("PassthroughCluster")
        });
        mesh.kill_container(id.trim_start_matches("containerd://"));
        eventually("both to have ended", || {
            (attached("state.terminated.exitCode").split(' ').count() == 4).then_some(())
        });
        assert_eq!(mesh.sleep().curl("https://www.google.com/headers").status, 200);
        stop(window).await;
    });
    assert_eq!(mesh.text(&pods), pod, "the pod is the same");
}

/// Beside Istio's sidecar: observing, what the policy would block passes, and is told as blocked; enforcing, it is blocked,
/// and named.
fn in_the_workload(mesh: &Mesh) {
    by_clicking(mesh, async |window| {
        mesh.set_mode("ALLOW_ANY", "REGISTRY_ONLY");
        open(window).await;
        choose(window, SLEEP, &["place-workload"]).await;
        check_and_start(window).await;
        let _ = mesh.sleep().curl("https://www.google.com/headers");
        let row = window.wait_for("live-row", &["www.google.com"]).await;
        assert!(row.contains("Blocked") && row.contains("passed"), "{row}");
        let ended = stop(window).await;
        assert!(ended.contains("is what it was before"), "{ended}");

        choose(window, SLEEP, &["mode-enforce"]).await;
        check_and_start(window).await;
        comes_out(window, "https://www.google.com/headers", "exit 35", "Blocked").await;
        mesh.apply(HTTPBIN);
        mesh.apply(TIMEOUT);
        // What Egret lets through, Istio's sidecar decides on again.
        mesh.sleep()
            .settles(super::story::ROUTES, |routes| routes.contains(r#""timeout": "3s""#));
        window.wait_for("deploy-policy", &["no. 3"]).await;
        policy_is(window, "no. 3").await;
        comes_out(window, "http://httpbin.org/headers", "200", "Registered").await;
        comes_out(window, "http://www.google.com/headers", "502", "Blocked").await;
        comes_out(window, "http://httpbin.org/delay/5", "504", "Registered").await;
        for name in ["www.google.com", "httpbin.org"] {
            window.wait_for("live-row", &[name]).await;
        }
        mesh.text(&["delete", "virtualservice/httpbin", "serviceentry/httpbin"]);
        mesh.set_mode("REGISTRY_ONLY", "ALLOW_ANY");
        let ended = stop(window).await;
        assert!(ended.contains("is what it was before"), "{ended}");
    });
}

/// By proxy variables, where Pod Security allows no redirection.
fn where_nothing_may_redirect(mesh: &Mesh) {
    mesh.apply(STRICT);
    mesh.text(&[
        "rollout",
        "status",
        "deployment/strict",
        "--namespace=strict",
        "--timeout=55s",
    ]);
    let before = Stored::of(mesh, "strict", "strict");
    by_clicking(mesh, async |window| {
        open(window).await;
        choose(
            window,
            "Deployment strict/strict",
            &["mode-enforce", "place-copy", "way-capture"],
        )
        .await;
        let refused = refused(window).await.join("\n");
        assert!(
            refused.contains("PodSecurity") && refused.contains("Choose HTTP proxy variables"),
            "{refused}"
        );
        window.click("deploy-way-proxy").await;
        check_and_start(window).await;
        // It is reached: this pod does not trust the sites' authority.
        comes_out(window, "https://www.google.com/headers", "exit 60", "Passthrough").await;
        comes_out(window, "http://httpbin.org/headers", "200", "Passthrough").await;
        mesh.set_mode("ALLOW_ANY", "REGISTRY_ONLY");
        policy_is(window, "no. 2").await;
        // Nothing in this mesh is HTTP on port 80: it is cut as any stream, where a listener for HTTP would answer 502.
        comes_out(window, "http://httpbin.org/headers", "exit 52", "Blocked").await;
        comes_out(window, "https://www.google.com/headers", "exit 35", "Blocked").await;
        mesh.set_mode("REGISTRY_ONLY", "ALLOW_ANY");
        policy_is(window, "no. 3").await;
        stop(window).await;
    });
    assert_eq!(Stored::of(mesh, "strict", "strict"), before);
    mesh.text(&["delete", "namespace", "strict", "--wait=false"]);
}
