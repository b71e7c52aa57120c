//! Worlds that are all about what HTTP routes do: plain entries, few conditions on who calls, and calls that get there.

use serde_json::{Value, json};

use super::{identify, routes, scope};
use crate::{
    seed::Seed,
    world::{Call, World},
};

const HOSTS: [&str; 3] = ["a.com", "b.com", "x.a.com"];

pub fn world(seed: &mut Seed) -> World {
    let mut entry = |host: &str| {
        let endpoint = json!({"address": format!("site.{host}"), "labels": {"version": "v1"}});
        let protocol = seed.text(&["HTTP", "HTTP", "HTTP", "HTTP2", "GRPC", "GRPC-Web"]);
        let ports = json!([{"number": 80, "name": "http", "protocol": protocol}]);
        let spec = json!({"hosts": [host], "ports": ports, "resolution": "DNS", "endpoints": [endpoint]});
        json!({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"namespace": "shop"}, "spec": spec})
    };
    let mut documents: Vec<Value> = HOSTS.map(&mut entry).to_vec();
    for host in HOSTS {
        let spec =
            json!({"hosts": [host], "http": (0..seed.between(1, 3)).map(|_| routes::http(seed)).collect::<Vec<_>>()});
        let metadata = json!({"namespace": "shop"});
        documents.push(
            json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": spec}),
        );
    }
    if seed.once_in(2) {
        documents.push(routes::delegate(seed));
    }
    if seed.once_in(2) {
        let mut spec = json!({"host": "a.com", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]});
        if seed.once_in(2) {
            spec["trafficPolicy"] = scope::whole_policy(seed);
        }
        documents.push(
            json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"namespace": "shop"}, "spec": spec}),
        );
    }
    for (index, document) in documents.iter_mut().enumerate() {
        identify(seed, index, document);
    }
    World {
        documents,
        namespace: "shop".into(),
        labels: [("app".to_string(), "cart".to_string())].into(),
        calls: (0..12).map(|_| call(seed)).collect(),
        ..World::default()
    }
}

fn call(seed: &mut Seed) -> Call {
    let mut headers = std::collections::BTreeMap::new();
    for header in ["x-one", "x-two"] {
        if seed.once_in(2) {
            headers.insert(header.to_string(), seed.text(&["v1", "v2", "w", ""]));
        }
    }
    Call {
        address: "93.184.216.34".into(),
        port: 80,
        protocol: "http".into(),
        host: seed.text(&HOSTS),
        method: seed.text(&["GET", "GET", "POST"]),
        path: seed.text(&[
            "/",
            "/api",
            "/api/7",
            "/API/x",
            "/b?q=v1",
            "/api?q=v2&q=x",
            "/b/c/d",
            "/apiary/12/foo?o",
        ]),
        headers,
        ..Call::default()
    }
}
