//! VirtualServices.

use serde_json::{Value, json};

use super::{ADDRESSES, NAMESPACES, PORTS, actions, export_to};
use crate::seed::Seed;

/// Hosts that VirtualServices are for.
const HOSTS: [&str; 13] = [
    "a.com",
    "a.com",
    "b.com",
    "x.a.com",
    "*.a.com",
    "*.com",
    "c.org",
    "unknown.net",
    "*.net",
    "web",
    "web.shop.svc.cluster.local",
    "10.1.0.1",
    "UP.com",
];
/// Where their routes lead.
const DESTINATIONS: [&str; 11] = [
    "a.com",
    "a.com",
    "b.com",
    "x.a.com",
    "c.org",
    "gone.com",
    "web",
    "web.shop.svc.cluster.local",
    "*.a.com",
    "UP.com",
    "db.other.svc.cluster.local",
];

/// One without hosts, whose name others know.
pub fn delegate(seed: &mut Seed) -> Value {
    let mut spec = json!({"http": (0..seed.between(1, 2)).map(|_| http(seed)).collect::<Vec<_>>()});
    export_to(seed, &mut spec);
    let metadata = json!({"name": "supplier", "namespace": "shop"});
    json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": spec})
}

pub fn virtual_service(seed: &mut Seed) -> Value {
    let count = *seed.pick(&[1, 1, 2, 3]);
    let mut spec = json!({"hosts": seed.texts(&HOSTS, count)});
    if seed.once_in(6) {
        let lists: [&[&str]; 4] = [&["mesh"], &["edge"], &["mesh", "edge"], &["other/edge"]];
        spec["gateways"] = json!(seed.pick(&lists));
    }
    let kind = seed.below(10);
    if kind < 7 {
        spec["http"] = (0..seed.between(1, 3)).map(|_| http(seed)).collect();
    }
    if kind >= 6 && seed.below(3) > 0 || kind == 9 {
        let hosts = spec["hosts"].clone();
        spec["tls"] = (0..seed.between(1, 2)).map(|_| tls(seed, &hosts)).collect();
    }
    if kind >= 6 && seed.below(3) > 0 || kind == 8 || kind == 7 && spec.get("tls").is_none() {
        spec["tcp"] = (0..seed.between(1, 2)).map(|_| tcp(seed)).collect();
    }
    export_to(seed, &mut spec);
    json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "spec": spec})
}

/// One entry of `http`.
pub fn http(seed: &mut Seed) -> Value {
    let mut route = json!({});
    if seed.below(3) > 0 {
        route["match"] = (0..seed.between(1, 2)).map(|_| http_match(seed)).collect();
    }
    if seed.once_in(3) {
        route["name"] = json!(seed.text(&["first", "second"]));
    }
    if seed.once_in(10) {
        route["delegate"] = json!({"name": seed.text(&["supplier", "supplier", "nobody"])});
        if seed.once_in(2) {
            route["delegate"]["namespace"] = json!("shop");
        }
        return route;
    }
    if seed.once_in(3) {
        route["headers"] = actions::headers(seed, true);
    }
    if seed.once_in(6) {
        route["corsPolicy"] = actions::cors(seed);
    }
    match seed.below(8) {
        0 => {
            route["redirect"] = redirect(seed);
            return route;
        }
        1 => {
            route["directResponse"] = json!({"status": seed.pick(&[200, 404, 503, 599])});
            if seed.once_in(2) {
                route["directResponse"]["body"] = json!({"string": "hello"});
            }
            return route;
        }
        _ => route["route"] = http_destinations(seed),
    }
    actions::forwarded(seed, &mut route);
    if seed.once_in(3) {
        route["timeout"] = json!(seed.text(&["3s", "0.5s", "1m30s", "250ms"]));
    }
    if seed.once_in(3) {
        route["retries"] = retries(seed);
    }
    route
}

fn retries(seed: &mut Seed) -> Value {
    let mut retries = json!({"attempts": seed.between(0, 3)});
    if retries["attempts"] == 0 {
        return retries;
    }
    if seed.once_in(2) {
        retries["perTryTimeout"] = json!(seed.text(&["1s", "100ms"]));
    }
    if seed.once_in(2) {
        retries["retryOn"] = json!(seed.text(&[
            "5xx",
            "gateway-error",
            "reset",
            "connect-failure,refused-stream",
            "retriable-4xx",
            "503",
            "connect-failure,503,429",
            "unavailable,cancelled",
            "retriable-status-codes",
            "reset-before-request",
        ]));
    }
    if seed.once_in(4) {
        retries["retryIgnorePreviousHosts"] = json!(seed.once_in(2));
    }
    if seed.once_in(4) {
        retries["backoff"] = json!(seed.text(&["1s", "10ms"]));
    }
    retries
}

