//! Another policy beside the one in force, for what is captured and for what goes past the sidecar.

use std::fs;

use serde_json::Value;

use crate::trial::{SITE, Trial, said};

#[test]
fn what_goes_past_the_sidecar_is_decided_by_the_other_policy_as_far_as_that_can_be_known() {
    let Some(trial) = Trial::new("what_goes_past_the_sidecar", "ALLOW_ANY") else {
        return;
    };
    trial.annotate("excludeOutboundPorts", "80");
    let other = trial.folder.path().join("other");
    fs::create_dir(&other).unwrap();
    let compare = other.display().to_string();
    // Under the other policy of these documents.
    let decided = |documents: &[&str]| -> Value {
        fs::write(other.join("policy.yaml"), documents.join("---\n")).unwrap();
        let workload = ["--namespace", "default", "--labels", "app=sleep", "--compare", &compare];
        let url = format!("http://{SITE}/");
        let output = trial.command_as(&workload, &["curl", "-s", &url]).output().unwrap();
        assert_eq!(said(&output), "hi", "{}", String::from_utf8_lossy(&output.stderr));
        let record: Value = serde_json::from_str(&trial.lines("relay.log").pop().unwrap()).unwrap();
        assert_eq!(record["verdict"], "bypassed");
        record["other"].clone()
    };
    let mesh = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
                data: {mesh: 'outboundTrafficPolicy: {mode: REGISTRY_ONLY}'}\n";
    let blocked = decided(&[mesh]);
    assert_eq!(
        (&blocked["likeness"], &blocked["verdict"]),
        (&"different".into(), &"blocked".into())
    );
    // It would read the first bytes, which nobody has.
    let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: default}\n\
                 spec: {hosts: [a.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}\n";
    let unknown = decided(&[mesh, entry]);
    assert_eq!(
        (&unknown["likeness"], &unknown["verdict"]),
        (&"unknown".into(), &Value::Null)
    );
}
