//! Explicit proxies of Sidecars (HTTP_PROXY), drawn apart from the rest of a world, which so stays what it was.

use serde_json::{Value, json};

use crate::{
    seed::Seed,
    world::{Call, World},
};

/// Draws of explicit proxies are apart from those of worlds.
const APART: u64 = 0xe1c7;
/// Where they listen.
const PROXY: (&str, u16) = ("10.1.0.1", 15080);

/// Has one of the Sidecars of `world` be an explicit proxy, where one has listeners, and calls it.
pub fn explicit(seed: u64, number: u64, world: &mut World) {
    let seed = &mut Seed::of(seed ^ APART, number);
    let (address, port) = PROXY;
    let documents = world.documents.iter_mut();
    for listeners in documents.filter_map(|document| document.pointer_mut("/spec/egress")?.as_array_mut()) {
        let mut listener = json!({
            "hosts": [seed.text(&["*/*", "*/*", "./*", "other/*", "*/*.a.com"])],
            "port": {"number": port, "protocol": "HTTP_PROXY", "name": "proxy"},
            "bind": address,
        });
        if seed.once_in(2) {
            listener["captureMode"] = json!("NONE");
        }
        listeners.insert(0, listener);
    }
    let names: Vec<String> = world
        .documents
        .iter()
        .flat_map(|document| names(&document["spec"]["hosts"]))
        .collect();
    if names.is_empty() {
        return;
    }
    for _ in 0..3 {
        let name = seed.pick(&names).replace('*', "w");
        world.calls.push(Call {
            address: address.into(),
            port,
            protocol: "http".into(),
            host: name + &seed.text(&["", "", ":80", ":8080", "."]),
            method: "GET".into(),
            path: seed.text(&["/", "/api", "/api/x", "/v1/x"]),
            ..Call::default()
        });
    }
}

fn names(hosts: &Value) -> impl Iterator<Item = String> + '_ {
    hosts
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|host| host.as_str().map(str::to_string))
}
