//! Services by name and address from outside the cluster, as far as an API server without any node goes.

use std::{io, net::SocketAddr};

use proxy_core::net;
use serde_json::json;

use super::*;
use crate::cluster::Forwarder;

/// What a sidecar is, to a forwarder.
struct Asking {
    runtime: tokio::runtime::Runtime,
    way: net::Forwarder,
}

impl Asking {
    fn of(forwarder: &Forwarder) -> Self {
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
            way: net::Forwarder::new(forwarder.address(), forwarder.token(), "reach"),
        }
    }

    fn resolve(&self, name: &str) -> io::Result<Option<Vec<String>>> {
        let found = self.runtime.block_on(self.way.resolve(name))?;
        Ok(found.map(|all| all.iter().map(ToString::to_string).collect()))
    }

    /// Why there is no connection; `None` where the address is not the cluster's.
    fn refused(&self, address: &str) -> Option<String> {
        let address: SocketAddr = address.parse().unwrap();
        match self.runtime.block_on(self.way.connect(address)) {
            Ok(None) => None,
            Ok(Some(_)) => panic!("{address} is connected to"),
            Err(error) => Some(error.to_string()),
        }
    }
}

fn service(api: &Api, name: &str, spec: &serde_json::Value) {
    let service =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "reach"}, "spec": spec});
    api.apply(&service.to_string());
}

#[test]
fn names_are_answered_as_the_clusters_own_dns_does_and_what_keeps_a_connection_away_is_named() {
    let Some(api) = api("names_are_answered") else { return };
    namespace(api, "reach");
    service(
        api,
        "cart",
        &json!({"selector": {"app": "cart"}, "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}),
    );
    service(
        api,
        "db",
        &json!({"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 5432}]}),
    );
    service(api, "hand", &json!({"ports": [{"port": 80}]}));
    let address = api.text(&[
        "get",
        "service",
        "cart",
        "-n",
        "reach",
        "-o",
        "jsonpath={.spec.clusterIP}",
    ]);
    let bench = Bench::open(api.kubeconfig());
    let forwarder = bench.cluster.forwarder(|| {}).unwrap();
    let asking = Asking::of(&forwarder);
    for name in ["cart", "cart.reach", "cart.reach.svc", "cart.reach.svc.cluster.local"] {
        assert_eq!(asking.resolve(name).unwrap(), Some(vec![address.clone()]), "{name}");
    }
    for name in ["httpbin.org", "cart.default", "cart.elsewhere.svc"] {
        assert_eq!(asking.resolve(name).unwrap(), None, "{name}");
    }
    assert_eq!(asking.refused("198.51.100.7:80"), None, "not the cluster's");
    let refused = |port: u16| asking.refused(&format!("{address}:{port}")).unwrap();
    assert_eq!(refused(82), "Service reach/cart has no port 82; it has 80, 81.");
    assert_eq!(refused(80), "Service reach/cart has no pod that is ready.");
    assert_eq!(forwarder.state().fault.unwrap().code, "no-pod");
    let why = asking.resolve("db").unwrap_err().to_string();
    assert_eq!(why, "Service reach/db has no pod that is ready.");
    let hand = asking.resolve("hand").unwrap().unwrap().remove(0);
    assert!(
        asking
            .refused(&format!("{hand}:80"))
            .unwrap()
            .contains("selects no pods")
    );

    // Who knows no token is told nothing.
    let stranger = net::Forwarder::new(forwarder.address(), "wrong", "reach");
    assert!(asking.runtime.block_on(stranger.resolve("cart")).is_err());

    // A Service that comes is known, and one that goes is not.
    service(
        api,
        "late",
        &json!({"clusterIP": "None", "selector": {"app": "late"}, "ports": [{"port": 80}]}),
    );
    eventually("the new Service", || asking.resolve("late").is_err().then_some(()));
    api.text(&["delete", "service", "late", "-n", "reach"]);
    eventually("its end", || matches!(asking.resolve("late"), Ok(None)).then_some(()));
    drop(forwarder);
    eventually("the forwarder's end", || asking.resolve("cart").is_err().then_some(()));
}

#[test]
fn who_may_not_forward_ports_is_told_which_permission_is_missing() {
    let Some(api) = api("who_may_not_forward") else { return };
    namespace(api, "unreached");
    let spec = json!({"selector": {"app": "cart"}, "ports": [{"port": 80}]});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "unreached"}, "spec": spec});
    api.apply(&service.to_string());
    let folder = tempfile::tempdir().unwrap();
    let token = account(api, "outside", &["viewer"], &[("istio-system", "viewer")]);
    let user = format!("{{token: {token}}}");
    let kubeconfig = kubeconfig_of(&api.kubeconfig(), &folder.path().join("config"), &user);
    let bench = Bench::open(kubeconfig);
    let forwarder = bench.cluster.forwarder(|| {}).unwrap();
    let asking = Asking::of(&forwarder);
    let address = asking.resolve("cart.unreached").unwrap().unwrap().remove(0);
    let why = asking.refused(&format!("{address}:80")).unwrap();
    assert!(
        why.starts_with("Reach Services from the sandbox: needs get, create pods/portforward in unreached."),
        "{why}"
    );
}
