//! Draws worlds. Names, addresses and ports come from small pools, so that objects meet: the same host twice, a name under
//! a wildcard, an address in a range.
//!
//! Left out, because the oracle cannot tell it: pods behind selectors, gateways, listeners that the bootstrap makes (15021,
//! 15090), and whatever depends on an answer (health, DNS, retries taking place). Left out, because Istio leaves it to
//! chance: two entries for one host in one namespace of the same age, and several addresses of a host that HTTP is spoken
//! to. Left out, because the engine has no certificates of the mesh: ISTIO_MUTUAL.

mod actions;
mod analyzed;
mod balance;
mod break_one;
mod calls;
mod entries;
mod explicit;
mod routed;
mod routes;
mod scope;

pub use analyzed::analyzed;
pub use break_one::broken;
pub use explicit::explicit;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{seed::Seed, world::World};

/// Namespaces; the first is the caller's, the last the root.
const NAMESPACES: [&str; 3] = ["shop", "other", "istio-system"];
/// Names that ServiceEntries declare.
const HOSTS: [&str; 15] = [
    "*-api.a.com",
    "a.com",
    "a.com",
    "b.com",
    "x.a.com",
    "y.x.a.com",
    "c.org",
    "*.a.com",
    "*.x.a.com",
    "*.com",
    "*.org",
    "UP.com",
    "dot.com.",
    "single",
    "web.shop.svc.cluster.local",
];
const PORTS: [u16; 8] = [80, 80, 80, 443, 443, 8080, 5432, 3306];
const ADDRESSES: [&str; 11] = [
    "fd00::1",
    "fd00::/64",
    "0.0.0.0/0",
    "10.1.0.1",
    "10.1.0.2",
    "10.2.0.1/32",
    "10.1.0.0/16",
    "10.0.0.0/8",
    "10.1.0.0/24",
    "240.240.0.1",
    "10.9.9.9/16",
];

/// World `number` of `seed`; each of its objects may be valid or not.
pub fn world(seed: u64, number: u64) -> World {
    let seed = &mut Seed::of(seed, number);
    if seed.once_in(3) {
        return routed::world(seed);
    }
    let mut documents = Vec::new();
    for _ in 0..seed.between(1, 5) {
        documents.push(entries::service_entry(seed));
    }
    for _ in 0..*seed.pick(&[0, 0, 1, 1, 2, 3]) {
        documents.push(entries::service(seed));
    }
    for _ in 0..*seed.pick(&[0, 1, 1, 2, 3]) {
        documents.push(routes::virtual_service(seed));
    }
    if seed.once_in(3) {
        documents.push(routes::delegate(seed));
    }
    for _ in 0..*seed.pick(&[0, 0, 1, 2]) {
        documents.push(scope::destination_rule(seed));
    }
    for _ in 0..*seed.pick(&[0, 0, 0, 1, 2]) {
        documents.push(scope::sidecar(seed));
    }
    for (index, document) in documents.iter_mut().enumerate() {
        identify(seed, index, document);
    }
    settle(&mut documents);
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    if seed.below(3) > 0 {
        labels.insert("app".into(), seed.text(&["cart", "web"]));
    }
    if seed.once_in(3) {
        labels.insert("istio-locality".into(), seed.text(&["r1.z1.s1", "r1.z3", "r2"]));
    }
    let mut world = World {
        mesh: scope::mesh(seed),
        documents,
        namespace: seed.text(&["shop", "shop", "shop", "other", "istio-system"]),
        labels,
        ..World::default()
    };
    world.calls = calls::calls(seed, &world);
    world
}

/// Name, namespace and age. Ages are often equal: names decide then.
fn identify(seed: &mut Seed, index: usize, document: &mut Value) {
    let name = format!("{}{index}", seed.text(&["m", "a", "z"]));
    let mut metadata = document["metadata"].take();
    if metadata.is_null() {
        metadata = json!({});
    }
    // A Service's name is part of its host.
    if metadata.get("name").is_none() {
        metadata["name"] = json!(name);
    }
    if metadata.get("namespace").is_none() {
        metadata["namespace"] = json!(seed.text(&["shop", "shop", "other", "istio-system"]));
    }
    metadata["creationTimestamp"] = json!(format!("202{}-01-01T00:00:00Z", seed.between(0, 3)));
    document["metadata"] = metadata;
}

/// Takes chance out: no two Services of one name, no two entries for one host in one namespace of the same age.
fn settle(documents: &mut Vec<Value>) {
    let same = |a: &Value, b: &Value, field: &str| a["metadata"][field] == b["metadata"][field];
    let mut kept: Vec<Value> = Vec::new();
    for mut document in std::mem::take(documents) {
        if document["kind"] == "Service"
            && kept.iter().any(|known| {
                known["kind"] == "Service" && same(known, &document, "name") && same(known, &document, "namespace")
            })
        {
            continue;
        }
        let shares_a_host = |known: &&Value| {
            known["kind"] == "ServiceEntry"
                && same(known, &document, "namespace")
                && known["spec"]["hosts"].as_array().into_iter().flatten().any(|host| {
                    document["spec"]["hosts"]
                        .as_array()
                        .is_some_and(|hosts| hosts.contains(host))
                })
        };
        let ages: Vec<Value> = kept
            .iter()
            .filter(shares_a_host)
            .map(|known| known["metadata"]["creationTimestamp"].clone())
            .collect();
        if document["kind"] == "ServiceEntry" {
            let mut year = 2020;
            while ages.contains(&document["metadata"]["creationTimestamp"]) {
                document["metadata"]["creationTimestamp"] = json!(format!("{year}-06-01T00:00:00Z"));
                year += 1;
            }
        }
        kept.push(document);
    }
    *documents = kept;
}

/// `exportTo`, mostly absent.
fn export_to(seed: &mut Seed, spec: &mut Value) {
    if seed.once_in(3) {
        let lists: [&[&str]; 7] = [
            &["*"],
            &["."],
            &["shop"],
            &["other"],
            &["."],
            &["shop", "other"],
            &["~"],
        ];
        spec["exportTo"] = json!(seed.pick(&lists));
    }
}
