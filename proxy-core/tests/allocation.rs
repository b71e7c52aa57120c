//! Deciding allocates nothing: it runs for every connection and request.

#![allow(unsafe_code)] // a global allocator that counts can only be an unsafe impl; it hands everything to the system's

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
};

use proxy_core::{
    model::{self, World},
    policy::{Claims, Facts, HttpClaims, HttpVersion, Verdict, Workload, compile, decide},
    yaml,
};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches only a thread-local number
// without a destructor, which itself needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` by this allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn world(entries: usize) -> World {
    let mut text = String::from(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\nspec:\n  hosts: [h1.org]\n  http:\n\
         \x20 - match: [{uri: {regex: '/a.*'}, headers: {x-test: {exact: '1'}}, queryParams: {q: {exact: '1'}}}]\n\
         \x20   route: [{destination: {host: h1.org}}]\n\
         \x20 - rewrite: {uri: /new, authority: h2.org}\n\
         \x20   headers: {request: {set: {x-a: '%PROTOCOL%'}}}\n\
         \x20   fault: {abort: {percentage: {value: 50}, httpStatus: 503}}\n\
         \x20   mirrors: [{destination: {host: h4.org}}]\n\
         \x20   corsPolicy: {allowOrigins: [{prefix: 'http://'}]}\n\
         \x20   route: [{destination: {host: h1.org}, weight: 1, headers: {request: {add: {x-b: '1'}}}}, {destination: {host: h4.org}, weight: 1}]\n",
    );
    for number in 0..entries {
        let (port, protocol, address) = match number % 4 {
            0 | 1 => (80, "HTTP", "[]".to_string()),
            2 => (443, "TLS", "[]".to_string()),
            _ => (
                5432,
                "TCP",
                format!("[10.{}.{}.0/24]", number / 256 % 256, number % 256),
            ),
        };
        let host = if number % 8 == 2 {
            format!("'*.w{number}.org'")
        } else {
            format!("h{number}.org")
        };
        text.push_str(&format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: e{number}}}\nspec:\n  hosts: \
             [{host}]\n  addresses: {address}\n  ports: [{{number: {port}, name: p, protocol: {protocol}}}]\n"
        ));
    }
    let (mut world, mut order, mut errors) = (World::default(), 0, Vec::new());
    for document in yaml::read(text.as_bytes()).expect("the world is valid YAML") {
        model::add_document(&document, &Arc::from("w.yaml"), &mut order, &mut world, &mut errors);
    }
    assert_eq!(errors, []);
    world
}

#[test]
fn deciding_allocates_nothing() {
    let workload = Workload {
        namespace: "default".into(),
        ..Workload::default()
    };
    let snapshot = compile(&world(400), &workload);
    let headers = vec![("x-test".to_string(), "1".to_string())];
    let http = |version, authority, path| {
        Claims::Http(HttpClaims {
            version,
            method: "GET",
            authority,
            path,
            headers: &headers,
        })
    };
    let v11 = HttpVersion::Http11;
    let cases = [
        ("1.2.3.4:80", http(v11, Some("h0.org"), "/"), Verdict::Registered),
        (
            "1.2.3.4:80",
            http(v11, Some("H1.ORG:80"), "/abc?q=1"),
            Verdict::Registered,
        ),
        ("1.2.3.4:80", http(v11, Some("h1.org"), "/other"), Verdict::Registered),
        (
            "1.2.3.4:80",
            http(HttpVersion::H2c, Some("nobody.net"), "/"),
            Verdict::Passthrough,
        ),
        ("1.2.3.4:80", http(v11, None, "/"), Verdict::Blocked),
        (
            "1.2.3.4:443",
            Claims::Tls {
                sni: Some("x.y.w2.org"),
            },
            Verdict::Registered,
        ),
        (
            "1.2.3.4:443",
            Claims::Tls {
                sni: Some("nobody.net"),
            },
            Verdict::Passthrough,
        ),
        ("10.0.3.9:5432", Claims::Tcp, Verdict::Registered),
        ("1.2.3.4:9999", Claims::Tcp, Verdict::Passthrough),
        ("127.0.0.1:80", Claims::Tcp, Verdict::Bypassed),
    ];
    // The regex engine sets up its scratch space when it first runs on a thread.
    for round in ["first", "later"] {
        for (destination, claims, verdict) in cases {
            let facts = Facts {
                destination: destination.parse().unwrap(),
                claims,
                draw: 7,
            };
            let before = ALLOCATIONS.get();
            let decision = decide(&snapshot, &facts, &mut ());
            let allocated = ALLOCATIONS.get() - before;
            assert_eq!(decision.verdict, verdict, "{facts:?}");
            assert!(
                allocated == 0 || round == "first",
                "{allocated} allocations for {facts:?}"
            );
        }
    }
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}
