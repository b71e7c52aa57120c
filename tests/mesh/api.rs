//! What the API server allows its users, with etcd and the API server alone.

use egret_tests::mesh::Api;

const SERVICE_ENTRY: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: NAME, namespace: default}
spec:
  hosts: [httpbin.org]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
";

pub fn viewer_reads_and_does_not_write(api: &Api) {
    let viewer = api.user("viewer");
    viewer.text(&["get", "serviceentries", "--all-namespaces"]);
    let refused = viewer.send(&["create"], &SERVICE_ENTRY.replace("NAME", "of-viewer"));
    assert!(!refused.status.success());
    let reason = String::from_utf8_lossy(&refused.stderr);
    assert!(
        reason.contains("Forbidden") && reason.contains(r#"User "viewer" cannot create"#),
        "{reason}"
    );
}

pub fn editor_writes_what_istio_knows(api: &Api) {
    let editor = api.user("editor");
    editor.apply(&SERVICE_ENTRY.replace("NAME", "of-editor"));
    let hosts = ["get", "serviceentry", "of-editor", "--output=jsonpath={.spec.hosts[0]}"];
    assert_eq!(editor.text(&hosts), "httpbin.org");
    let refused = editor.send(
        &["create"],
        &SERVICE_ENTRY.replace("NAME", "wrong").replace("DNS", "GUESS"),
    );
    assert!(!refused.status.success(), "the resource definitions are Istio's own");
    editor.text(&["delete", "serviceentry", "of-editor"]);
}

pub fn server_comes_back_with_what_it_knew(api: &Api) {
    api.apply(&SERVICE_ENTRY.replace("NAME", "lasting"));
    api.kill_server();
    api.start_server();
    assert!(
        api.text(&["get", "serviceentries", "--output=name"])
            .contains("/lasting")
    );
    api.text(&["delete", "serviceentry", "lasting"]);
}
