//! Services, DestinationRules and Gateways of a cluster, followed as they change.

use egret_tests::mesh::eventually;

use super::{Bench, api, namespace};
use crate::session::{gateways, object_text, registry_view};

/// As the Istio task has it, in namespaces of its own: the tests share one API server.
fn objects() -> String {
    include_str!("../../../../proxy-core/tests/egress-gateway.yaml")
        .replace("istio-system", "seen-gateways")
        .replace("namespace: default", "namespace: seen")
        .replace("namespace: shop", "namespace: seen")
        .replace("default/*.google.com", "seen/*.google.com")
        .replace("  clusterIP: 10.96.0.20\n", "")
        .replace(
            "labels: {app: istio-egressgateway, istio: egressgateway}}}",
            "labels: {app: istio-egressgateway, istio: egressgateway}}, spec: {containers: [{name: a, image: i}]}}",
        )
}

#[test]
fn what_the_api_server_stores_is_seen_service_by_service_and_hop_by_hop() {
    let Some(api) = api("what_the_api_server_stores_is_seen") else {
        return;
    };
    for name in ["seen", "seen-gateways"] {
        namespace(api, name);
    }
    api.apply(&objects());
    let bench = Bench::open(api.kubeconfig());
    let view = bench.view();
    let registry = registry_view(&view);
    let service = registry
        .services
        .iter()
        .find(|row| row.object.name == "istio-egressgateway");
    let service = service.unwrap();
    assert_eq!(service.host, "istio-egressgateway.seen-gateways.svc.cluster.local");
    assert_eq!(
        service.addresses.len(),
        1,
        "the API server gave it an address: {service:?}"
    );
    let rule = registry
        .rules
        .iter()
        .find(|row| row.object.namespace == "seen")
        .unwrap();
    assert_eq!(rule.applies_to[0].name, "istio-egressgateway");

    let egress = |bench: &Bench| {
        let rows = gateways(&bench.view());
        rows.into_iter().find(|row| row.object.name == "egress").unwrap()
    };
    let row = egress(&bench);
    assert!(row.egress);
    assert_eq!(row.workloads, ["seen-gateways/istio-egressgateway"]);
    let mut hosts: Vec<_> = row
        .routes
        .iter()
        .map(|route| (route.host.as_str(), route.from_mesh, route.ports.as_slice()))
        .collect();
    hosts.sort_unstable();
    assert_eq!(
        hosts,
        [
            ("httpbin.org", true, &[80][..]),
            ("unserved.example.com", false, &[][..]),
            ("www.google.com", true, &[443][..]),
        ]
    );
    let text = object_text(&view, "Gateway", "seen-gateways", "egress").unwrap();
    assert_eq!(
        (text.object.file.as_str(), text.object.line),
        ("Gateway/seen-gateways.egress.yaml", 1)
    );
    assert!(text.yaml.contains("mode: PASSTHROUGH"), "{}", text.yaml);

    api.text(&["delete", "virtualservice", "httpbin", "-n", "seen"]);
    eventually("the route to go", || {
        let gone = egress(&bench).routes.iter().all(|route| route.host != "httpbin.org");
        gone.then_some(())
    });
}
