//! How long policies of many objects take to compile, and one decision under them. `cargo bench -p proxy-core` runs it.

#![allow(clippy::unwrap_used, missing_docs)] // a measurement reports by panicking

use std::{net::SocketAddr, sync::Arc};

use divan::{Bencher, black_box};
use proxy_core::{
    model::{self, Resolution, World},
    policy::{Claims, Facts, HttpClaims, HttpVersion, Snapshot, Workload, compile, decide, recompile},
    yaml,
};

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

fn main() {
    divan::main();
}

/// REGISTRY_ONLY with `count` hosts, each with HTTP and HTTPS.
fn text(count: usize) -> String {
    let mut text = String::from(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
         data: {mesh: 'outboundTrafficPolicy: {mode: REGISTRY_ONLY}'}\n",
    );
    for index in 0..count {
        text.push_str(&format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: h{index}\n  \
             namespace: default\nspec:\n  hosts:\n  - h{index}.example.com\n  ports:\n  - number: 80\n    name: http\n    \
             protocol: HTTP\n  - number: 443\n    name: https\n    protocol: HTTPS\n  resolution: DNS\n"
        ));
    }
    text
}

fn world(count: usize) -> World {
    let (mut world, mut order, file) = (World::default(), 0, Arc::from("bench.yaml"));
    for document in yaml::read(text(count).as_bytes()).unwrap() {
        model::add_document(&document, &file, &mut order, &mut world, &mut Vec::new());
    }
    world
}

fn workload() -> Workload {
    Workload {
        namespace: "default".into(),
        ..Workload::default()
    }
}

fn snapshot(count: usize) -> Snapshot {
    compile(&world(count), &workload())
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn read_yaml(bencher: Bencher<'_, '_>, count: usize) {
    bencher
        .with_inputs(|| text(count))
        .bench_values(|text| yaml::read(text.as_bytes()).unwrap());
}

#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn compile_policy(bencher: Bencher<'_, '_>, count: usize) {
    let world = world(count);
    bencher.bench_local(|| compile(black_box(&world), &workload()));
}

/// What a sidecar does when a file of its folder says another resolution for one host.
#[divan::bench(args = SIZES, sample_count = 20, sample_size = 1)]
fn recompile_one_host(bencher: Bencher<'_, '_>, count: usize) {
    let was = world(count);
    let mut now = was.clone();
    let edited = was.service_entries[777].but(|entry| entry.resolution = Resolution::DnsRoundRobin);
    now.service_entries[777] = Arc::new(edited);
    let snapshot = compile(&was, &workload());
    bencher.bench_local(|| recompile(black_box(&snapshot), &was, black_box(&now), &workload()));
}

fn decides(bencher: Bencher<'_, '_>, count: usize, destination: &str, claims: Claims<'_>) {
    let snapshot = snapshot(count);
    let facts = Facts {
        destination: destination.parse::<SocketAddr>().unwrap(),
        claims,
        draw: 0,
    };
    bencher.bench_local(|| {
        black_box(decide(black_box(&snapshot), black_box(&facts), &mut ()));
    });
}

fn http(authority: &str) -> Claims<'_> {
    Claims::Http(HttpClaims {
        version: HttpVersion::Http11,
        method: "GET",
        authority: Some(authority),
        path: "/",
        headers: &(),
    })
}

#[divan::bench(args = SIZES)]
fn decide_request(bencher: Bencher<'_, '_>, count: usize) {
    decides(bencher, count, "198.18.0.1:80", http("h777.example.com"));
}

#[divan::bench(args = SIZES)]
fn decide_unknown_request(bencher: Bencher<'_, '_>, count: usize) {
    decides(bencher, count, "198.18.0.1:80", http("unknown.example.org"));
}

#[divan::bench(args = SIZES)]
fn decide_tls(bencher: Bencher<'_, '_>, count: usize) {
    let sni = Some("h777.example.com");
    decides(bencher, count, "198.18.0.1:443", Claims::Tls { sni });
}
