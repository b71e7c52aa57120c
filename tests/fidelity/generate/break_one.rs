//! One mutation of one object: a field gone, doubled, of another kind, or with a value at the edge of what is allowed.

use serde_json::{Value, json};

use crate::{
    seed::Seed,
    world::{World, pointers},
};

/// `world` with one of its objects changed, most often for the worse; `None` where it has nothing to change.
pub fn broken(seed: u64, number: u64, world: &World) -> Option<World> {
    let seed = &mut Seed::of(seed ^ 0xb40c, number);
    let mut world = world.clone();
    // The API server's own rules for Services are not part of this.
    world.documents.retain(|document| document["kind"] != "Service");
    world.calls.clear();
    if world.documents.is_empty() {
        return None;
    }
    let index = seed.below(world.documents.len());
    let spec = &mut world.documents[index]["spec"];
    if seed.once_in(3) {
        add(seed, spec);
    } else {
        let mut places = Vec::new();
        pointers("", spec, &mut places);
        if places.is_empty() {
            return None;
        }
        let place = seed.pick(&places).clone();
        change(seed, spec, &place);
    }
    Some(world)
}

fn change(seed: &mut Seed, spec: &mut Value, place: &str) {
    let (parent, key) = place.rsplit_once('/').unwrap_or_default();
    let Some(parent) = spec.pointer_mut(parent) else { return };
    let key = key.replace("~1", "/").replace("~0", "~");
    match parent {
        Value::Object(fields) => {
            if seed.once_in(4) {
                fields.remove(&key);
            } else if let Some(value) = fields.get_mut(&key) {
                *value = other(seed, &key, value);
            }
        }
        Value::Array(items) => {
            let Ok(index) = key.parse::<usize>() else { return };
            match seed.below(4) {
                0 => {
                    items.remove(index);
                }
                1 => {
                    let twin = items[index].clone();
                    items.insert(index, twin);
                }
                _ => items[index] = other(seed, "", &items[index]),
            }
        }
        _ => {}
    }
}

/// Another value in the place of `value` of the field `key`.
fn other(seed: &mut Seed, key: &str, value: &Value) -> Value {
    if seed.once_in(8) {
        return seed
            .pick(&[json!(1), json!("text"), json!([]), json!({}), json!(true), json!(-1)])
            .clone();
    }
    match (key, value) {
        ("timeout" | "perTryTimeout" | "connectTimeout", _) => json!(seed.text(&[
            "0s", "1ms", "0.0005s", "1.5s", "-1s", "5", "1h", "100us", "1d", "", "1s500ms", "1.0005s",
        ])),
        ("protocol", _) => json!(seed.text(&[
            "FOO",
            "http",
            "Tcp",
            "UDP",
            "HTTP_PROXY",
            "HTTPS",
            "TLS",
            "",
            "SCTP",
            "unknown"
        ])),
        ("resolution", _) => json!(seed.text(&["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS", "none", ""])),
        ("location", _) => json!(seed.text(&["mesh_external", "", "OTHER"])),
        ("mode", _) => json!(seed.text(&[
            "MUTUAL",
            "ISTIO_MUTUAL",
            "simple",
            "ALLOW_ANY_DYNAMIC_DNS",
            "VIRTUAL_SERVICE_ONLY",
            "",
        ])),
        ("name", _) => json!(seed.text(&["", "Upper", "a_b", "p0", "-a", "a.b"])),
        ("retryOn", _) => json!(seed.text(&[
            "5xx,reset",
            "5xx, reset",
            "foo",
            "",
            "600",
            "503",
            "99",
            "retriable-headers"
        ])),
        ("regex", _) => json!(seed.text(&["(", "[a", "a{2000}", "", "(?P<x>a)", r"\d", "(?=a)"])),
        ("prefix" | "exact", _) => json!(seed.text(&["", "a", "*"])),
        ("scheme", _) => json!(seed.text(&["ftp", "HTTPS", ""])),
        ("subset", _) => json!(seed.text(&["", "V1", "a_b", "v-1"])),
        (_, Value::Number(_)) => seed
            .pick(&[
                json!(0),
                json!(-1),
                json!(1),
                json!(65535),
                json!(65536),
                json!(600),
                json!(100),
                json!("80"),
                json!(1.5),
            ])
            .clone(),
        (_, Value::String(text)) => json!(text_like(seed, text)),
        (_, Value::Bool(_)) => json!("true"),
        (_, Value::Array(items)) => {
            let mut items = items.clone();
            if seed.once_in(2) {
                items.clear();
            } else if let Some(first) = items.first().cloned() {
                items.push(first);
            }
            Value::Array(items)
        }
        (_, _) => json!({}),
    }
}

