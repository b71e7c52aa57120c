//! What is made of real manifests.

mod between;
mod by_hand;
mod checks;
mod killed;
mod life;
mod objects;
mod outage;
mod policy;
mod rollout;

use std::fs;

use proxy_core::{
    policy::{Capture, Workload},
    source::Folder,
};
use serde_json::Value;

use super::{IMAGE, Options, options::Identity};
use crate::{
    dto::{DeployDns, DeployMode, DeployOptions, DeployPlace, DeployWay},
    session::View,
};

const ID: &str = "0123abcd";
/// A Deployment as people write it: a claim, a port of the node, an init container, probes, a variable from a Secret.
const CART: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec:
  replicas: 3
  selector: {matchLabels: {app: cart}}
  template:
    metadata:
      labels: {app: cart, version: v1}
      annotations: {traffic.sidecar.istio.io/excludeOutboundPorts: '5432', prometheus.io/port: '9090'}
    spec:
      serviceAccountName: cart
      nodeName: node-1
      imagePullSecrets: [{name: registry}]
      initContainers: [{name: migrate, image: 'cart:1', command: [migrate]}]
      containers:
      - name: app
        image: cart:1
        ports: [{containerPort: 8080, hostPort: 80}]
        env: [{name: TOKEN, valueFrom: {secretKeyRef: {name: cart, key: token}}}, {name: HTTP_PROXY, value: 'http://proxy:3128'}]
        volumeMounts: [{name: data, mountPath: /data}, {name: settings, mountPath: /etc/cart}]
      volumes:
      - {name: data, persistentVolumeClaim: {claimName: cart}}
      - {name: settings, configMap: {name: cart}}
";

fn manifest(text: &str) -> Value {
    proxy_core::yaml::read(text.as_bytes()).unwrap()[0].to_json()
}

fn options(place: DeployPlace, way: DeployWay) -> Options {
    Options::read(DeployOptions {
        kind: "Deployment".into(),
        workload: "shop/cart".into(),
        mode: DeployMode::Enforce,
        place,
        way,
        dns: DeployDns::Workload,
        image: IMAGE.into(),
        staged: false,
    })
    .unwrap()
}

fn identity(beside_istio: bool) -> Identity {
    let labels = [("app", "cart"), ("version", "v1")].map(|(key, value)| (key.to_string(), value.to_string()));
    Identity {
        workload: Workload {
            namespace: "shop".into(),
            name: "cart".into(),
            labels: labels.into_iter().collect(),
            ..Workload::default()
        },
        service_account: "cart".into(),
        istio_version: Some("1.30".parse().unwrap()),
        capture: Capture::read([None, Some("10.0.0.0/8"), None, Some("5432")]),
        captures_dns: false,
        asks_for_dns: false,
        beside_istio,
    }
}

/// A cluster's mirror has a file for each object; so has this.
fn mirror(entries: usize) -> (tempfile::TempDir, View) {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "Namespace/shop.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
    );
    write("Deployment/shop.cart.yaml", CART.trim_start());
    write(
        "Deployment/shop.other.yaml",
        &CART.trim_start().replace("name: cart,", "name: other,"),
    );
    for number in 0..entries {
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: e{number}, namespace: shop}}\nspec:\n  \
             hosts: [e{number}.example.com]\n  ports: [{{number: 443, name: tls, protocol: TLS}}]\n  resolution: DNS\n"
        );
        write(&format!("ServiceEntry/shop.e{number}.yaml"), &text);
    }
    let view = View::new(folder.path(), Folder::open(folder.path()).unwrap().reading(), 1);
    (folder, view)
}
