//! `egret-proxy` as a container of a pod, from the image that is delivered: capture by an init container, the sidecar beside
//! the workload, its policy from a ConfigMap, pushed, and kept. Everything is written by hand here, as a person would.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::Command,
};

use egret_tests::mesh::{Mesh, eventually};
use serde_json::{Value, json};

/// What `make proxy-image` writes.
const ARCHIVE: &str = "target/egret-proxy-image.tar";

/// The pod, but for its image. Nothing of Istio is in it; the sidecar has no capability, no account, and writes nowhere but
/// where it keeps its policy.
pub const POD: &str = "
apiVersion: v1
kind: Pod
metadata:
  name: guarded
  namespace: default
  labels: {app: guarded, sidecar.istio.io/inject: 'false'}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 5
  initContainers:
  - name: egret-proxy
    image: IMAGE
    imagePullPolicy: Never
    restartPolicy: Always
    args:
    - run
    - --policy=/etc/egret/policy
    - --namespace=default
    - --labels=app=guarded
    - --service-account=default
    - --outbound=127.0.0.1:15901
    - --outbound=[::1]:15901
    - --admin=127.0.0.1:15900
    - --health=0.0.0.0:15921
    - --keep=/var/lib/egret
    resources: {requests: {cpu: 10m, memory: 32Mi}, limits: {memory: 64Mi}}
    securityContext:
      runAsNonRoot: true
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
      seccompProfile: {type: RuntimeDefault}
    volumeMounts:
    - {name: policy, mountPath: /etc/egret/policy, readOnly: true}
    - {name: kept, mountPath: /var/lib/egret}
  - name: egret-capture
    image: IMAGE
    imagePullPolicy: Never
    args: [capture, apply, '--sidecar=127.0.0.1:15900', --port=15901, --uid=1339]
    securityContext:
      runAsUser: 0
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL], add: [NET_ADMIN]}
      seccompProfile: {type: RuntimeDefault}
  containers:
  - name: app
    image: egret.test/sleep:1
    imagePullPolicy: Never
  volumes:
  - {name: policy, configMap: {name: guarded-policy, optional: true}}
  - {name: kept, emptyDir: {sizeLimit: 16Mi}}
";

/// A host that makes port 80 one that HTTP is read on.
const OTHER: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: other, namespace: default}
spec:
  hosts: [api.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
";

const REGISTRY_ONLY: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'outboundTrafficPolicy: {mode: REGISTRY_ONLY}'}
";

pub const TOKEN: &str = "0123456789abcdef";

/// Where the archive lies, or why there is none.
pub fn archive() -> Result<PathBuf, String> {
    let archive = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(ARCHIVE);
    match archive.exists() {
        true => Ok(archive),
        false => Err(format!("{ARCHIVE} is not there: `make proxy-image` builds it")),
    }
}

pub fn story(mesh: &Mesh) {
    let archive = archive().unwrap();
    mesh.import(&archive);
    let pod = Guarded { mesh };
    pod.mount(1, &[REGISTRY_ONLY, OTHER]);
    mesh.apply(&POD.replace("IMAGE", &egret_image()));
    mesh.text(&["wait", "pod/guarded", "--for=condition=Ready", "--timeout=55s"]);

    // Blocked, with a name in the log; what nothing reads HTTP on is cut.
    assert_eq!(pod.curl("http://httpbin.org/headers"), (0, "502".into()));
    assert_eq!(pod.curl("https://www.google.com/headers").0, 35);
    pod.logs("the blocked request", |line| {
        line.contains(" 502 ") && line.contains("\"httpbin.org\"") && line.contains("block_all")
    });

    // The ConfigMap changes. kubelet brings it within its minute, or at once where the pod changes too.
    let httpbin = super::story::HTTPBIN;
    pod.mount(2, &[REGISTRY_ONLY, OTHER, httpbin]);
    mesh.text(&["annotate", "pod/guarded", "egret.dev/nudge=2", "--overwrite"]);
    pod.settles(2, "mounted");
    assert_eq!(pod.curl("http://httpbin.org/headers"), (0, "200".into()));
    pod.logs("the registered request", |line| {
        line.contains("outbound|80||httpbin.org")
    });

    // Pushed, it holds without kubelet, and through the sidecar's death.
    let push = |token: &str| pod.push(3, &[REGISTRY_ONLY, OTHER], token);
    assert_eq!(push("another"), 401);
    assert_eq!(push(TOKEN), 200);
    assert_eq!(pod.curl("http://httpbin.org/headers"), (0, "502".into()));
    pod.kill();
    pod.settles(3, "kept");
    assert_eq!(pod.curl("http://httpbin.org/headers"), (0, "502".into()));
    mesh.text(&["delete", "pod/guarded", "configmap/guarded-policy"]);
}

