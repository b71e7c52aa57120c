//! Rules that hold for any policy and any connection.

mod balancing;
mod compare;
mod linear;
mod otherwise;
mod recompile;
mod versions;

use std::{net::SocketAddr, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{
    model::{self, World},
    yaml,
};

const HOSTS: [&str; 7] = [
    "a.com",
    "b.com",
    "*.com",
    "*.x.org",
    "w.x.org",
    "UP.com",
    "s.default.svc.cluster.local",
];
const SPOKEN: [&str; 9] = [
    "a.com", "A.com:80", "b.com.", "n.x.org", "x.org", "new.net", "10.1.2.3", "", "s",
];
const ADDRESSES: [&str; 4] = ["10.1.2.3", "10.2.0.1", "1.2.3.4", "127.0.0.1"];
const PORTS: [u16; 5] = [80, 443, 5432, 15001, 15021];
const PROTOCOLS: [&str; 7] = ["HTTP", "HTTPS", "TLS", "TCP", "Mongo", "GRPC", ""];

fn pick<T: Copy + std::fmt::Debug + 'static>(items: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(items)
}

/// A ServiceEntry as YAML.
fn entry() -> impl Strategy<Value = String> {
    (
        pick(&HOSTS),
        pick(&["", "10.1.2.3", "10.1.0.0/16", "10.0.0.0/8"]),
        pick(&PORTS),
        pick(&PROTOCOLS),
        pick(&["default", "shop"]),
        pick(&["*", "."]),
    )
        .prop_map(|(host, address, port, protocol, namespace, export)| {
            let addresses = if address.is_empty() {
                "[]".to_string()
            } else {
                format!("['{address}']")
            };
            format!(
                "kind: ServiceEntry\nspec: {{hosts: ['{host}'], addresses: {addresses}, exportTo: ['{export}'], \
                 ports: [{{number: {port}, name: p, protocol: '{protocol}'}}]}}\nmetadata: {{namespace: {namespace}, "
            )
        })
}

/// A Sidecar as YAML.
fn sidecar() -> impl Strategy<Value = String> {
    let policies = &[
        "",
        "outboundTrafficPolicy: {mode: ALLOW_ANY}, ",
        "outboundTrafficPolicy: {}, ",
    ];
    let hosts = &["'*/*'", "'./*'", "'shop/*'", "'*/*', '~default/a.com'"];
    (pick(policies), pick(hosts), pick(&["default", "istio-system"])).prop_map(|(policy, hosts, namespace)| {
        format!("kind: Sidecar\nspec: {{{policy}egress: [{{hosts: [{hosts}]}}]}}\nmetadata: {{namespace: {namespace}, ")
    })
}

fn world() -> impl Strategy<Value = World> {
    let objects = prop::collection::vec(prop_oneof![8 => entry(), 1 => sidecar()], 0..8);
    (objects, pick(&["ALLOW_ANY", "REGISTRY_ONLY", "ALLOW_ANY_DYNAMIC_DNS"])).prop_map(|(objects, mode)| {
        let mut text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\n\
             data: {{mesh: 'outboundTrafficPolicy: {{mode: {mode}}}'}}\n"
        );
        for (index, object) in objects.iter().enumerate() {
            text.push_str(&format!(
                "---\napiVersion: networking.istio.io/v1\n{object}name: o{index}}}\n"
            ));
        }
        read(&text)
    })
}

fn read(text: &str) -> World {
    let (mut world, mut order, mut errors) = (World::default(), 0, Vec::new());
    for document in yaml::read(text.as_bytes()).unwrap() {
        model::add_document(&document, &Arc::from("t.yaml"), &mut order, &mut world, &mut errors);
    }
    assert_eq!(errors, [], "{text}");
    world
}

fn workload() -> impl Strategy<Value = Workload> {
    let settings = |key: &'static str, values: &'static [&'static str]| {
        pick(values).prop_map(move |value| (format!("traffic.sidecar.istio.io/{key}"), value.to_string()))
    };
    let annotations = (
        settings(
            "excludeOutboundIPRanges",
            &["", "10.0.0.0/8", "10.1.0.0/16,10.1.2.0/24"],
        ),
        settings("excludeOutboundPorts", &["", "", "443"]),
        settings("includeOutboundIPRanges", &["*", "*", "10.0.0.0/8", ""]),
    );
    (annotations, any::<bool>()).prop_map(|((a, b, c), plain)| Workload {
        namespace: "default".into(),
        annotations: if plain { Default::default() } else { [a, b, c].into() },
        ..Workload::default()
    })
}

/// What is spoken, with its text owned.
#[derive(Debug, Clone, Copy)]
struct Spoken {
    kind: &'static str,
    name: Option<&'static str>,
    method: &'static str,
    path: &'static str,
}

impl Spoken {
    fn claims(&self) -> Claims<'static> {
        let http = |version| {
            Claims::Http(HttpClaims {
                version,
                method: self.method,
                authority: self.name,
                path: self.path,
                headers: &(),
            })
        };
        match self.kind {
            "tcp" => Claims::Tcp,
            "tls" => Claims::Tls { sni: self.name },
            "1.0" => http(HttpVersion::Http10),
            "h2c" => http(HttpVersion::H2c),
            _ => http(HttpVersion::Http11),
        }
    }
}

