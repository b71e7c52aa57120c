//! ServiceEntries and Services.

use serde_json::{Value, json};

use super::{ADDRESSES, HOSTS, NAMESPACES, PORTS, export_to};
use crate::seed::Seed;

const PROTOCOLS: [&str; 20] = [
    "HTTP", "HTTP", "HTTP", "HTTP", "HTTPS", "HTTPS", "TLS", "TLS", "TCP", "TCP", "TCP", "", "", "HTTP2", "GRPC",
    "GRPC-Web", "Mongo", "MySQL", "Redis", "UDP",
];

pub fn service_entry(seed: &mut Seed) -> Value {
    let host_count = *seed.pick(&[1, 1, 1, 2]);
    let mut spec = json!({
        "hosts": seed.texts(&HOSTS, host_count),
        "ports": ports(seed),
        "resolution": seed.text(&["NONE", "NONE", "STATIC", "DNS", "DNS", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"]),
    });
    if seed.once_in(8) {
        spec.as_object_mut().expect("an object").remove("resolution");
    }
    if seed.once_in(3) {
        spec["location"] = json!(seed.text(&["MESH_EXTERNAL", "MESH_INTERNAL"]));
    }
    if seed.once_in(3) {
        let streams = |port: &Value| {
            matches!(
                port["protocol"].as_str(),
                Some("TCP" | "TLS" | "HTTPS" | "Redis" | "UDP")
            )
        };
        let only_streams = spec["ports"].as_array().is_some_and(|ports| ports.iter().all(streams));
        let count = if only_streams { seed.between(1, 2) } else { 1 };
        spec["addresses"] = json!(seed.texts(&ADDRESSES, count));
    }
    let resolution = spec["resolution"].as_str().unwrap_or("NONE").to_string();
    let wants_endpoints = resolution == "STATIC" || resolution.starts_with("DNS") && seed.once_in(3);
    if wants_endpoints && !seed.once_in(10) {
        spec["endpoints"] = endpoints(seed, &spec, resolution == "STATIC");
    }
    if seed.once_in(12) && spec.get("endpoints").is_none() {
        spec["workloadSelector"] = json!({"labels": {"app": "db"}});
    }
    export_to(seed, &mut spec);
    let mut entry = json!({"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "spec": spec});
    if seed.once_in(6) {
        // What the controller that allocates addresses would have written.
        let hosts = entry["spec"]["hosts"].as_array().cloned().unwrap_or_default();
        let address = |host| json!({"host": host, "value": seed.text(&["240.240.0.1", "240.240.0.2"])});
        entry["status"] = json!({"addresses": hosts.into_iter().map(address).collect::<Vec<_>>()});
    }
    entry
}

fn ports(seed: &mut Seed) -> Vec<Value> {
    let count = *seed.pick(&[1, 1, 1, 2, 3]);
    let mut numbers: Vec<u16> = Vec::new();
    (0..count)
        .map(|index| {
            let mut number = *seed.pick(&PORTS);
            while numbers.contains(&number) {
                number = *seed.pick(&PORTS);
            }
            numbers.push(number);
            let mut port = json!({"number": number, "name": format!("p{index}"), "protocol": seed.text(&PROTOCOLS)});
            if port["protocol"] == "" {
                port.as_object_mut().expect("an object").remove("protocol");
            }
            if seed.once_in(4) {
                port["targetPort"] = json!(seed.pick(&[8443, 9090, 80]));
            }
            port
        })
        .collect()
}

fn endpoints(seed: &mut Seed, spec: &Value, fixed: bool) -> Value {
    let count = if spec["resolution"] == "DNS_ROUND_ROBIN" {
        1
    } else {
        seed.between(1, 3)
    };
    (0..count)
        .map(|_| {
            let address = if fixed {
                seed.text(&["10.3.0.1", "10.3.0.2"])
            } else {
                seed.text(&["e.example.com", "f.example.com", "10.3.0.3"])
            };
            let mut endpoint = json!({"address": address});
            if seed.once_in(3) {
                endpoint["ports"] = json!({"p0": seed.pick(&[7070, 7071])});
            }
            if seed.once_in(3) {
                endpoint["labels"] = json!({"version": seed.text(&["v1", "v2"])});
            }
            if seed.once_in(4) {
                endpoint["weight"] = json!(seed.pick(&[0, 1, 3, 7]));
            }
            if seed.once_in(3) {
                endpoint["locality"] = json!(seed.text(&["r1/z1/s1", "r1/z2", "r2", "r3/z1"]));
            }
            endpoint
        })
        .collect()
}

/// A Kubernetes Service.
pub fn service(seed: &mut Seed) -> Value {
    let names = [
        "http", "http-web", "https", "tls-x", "tcp", "tcp-db", "mysql", "grpc", "plain", "web", "",
    ];
    let count = *seed.pick(&[1, 1, 2]);
    let mut ports: Vec<Value> = Vec::new();
    for name in seed.texts(&names, count) {
        let number = *seed.pick(&PORTS);
        if ports.iter().any(|port| port["port"] == number) {
            continue;
        }
        let mut port = json!({"port": number, "name": name, "protocol": "TCP"});
        if seed.once_in(5) {
            port["appProtocol"] = json!(seed.text(&["http", "https", "tcp", "http2", "kubernetes.io/h2c", "odd"]));
        }
        ports.push(port);
    }
    // Names are unique within a namespace.
    let name = seed.text(&["web", "db", "api"]);
    let mut spec = json!({"ports": ports, "selector": {"app": &name}, "type": "ClusterIP"});
    spec["clusterIP"] = json!(seed.text(&["10.96.0.1", "10.96.0.2", "10.96.0.3", "None", "10.1.0.1"]));
    spec["clusterIPs"] = json!([spec["clusterIP"]]);
    if seed.once_in(10) {
        let target = seed.text(&["a.com", "b.com", "web.shop.svc.cluster.local", "gone.com"]);
        spec = json!({"type": "ExternalName", "externalName": target, "ports": spec["ports"]});
    }
    let mut metadata = json!({"name": name, "namespace": seed.text(&NAMESPACES)});
    if seed.once_in(4) {
        metadata["annotations"] =
            json!({"networking.istio.io/exportTo": seed.text(&[".", "*", "~", "shop", "other,shop"])});
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
}