fn redirect(seed: &mut Seed) -> Value {
    let mut redirect = json!({});
    if seed.once_in(2) {
        redirect["uri"] = json!("/new");
    }
    if seed.once_in(6) && redirect.get("uri").is_none() {
        redirect["prefixRewrite"] = json!("/prefix");
    }
    if seed.once_in(2) {
        redirect["authority"] = json!(seed.text(&["new.com", "new.com:8080"]));
    }
    if seed.once_in(3) {
        redirect["scheme"] = json!(seed.text(&["https", "http"]));
    }
    match seed.below(4) {
        0 => redirect["port"] = json!(8443),
        1 => redirect["derivePort"] = json!(seed.text(&["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"])),
        _ => {}
    }
    if seed.once_in(2) {
        redirect["redirectCode"] = json!(seed.pick(&[301, 302, 303, 307, 308, 301, 302, 303, 307, 308, 304]));
    }
    redirect
}

fn http_match(seed: &mut Seed) -> Value {
    let mut condition = json!({});
    if seed.below(3) > 0 {
        condition["uri"] = match seed.below(4) {
            0 => json!({"exact": seed.text(&["/", "/api", "/API"])}),
            1 => json!({"regex": seed.text(&["/a.*", ".*", "/api/[0-9]+", "*"])}),
            _ => json!({"prefix": seed.text(&["/", "/api", "/b"])}),
        };
        if seed.once_in(4) {
            condition["ignoreUriCase"] = json!(true);
        }
    }
    if seed.once_in(4) {
        condition["headers"] = json!({seed.text(&["x-one", "X-Two"]): text_match(seed)});
    }
    if seed.once_in(8) {
        condition["withoutHeaders"] = json!({"x-one": text_match(seed)});
    }
    if seed.once_in(8) {
        condition["queryParams"] = json!({"q": text_match(seed)});
    }
    if seed.once_in(8) {
        condition["method"] = json!({"exact": "POST"});
    }
    if seed.once_in(12) {
        condition["authority"] = json!({"prefix": "a.com"});
    }
    if seed.once_in(16) {
        condition["scheme"] = json!({"exact": seed.text(&["http", "https"])});
    }
    if seed.once_in(8) {
        condition["name"] = json!("piece");
    }
    at_caller(seed, &mut condition);
    condition
}

fn text_match(seed: &mut Seed) -> Value {
    match seed.below(5) {
        0 => json!({"exact": "v1"}),
        1 => json!({"prefix": "v"}),
        2 => json!({"regex": seed.text(&["v[12]", "*", ".*"])}),
        3 => json!({"exact": ""}),
        _ => json!({}),
    }
}

/// Conditions on who calls and which port, as all three lists have them.
fn at_caller(seed: &mut Seed, condition: &mut Value) {
    if seed.once_in(6) {
        condition["port"] = json!(seed.pick(&PORTS));
    }
    if seed.once_in(10) {
        condition["sourceLabels"] = json!({"app": seed.text(&["cart", "web"])});
    }
    if seed.once_in(12) {
        condition["sourceNamespace"] = json!(seed.text(&NAMESPACES));
    }
    if seed.once_in(12) {
        condition["gateways"] = json!([seed.text(&["mesh", "edge"])]);
    }
}

/// Destinations that may have edits of their own.
fn http_destinations(seed: &mut Seed) -> Value {
    let mut all = destinations(seed);
    for one in all.as_array_mut().into_iter().flatten() {
        if seed.once_in(4) {
            one["headers"] = actions::headers(seed, true);
        }
    }
    all
}

/// Where something is sent.
pub fn destination(seed: &mut Seed) -> Value {
    let mut destination = json!({"host": seed.text(&DESTINATIONS)});
    if seed.once_in(2) {
        destination["port"] = json!({"number": seed.pick(&PORTS)});
    }
    if seed.once_in(4) {
        destination["subset"] = json!(seed.text(&["v1", "v2"]));
    }
    destination
}

fn destinations(seed: &mut Seed) -> Value {
    let count = *seed.pick(&[1, 1, 1, 2, 3]);
    (0..count)
        .map(|_| {
            let mut entry = json!({"destination": destination(seed)});
            if count > 1 || seed.once_in(3) {
                entry["weight"] = json!(seed.pick(&[0, 10, 50, 100]));
            }
            entry
        })
        .collect()
}

fn tls(seed: &mut Seed, hosts: &Value) -> Value {
    let matches: Value = (0..seed.between(1, 2))
        .map(|_| {
            // Each name must be under one of the hosts.
            let host = hosts[0].as_str().unwrap_or_default();
            let name = match host.strip_prefix("*.") {
                Some(rest) if seed.once_in(2) => format!("n.{rest}"),
                _ => host.to_string(),
            };
            let mut condition = json!({"sniHosts": [name]});
            if seed.once_in(4) {
                condition["destinationSubnets"] = json!([seed.text(&ADDRESSES)]);
            }
            at_caller(seed, &mut condition);
            condition
        })
        .collect();
    json!({"match": matches, "route": destinations(seed)})
}

fn tcp(seed: &mut Seed) -> Value {
    let mut route = json!({"route": destinations(seed)});
    if seed.below(3) > 0 {
        route["match"] = (0..seed.between(1, 2))
            .map(|_| {
                let mut condition = json!({});
                if seed.once_in(2) {
                    let count = seed.between(1, 2);
                    condition["destinationSubnets"] = json!(seed.texts(&ADDRESSES, count));
                }
                at_caller(seed, &mut condition);
                condition
            })
            .collect();
    }
    route
}
