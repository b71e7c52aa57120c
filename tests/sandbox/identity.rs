//! A command in the place of a workload of the manifests.

use crate::trial::{SITE, Trial, said};

/// Two workloads with the same label, one of which may reach nothing but what it excludes.
const WORKLOADS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: front, namespace: shop}
spec:
  template:
    metadata:
      labels: {app: shop}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: cart, namespace: shop}
spec:
  template:
    metadata:
      labels: {app: shop, tier: back}
      annotations: {traffic.sidecar.istio.io/excludeOutboundPorts: \"80\"}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: back, namespace: shop}
spec:
  workloadSelector: {labels: {tier: back}}
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
";

#[test]
fn a_named_workload_gives_its_labels_and_its_own_capture_rules() {
    let Some(trial) = Trial::new("a_named_workload", "ALLOW_ANY") else {
        return;
    };
    trial.write("workloads.yaml", WORKLOADS);
    let ask = |workload: &str| {
        let output = trial
            .command_as(
                &["--namespace", "shop", "--workload", workload],
                &["curl", "-s", &format!("http://{SITE}/")],
            )
            .output()
            .unwrap();
        (said(&output), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(ask("deploy/front").0, "hi");
    assert_eq!(trial.lines("relay.log").len(), 0, "the sidecar took it");
    assert!(trial.lines("access.log").last().unwrap().contains("PassthroughCluster"));
    // Its own annotation lets port 80 by the sidecar, which would block it.
    assert_eq!(ask("sts/cart").0, "hi");
    let bypassed = trial.lines("relay.log").pop().unwrap();
    assert!(
        bypassed.contains("\"name\":\"cart\"") && bypassed.contains("bypassed"),
        "{bypassed}"
    );
    let (_, why) = ask("deploy/carts");
    assert!(why.contains("near to it: sts/cart"), "{why}");
}
