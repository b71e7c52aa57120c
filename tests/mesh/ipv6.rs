//! A pod that has IPv4 and IPv6, with the sidecar put into its workload by clicking: what it sends over IPv6 is captured,
//! decided and logged, and what the sidecar's own user sends is not.

use egret_tests::mesh::Mesh;

use super::{
    deploying::{Stored, bring_image, check_and_start, choose, comes_out, left, open, policy_is, stop},
    own, stage,
};

/// Nothing of Istio is in it: whatever decides on its connections is Egret's.
const DUAL: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: dual, namespace: default}
spec:
  selector: {matchLabels: {app: dual}}
  template:
    metadata: {labels: {app: dual, sidecar.istio.io/inject: 'false'}}
    spec:
      runtimeClassName: dual
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: 'egret.test/sleep:1'}]
";

/// A host that has no address but one of IPv6.
const SIX: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: six, namespace: default}
spec:
  hosts: [six.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
";

/// Sites that nothing registers. Whether curl sees the end of a plain connection or its reset is a matter of time.
const UNKNOWN: &str = "https://[2001:db8::77]/headers";
const PLAIN: &str = "http://[2001:db8::77]:8080/headers";

pub fn story(mesh: &Mesh) {
    bring_image(mesh);
    mesh.apply(DUAL);
    mesh.text(&["rollout", "status", "deployment/dual", "--timeout=55s"]);
    let before = Stored::of(mesh, "default", "dual");
    let addresses = "--output=jsonpath={.items[*].status.podIPs[*].ip}";
    let addresses = mesh.text(&["get", "pods", "--selector=app=dual", addresses]);
    assert!(
        addresses.contains("10.88.0.") && addresses.contains("fd00:88::"),
        "{addresses}"
    );
    let scratch = tempfile::tempdir().unwrap();
    let session = own::session(scratch.path(), &mesh.kubeconfig());
    stage::play(&session, async |window| {
        open(window).await;
        choose(window, "Deployment default/dual", &["mode-enforce", "place-workload"]).await;
        check_and_start(window).await;
        comes_out(window, PLAIN, "200", "Passthrough").await;

        mesh.set_mode("ALLOW_ANY", "REGISTRY_ONLY");
        policy_is(window, "no. 2").await;
        comes_out(window, UNKNOWN, "exit 35", "Blocked").await;
        comes_out(window, "https://six.example.com/headers", "exit 35", "Blocked").await;
        mesh.apply(SIX);
        policy_is(window, "no. 3").await;
        comes_out(window, "http://six.example.com/headers", "200", "Registered").await;
        for words in [["2001:db8::77", "Blocked"], ["six.example.com", "Registered"]] {
            window.wait_for("live-row", &words).await;
        }

        let seen = exec(mesh, "app", &["curl", "-s", "http://six.example.com/headers"]).expect("it is registered");
        assert!(
            seen.contains("\"peer\": \"fd00:88::"),
            "the site is called over IPv6: {seen}"
        );
        let cut = exec(mesh, "app", &["curl", "-s", PLAIN]);
        assert!(matches!(cut, Err(52 | 56)), "{cut:?}");
        let exempt = exec(mesh, "egret-proxy", &["/egret-proxy", "get", "-s", PLAIN]);
        assert!(exempt.is_ok(), "what its own user sends is not captured: {exempt:?}");

        mesh.text(&["delete", "serviceentry/six"]);
        mesh.set_mode("REGISTRY_ONLY", "ALLOW_ANY");
        stop(window).await;
    });
    assert_eq!(left(mesh), "");
    assert_eq!(Stored::of(mesh, "default", "dual"), before);
    mesh.text(&["delete", "deployment/dual", "--wait=false"]);
}

/// What a command in the workload says, or what it ends with.
fn exec(mesh: &Mesh, container: &str, command: &[&str]) -> Result<String, i32> {
    let container = format!("--container={container}");
    let output = mesh.kubectl(&[&["exec", "deployment/dual", &container, "--"], command].concat());
    match output.status.code() {
        Some(0) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        code => Err(code.unwrap_or(-1)),
    }
}