/// A text of the same kind as `text`, at the edge of what is allowed: an address, `namespace/host`, or a name.
fn text_like(seed: &mut Seed, text: &str) -> String {
    if text.starts_with("10.") || text.starts_with("240.") {
        return seed.text(&[
            "nope",
            "10.0.0.0/33",
            "10.0.0.300",
            "fd00::1",
            "fd00::/8",
            "0.0.0.0/0",
            "0.0.0.0",
            "10.0.0.0/8",
            "",
            "a.com",
            "unix:///tmp/s",
            "unix://relative",
            "10.1.0.1 ",
        ]);
    }
    if text.contains('/') && !text.starts_with('/') {
        return seed.text(&[
            "a.com",
            "*/web",
            "./*",
            "a_b/*",
            "*/*.a.com",
            "*/a..b",
            "/a.com",
            "shop/",
            "~/*",
            "*/10.1.0.1",
            "*/*a.com",
            "~/~",
            "**/*",
        ]);
    }
    seed.text(&[
        "*",
        "",
        "a_b.com",
        "10.0.0.1",
        "a..b",
        "*foo.com",
        "*-api.a.com",
        "foo.*.com",
        "a.com.",
        "single",
        "UP.com",
        "-a.com",
        "a.com:80",
        "a b.com",
        "*.",
        "1.2.3",
        "fd00::1",
        "*.com",
        ".",
        "~",
        "mesh",
        "other/edge",
        "shop",
        "a/b",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.com",
    ])
}

