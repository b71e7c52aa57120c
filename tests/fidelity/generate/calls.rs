//! Calls that have to do with a world: to its addresses, ports and names, and just beside them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::PORTS;
use crate::{
    seed::Seed,
    world::{Call, World},
};

pub fn calls(seed: &mut Seed, world: &World) -> Vec<Call> {
    let (mut names, mut ports) = (BTreeSet::new(), BTreeSet::new());
    for document in &world.documents {
        let spec = &document["spec"];
        names.extend(strings(&spec["hosts"]));
        ports.extend(spec["ports"].as_array().into_iter().flatten().filter_map(number));
    }
    let names: Vec<String> = names.into_iter().collect();
    let ports: Vec<u16> = ports.into_iter().collect();
    (0..seed.between(6, 12)).map(|_| call(seed, &names, &ports)).collect()
}

fn number(port: &Value) -> Option<u16> {
    let number = port.get("number").or(port.get("port"))?;
    u16::try_from(number.as_u64()?).ok()
}

fn strings(list: &Value) -> impl Iterator<Item = String> + '_ {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| item.as_str().map(str::to_string))
}

fn call(seed: &mut Seed, names: &[String], ports: &[u16]) -> Call {
    let addresses = [
        "93.184.216.34",
        "93.184.216.34",
        "10.1.0.1",
        "10.1.0.2",
        "10.2.0.1",
        "10.1.7.7",
        "10.200.0.1",
        "10.1.0.77",
        "240.240.0.1",
        "10.3.0.1",
        "10.96.0.1",
        "10.96.0.2",
        "10.96.0.3",
        "10.9.1.1",
    ];
    let port = match seed.below(8) {
        0 => *seed.pick(&[81, 15001, 65535, 3306]),
        1 => *seed.pick(&PORTS),
        _ if ports.is_empty() => 80,
        _ => *seed.pick(ports),
    };
    let protocol = seed.text(&[
        "http", "http", "http", "http", "http2", "http1.0", "tls", "tls", "tls", "tcp", "tcp",
    ]);
    let mut made = Call {
        address: seed.text(&addresses),
        port,
        ..Call::default()
    };
    match protocol.as_str() {
        "tls" if !seed.once_in(8) => made.sni = name(seed, names).to_ascii_lowercase(),
        "tls" | "tcp" => {}
        _ => {
            made.host = authority(seed, names, &made);
            made.method = seed.text(&["GET", "GET", "GET", "POST", "CONNECT"]);
            made.path = seed.text(&[
                "/",
                "/",
                "/api",
                "/api/7",
                "/API/x",
                "/b?q=v1",
                "/api?q=v2&q=x",
                "/other",
                "/?q",
                "/apiary",
            ]);
            for header in ["x-one", "x-two"] {
                if seed.once_in(3) {
                    made.headers.insert(header.into(), seed.text(&["v1", "v2", "w", ""]));
                }
            }
        }
    }
    made.protocol = protocol;
    made
}

/// A declared name, one under a declared wildcard, or one that nothing declares.
fn name(seed: &mut Seed, names: &[String]) -> String {
    if names.is_empty() || seed.once_in(5) {
        return seed.text(&[
            "nobody.net",
            "a.com",
            "n.x.a.com",
            "com",
            "q.org",
            "sub.b.com",
            "unknown.net",
        ]);
    }
    let declared = seed.pick(names).clone();
    match declared.strip_prefix('*') {
        Some(rest) if seed.once_in(5) => rest.trim_start_matches('.').to_string(),
        Some(rest) => format!("{}{rest}", seed.text(&["n", "x", "deep.er", ""])),
        None => declared,
    }
}

/// A Host header around a name.
fn authority(seed: &mut Seed, names: &[String], made: &Call) -> String {
    match seed.below(14) {
        0 => made.address.clone(),
        1 => format!("{}:{}", made.address, made.port),
        2 => format!("{}:{}", name(seed, names), made.port),
        3 => format!("{}:8081", name(seed, names)),
        4 => name(seed, names).to_ascii_uppercase(),
        5 => format!("{}.", name(seed, names)),
        6 => seed.text(&[
            "web",
            "web.shop",
            "web.shop.svc",
            "db.other",
            "db",
            "api.istio-system.svc.cluster.local",
            "10.1.0.1",
        ]),
        _ => name(seed, names),
    }
}