pub fn egret_image() -> String {
    format!("egret.dev/egret-proxy:{}", env!("CARGO_PKG_VERSION"))
}

/// The pod as it runs.
pub struct Guarded<'m> {
    pub mesh: &'m Mesh,
}

impl Guarded<'_> {
    /// Writes the ConfigMap.
    fn mount(&self, generation: u64, objects: &[&str]) {
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "guarded-policy", "namespace": "default"},
            "data": {
                "policy.yaml": objects.join("---\n"),
                "generation": generation.to_string(),
                "push-token": TOKEN,
            },
        });
        self.mesh.apply(&map.to_string());
    }

    /// Exit code of curl beside the sidecar, and status of the answer.
    pub fn curl(&self, url: &str) -> (i32, String) {
        let curl = ["curl", "-sk", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", url];
        let output = self
            .mesh
            .kubectl(&[&["exec", "guarded", "--container=app", "--"], &curl[..]].concat());
        let status = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap_or(-1), status)
    }

    pub fn logs(&self, what: &str, matches: impl Fn(&str) -> bool) {
        eventually(&format!("{what} in the sidecar's log"), || {
            let log = self
                .mesh
                .text(&["logs", "guarded", "--container=egret-proxy", "--tail=50"]);
            log.lines().any(&matches).then_some(())
        });
    }

    /// Waits until this policy is in force.
    pub fn settles(&self, generation: u64, source: &str) {
        eventually(&format!("generation {generation}, {source}"), || {
            let config = self.own(&["get", "-f", "-s", "http://127.0.0.1:15900/config"])?;
            let config: Value = serde_json::from_str(&config).ok()?;
            (config["generation"] == generation && config["source"] == source).then_some(())
        });
    }

    /// What the sidecar's program says when it runs beside the sidecar; `None` where it fails.
    pub fn own(&self, arguments: &[&str]) -> Option<String> {
        let own = ["exec", "guarded", "--container=egret-proxy", "--", "/egret-proxy"];
        let output = self.mesh.kubectl(&[&own[..], arguments].concat());
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Sends a policy through a port-forward, as the app does; gives the status.
    fn push(&self, generation: u64, objects: &[&str], token: &str) -> u16 {
        let mut forward = self
            .mesh
            .stream(&["port-forward", "pod/guarded", ":15900", "--address=127.0.0.1"]);
        let mut said = String::new();
        // kubectl ends when nobody reads what it says of each connection.
        let mut lines = BufReader::new(forward.stdout.take().unwrap());
        lines.read_line(&mut said).unwrap();
        let address = said.split(' ').nth(2).unwrap();
        let output = Command::new("curl")
            .args([
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "-X",
                "PUT",
                "--data-binary",
                &objects.join("---\n"),
            ])
            .args(["-H", &format!("Egret-Generation: {generation}")])
            .args(["-H", &format!("Authorization: Bearer {token}")])
            .arg(format!("http://{address}/policy"))
            .output()
            .unwrap();
        drop(lines);
        forward.kill().unwrap();
        forward.wait().unwrap();
        String::from_utf8_lossy(&output.stdout).parse().unwrap()
    }

    /// Kills the sidecar as running out of memory does, and returns when it runs again.
    pub fn kill(&self) {
        let status = |field: &str| {
            let path = format!("--output=jsonpath={{.status.initContainerStatuses[?(@.name=='egret-proxy')].{field}}}");
            self.mesh.text(&["get", "pod/guarded", &path])
        };
        let id = status("containerID");
        self.mesh.kill_container(id.trim_start_matches("containerd://"));
        eventually("the sidecar to run again", || {
            (status("restartCount") == "1" && status("ready") == "true").then_some(())
        });
    }
}
