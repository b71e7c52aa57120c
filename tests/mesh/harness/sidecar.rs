//! The workload `default/sleep`: requests from it, and what its sidecar says.

use std::process::Output;

use super::{Mesh, eventually};

/// Ends curl's output; no site sends it.
const MARK: &str = "\n-- status ";

/// What became of a request.
#[derive(Debug)]
pub struct Reply {
    /// curl's exit code.
    pub exit: i32,
    /// The response's status; 0 without a response.
    pub status: u16,
    /// The address that was called; empty where the name has none.
    pub called: String,
    /// The response's body. The sites answer with the request as they saw it.
    pub body: String,
}

/// The workload `default/sleep`.
pub struct Sleep<'mesh> {
    mesh: &'mesh Mesh,
}

impl Mesh {
    /// The workload that the tests send requests from.
    pub fn sleep(&self) -> Sleep<'_> {
        Sleep { mesh: self }
    }

    /// Sets the mesh's outbound mode from one to the other in its ConfigMap.
    pub fn set_mode(&self, from: &str, to: &str) {
        self.replace_in_mesh_config(&format!("mode: {from}"), &format!("mode: {to}"));
    }

    /// Replaces one setting of the mesh config in its ConfigMap.
    pub fn replace_in_mesh_config(&self, old: &str, new: &str) {
        let map = ["configmap", "istio", "--namespace=istio-system"];
        let text = self.text(&[&["get"], &map[..], &["--output=jsonpath={.data.mesh}"]].concat());
        assert!(text.contains(old), "{text}");
        let patch = serde_json::json!({"data": {"mesh": text.replace(old, new)}}).to_string();
        self.text(&[&["patch"], &map[..], &["--type=merge", "--patch", &patch]].concat());
    }
}

impl Sleep<'_> {
    /// Sends a request with curl. Certificates are not checked: the sites have an authority of their own.
    pub fn curl(&self, url: &str) -> Reply {
        let format = format!("{MARK}%{{http_code}} %{{remote_ip}}");
        let output = self.exec(
            "sleep",
            &["curl", "-sk", "--max-time", "20", "--write-out", &format, url],
        );
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let parts = said.rsplit_once(MARK);
        let (body, (status, called)) = parts
            .and_then(|(body, end)| Some((body, end.split_once(' ')?)))
            .unwrap_or_else(|| panic!("curl {url}: {said}{}", String::from_utf8_lossy(&output.stderr)));
        Reply {
            exit: output.status.code().unwrap_or(-1),
            status: status.parse().expect("curl writes a number"),
            called: called.to_string(),
            body: body.to_string(),
        }
    }

    /// What the sidecar's admin interface answers, such as `/listeners`.
    pub fn admin(&self, path: &str) -> String {
        let output = self.exec(
            "istio-proxy",
            &["curl", "-s", "--max-time", "20", &format!("127.0.0.1:15000{path}")],
        );
        assert!(
            output.status.success(),
            "{path}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until the answer of the sidecar's admin interface is as it should be.
    pub fn settles(&self, path: &str, settled: impl Fn(&str) -> bool) {
        eventually(&format!("the sidecar's {path} to change"), || {
            settled(&self.admin(path)).then_some(())
        });
    }

    /// Waits for a line of the sidecar's access log: connections are logged when they end.
    pub fn logs(&self, what: &str, matches: impl Fn(&str) -> bool) -> String {
        eventually(&format!("{what} in the sidecar's log"), || {
            let log = self
                .mesh
                .text(&["logs", "deploy/sleep", "--container=istio-proxy", "--tail=50"]);
            log.lines().rev().find(|line| matches(line)).map(str::to_string)
        })
    }

    fn exec(&self, container: &str, command: &[&str]) -> Output {
        let container = format!("--container={container}");
        self.mesh
            .kubectl(&[&["exec", "deploy/sleep", &container, "--"], command].concat())
    }
}