fn connection() -> impl Strategy<Value = (SocketAddr, Spoken)> {
    let spoken = (
        pick(&["tcp", "tls", "tls", "1.0", "1.1", "1.1", "h2c"]),
        prop::option::weighted(0.9, pick(&SPOKEN)),
        pick(&["GET", "GET", "CONNECT"]),
        pick(&["/", "/api?x=1", "*"]),
    )
        .prop_map(|(kind, name, method, path)| Spoken {
            kind,
            name,
            method,
            path,
        });
    (pick(&ADDRESSES), pick(&[80, 443, 5432, 8080, 15001, 15021]), spoken)
        .prop_map(|(address, port, spoken)| (SocketAddr::new(address.parse().unwrap(), port), spoken))
}

/// A ServiceEntry of the caller's namespace.
fn declared(host: &str, address: &str, port: u16, protocol: &str) -> World {
    read(&format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a, namespace: default}}\n\
         spec: {{hosts: ['{host}'], addresses: ['{address}'], \
         ports: [{{number: {port}, name: p, protocol: '{protocol}'}}]}}\n"
    ))
}

/// What is in force for a workload in `default`, and the facts of a call that it makes.
fn call<'c>(world: &World, destination: &str, claims: Claims<'c>) -> (Snapshot, Facts<'c>) {
    let workload = Workload {
        namespace: "default".into(),
        ..Workload::default()
    };
    let facts = Facts {
        destination: destination.parse().unwrap(),
        claims,
        draw: 0,
    };
    (compile(world, &workload), facts)
}

fn offered(world: &World, destination: &str, claims: Claims<'_>) -> Vec<Change> {
    let (snapshot, facts) = call(world, destination, claims);
    explain_in(world, &snapshot, &facts).changes
}

#[test]
fn a_sniffed_virtual_address_serves_whatever_host_is_asked_for() {
    let http = HttpClaims {
        version: HttpVersion::Http11,
        method: "GET",
        authority: Some("other.com"),
        path: "/",
        headers: &(),
    };
    let workload = Workload {
        namespace: "default".into(),
        ..Workload::default()
    };
    let facts = Facts {
        destination: "10.1.2.3:5432".parse().unwrap(),
        claims: Claims::Http(http),
        draw: 0,
    };
    let snapshot = compile(&declared("a.com", "10.1.2.3", 5432, ""), &workload);
    let decision = decide(&snapshot, &facts, &mut ());
    assert_eq!(
        (decision.verdict, decision.virtual_host),
        (Verdict::Registered, Some("a.com:5432"))
    );
}

/// Istio keeps both entries apart, and so takes the new one for connections by that name.
#[test]
fn an_entry_by_name_is_offered_for_a_host_that_has_addresses_elsewhere() {
    let tls = Claims::Tls { sni: Some("a.com") };
    let elsewhere = declared("a.com", "10.1.2.3", 80, "HTTP");
    let by_name = |change: &Change| matches!(change, Change::Register { address: None, .. });
    assert!(offered(&elsewhere, "10.2.0.1:443", tls).iter().any(by_name));
}

#[test]
fn a_registered_connection_is_offered_the_entry_that_registers_it() {
    let known = declared("a.com", "10.1.2.3", 5432, "TCP");
    let changes = offered(&known, "10.1.2.3:5432", Claims::Tcp);
    let sentences: Vec<_> = changes.iter().map(Change::to_string).collect();
    assert_eq!(sentences, ["without ServiceEntry default/a nothing would register it"]);
}

proptest! {
    #[test]
    fn a_decision_is_the_same_again_and_whoever_watches(
        world in world(), workload in workload(), (destination, spoken) in connection(), draw in any::<u32>()
    ) {
        let facts = Facts { destination, claims: spoken.claims(), draw };
        let (one, two) = (compile(&world, &workload), compile(&world, &workload));
        prop_assert_eq!(one.hash(), two.hash());
        let silent = format!("{:?}", decide(&one, &facts, &mut ()));
        prop_assert_eq!(&silent, &format!("{:?}", decide(&two, &facts, &mut ())));
        prop_assert_eq!(&silent, &format!("{:?}", decide(&one, &facts, &mut Vec::new())));
    }

    #[test]
    fn registry_only_lets_nothing_pass_and_allow_any_cuts_nothing_unknown(
        world in world(), workload in workload(), (destination, spoken) in connection()
    ) {
        let facts = Facts { destination, claims: spoken.claims(), draw: 0 };
        let snapshot = compile(&world, &workload);
        let decision = decide(&snapshot, &facts, &mut ());
        if snapshot.mode().mode == model::OutboundMode::RegistryOnly {
            prop_assert_ne!(decision.verdict, Verdict::Passthrough);
        } else {
            let black_hole = matches!(decision.action, Action::Cut { cluster: Some(_), .. });
            prop_assert!(!black_hole || destination.port() == OUTBOUND_PORT);
        }
    }
}