/// Adds a field that the object's kind has, whatever is there already.
fn add(seed: &mut Seed, spec: &mut Value) {
    let fields = if spec.get("resolution").is_some() || spec.get("ports").is_some() {
        vec![
            ("/workloadSelector", json!({"labels": {"app": "x"}})),
            ("/workloadSelector", json!({})),
            ("/workloadSelector", json!({"labels": {"app": "*"}})),
            ("/endpoints", json!([{"address": "10.3.0.1"}])),
            ("/endpoints", json!([{"address": "unix:///tmp/s"}])),
            (
                "/endpoints",
                json!([{"address": "e.example.com", "ports": {"gone": 80}}]),
            ),
            ("/endpoints", json!([{"network": "n"}])),
            ("/endpoints", json!([{"address": "10.3.0.1", "labels": {"a b": "c"}}])),
            ("/addresses", json!(["10.1.0.0/16"])),
            ("/addresses", json!(["10.1.0.1"])),
            ("/subjectAltNames", json!(["spiffe://x"])),
            ("/exportTo", json!(["*", "shop"])),
            ("/exportTo", json!(["shop", "shop"])),
            ("/exportTo", json!(["~", "."])),
            ("/exportTo", json!(["A_b"])),
            ("/ports/0/targetPort", json!(70000)),
        ]
    } else if spec.get("http").is_some() || spec.get("tls").is_some() || spec.get("tcp").is_some() {
        vec![
            ("/http/0/redirect", json!({"uri": "/x"})),
            ("/http/0/redirect", json!({"uri": "/x", "redirectCode": 200})),
            (
                "/http/0/redirect",
                json!({"port": 80, "derivePort": "FROM_PROTOCOL_DEFAULT"}),
            ),
            ("/http/0/directResponse", json!({"status": 200})),
            ("/http/0/directResponse", json!({"status": 700})),
            ("/http/0/rewrite", json!({"uri": "/x"})),
            ("/http/0/rewrite", json!({})),
            (
                "/http/0/fault",
                json!({"delay": {"fixedDelay": "1s", "percentage": {"value": 10}}}),
            ),
            ("/http/0/fault", json!({"abort": {"httpStatus": 999}})),
            ("/http/0/fault", json!({"delay": {"fixedDelay": "0s"}})),
            ("/http/0/retries", json!({"attempts": 0, "perTryTimeout": "1s"})),
            ("/http/0/retries", json!({"attempts": -1})),
            ("/http/0/delegate", json!({"name": "x"})),
            ("/http/0/headers", json!({"request": {"set": {"a b": "c"}}})),
            ("/http/0/headers", json!({"request": {"remove": ["host"]}})),
            ("/http/0/mirror", json!({"host": "b.com"})),
            ("/http/0/mirrorPercentage", json!({"value": 101})),
            ("/http/0/corsPolicy", json!({"allowOrigins": [{"exact": "*"}]})),
            ("/http/0/match/0/headers", json!({"": {"exact": "x"}})),
            ("/http/0/match/0/headers", json!({"a b": {"exact": "x"}})),
            ("/http/0/match/0/sourceNamespace", json!("A_b")),
            ("/http/0/match/0/sourceLabels", json!({"": "x"})),
            ("/http/0/match/0/uri", json!({"prefix": ""})),
            ("/gateways", json!(["a/b/c"])),
            ("/gateways", json!(["A_b"])),
            ("/gateways", json!([])),
            ("/http", json!([])),
            ("/tcp", json!([{"match": [{"port": 80}]}])),
            ("/tls", json!([{"route": [{"destination": {"host": "a.com"}}]}])),
            ("/exportTo", json!(["~"])),
            ("/exportTo", json!(["*", "."])),
        ]
    } else if spec.get("host").is_some() {
        vec![
            ("/subsets", json!([{"name": "v1"}, {"name": "v1"}])),
            ("/subsets", json!([{"name": ""}])),
            ("/subsets", json!([{"name": "A_b"}])),
            ("/subsets", json!([{"name": "v1", "labels": {"a b": "c"}}])),
            ("/trafficPolicy", json!({})),
            ("/trafficPolicy", json!({"tls": {"mode": "MUTUAL"}})),
            (
                "/trafficPolicy",
                json!({"tls": {"mode": "SIMPLE", "credentialName": "c", "caCertificates": "/x"}}),
            ),
            (
                "/trafficPolicy",
                json!({"tls": {"mode": "SIMPLE", "insecureSkipVerify": true, "subjectAltNames": ["a"]}}),
            ),
            ("/trafficPolicy", json!({"tls": {"mode": "ISTIO_MUTUAL", "sni": "x"}})),
            (
                "/trafficPolicy",
                json!({"tls": {"mode": "ISTIO_MUTUAL", "caCertificates": "/x"}}),
            ),
            ("/trafficPolicy", json!({"connectionPool": {}})),
            (
                "/trafficPolicy",
                json!({"connectionPool": {"tcp": {"connectTimeout": "0s"}}}),
            ),
            (
                "/trafficPolicy",
                json!({"connectionPool": {"tcp": {"maxConnections": -1}}}),
            ),
            (
                "/trafficPolicy",
                json!({"portLevelSettings": [{"tls": {"mode": "SIMPLE"}}]}),
            ),
            ("/trafficPolicy", json!({"loadBalancer": {"simple": "ROUND_ROBIN"}})),
            ("/trafficPolicy", json!({"outlierDetection": {"interval": "0s"}})),
            ("/trafficPolicy", json!({"outlierDetection": {}})),
            (
                "/trafficPolicy",
                json!({"outlierDetection": {"maxEjectionPercent": 101, "minHealthPercent": -1}}),
            ),
            (
                "/trafficPolicy",
                json!({"outlierDetection": {"consecutiveLocalOriginFailures": 2}}),
            ),
            ("/trafficPolicy", json!({"outlierDetection": {"consecutiveErrors": 2}})),
            (
                "/trafficPolicy",
                json!({"loadBalancer": {"simple": "RANDOM", "consistentHash": {"useSourceIp": true}}}),
            ),
            (
                "/trafficPolicy",
                json!({"loadBalancer": {"consistentHash": {"useSourceIp": true, "httpHeaderName": "a"}}}),
            ),
            (
                "/trafficPolicy",
                json!({"loadBalancer": {"consistentHash": {"httpCookie": {"name": ""}}}}),
            ),
            (
                "/trafficPolicy",
                json!({"loadBalancer": {"consistentHash": {"httpCookie": {"ttl": "1s"}}}}),
            ),
            (
                "/trafficPolicy",
                json!({"loadBalancer": {"consistentHash": {"httpCookie": {
                    "name": "a", "attributes": [{"name": "b"}, {"name": "b"}, {"name": ""}]
                }}}}),
            ),
            (
                "/trafficPolicy",
                json!({"loadBalancer": {"consistentHash": {"useSourceIp": true, "maglev": {"tableSize": seed.pick(&[0, 1, 2, 9, 250, 5_000_011])}}}}),
            ),
            (
                "/trafficPolicy",
                json!({"loadBalancer": {"consistentHash": {"useSourceIp": true, "minimumRingSize": 4}}}),
            ),
            (
                "/trafficPolicy",
                json!({"loadBalancer": {"consistentHash": {"minimumRingSize": 4, "ringHash": {"minimumRingSize": 4}}}}),
            ),
            (
                "/trafficPolicy",
                json!({"loadBalancer": {"localityLbSetting": {"failover": [{"from": "a", "to": seed.text(&["a", "b/c", "*", "b"])}]}}}),
            ),
            (
                "/trafficPolicy",
                json!({"loadBalancer": {"zoneAwareLbSetting": {
                    "failover": [{"from": "a", "to": seed.text(&["a", "b/c", "*", "b"])}],
                    "failoverPriority": [seed.text(&["topology.kubernetes.io/zone", "x"])]
                }}}),
            ),
            (
                "/trafficPolicy",
                json!({"loadBalancer": {"localityLbSetting": {"distribute": [{"from": "a", "to": {"b": seed.pick(&[0, 50, 100, 101])}}]}}}),
            ),
            (
                "/trafficPolicy",
                json!({"loadBalancer": {"localityLbSetting": {
                    "distribute": [
                        {"from": seed.text(&["a", "a/b", "a/b/*", "*", "a//b", "*/a"]), "to": {"c": 100}},
                        {"from": seed.text(&["a/b/c", "a/*", "b", "*", "a/b"]), "to": {"c": 100}}
                    ]
                }}}),
            ),
            (
                "/trafficPolicy",
                json!({"loadBalancer": {"localityLbSetting": {
                    "distribute": [{"from": "a", "to": {"c": 100}}], "failover": [{"from": "a", "to": "b"}]
                }}}),
            ),
            (
                "/trafficPolicy",
                json!({"loadBalancer": {"localityLbSetting": {
                    "failover": [{"from": "a", "to": "b"}], "failoverPriority": [seed.text(&["topology.kubernetes.io/zone", "x"])]
                }}}),
            ),
            (
                "/trafficPolicy",
                json!({"connectionPool": {"tcp": {"idleTimeout": seed.text(&["0s", "500us", "x"])}}}),
            ),
            (
                "/trafficPolicy",
                json!({"connectionPool": {"http": {"idleTimeout": "0s"}}}),
            ),
            (
                "/trafficPolicy",
                json!({"tunnel": {"targetHost": "a.com", "targetPort": 80}, "proxyProtocol": {"version": "V1"}}),
            ),
            ("/workloadSelector", json!({"matchLabels": {"app": "*"}})),
            ("/exportTo", json!(["*", "shop"])),
        ]
    } else {
        vec![
            ("/egress", json!([{"hosts": []}])),
            ("/egress", json!([{"hosts": ["*/*"]}, {"hosts": ["./*"]}])),
            ("/egress", json!([{"hosts": ["*/*"], "bind": "nope"}])),
            ("/egress", json!([{"hosts": ["*/*"], "bind": "10.1.0.1"}])),
            (
                "/egress",
                json!([{"hosts": ["*/*"], "port": {"number": 0, "protocol": "HTTP", "name": "a"}}]),
            ),
            (
                "/egress",
                json!([{"hosts": ["*/*"], "port": {"number": 80, "protocol": "FOO", "name": "a"}}]),
            ),
            (
                "/egress",
                json!([{"hosts": ["*/*"], "port": {"number": 80, "protocol": "HTTP", "name": "A_b"}}]),
            ),
            ("/egress", json!([{"hosts": ["*/*"], "port": {"number": 80}}])),
            ("/workloadSelector", json!({})),
            ("/workloadSelector", json!({"labels": {"app": "*"}})),
            ("/workloadSelector", json!({"labels": {"": "x"}})),
            (
                "/outboundTrafficPolicy",
                json!({"mode": "ALLOW_ANY", "egressProxy": {"host": "a.com", "port": {"number": 80}}}),
            ),
            (
                "/outboundTrafficPolicy",
                json!({"mode": "ALLOW_ANY", "egressProxy": {"host": "a.com"}}),
            ),
            (
                "/outboundTrafficPolicy",
                json!({"egressProxy": {"host": "a.com", "port": {"number": 80}}}),
            ),
            (
                "/ingress",
                json!([{"port": {"number": 80, "protocol": "HTTP", "name": "a"}, "defaultEndpoint": "127.0.0.1:80"}]),
            ),
        ]
    };
    let (place, value) = seed.pick(&fields).clone();
    let (parent, key) = place.rsplit_once('/').unwrap_or_default();
    if let Some(Value::Object(fields)) = spec.pointer_mut(parent) {
        fields.insert(key.to_string(), value);
    }
}
