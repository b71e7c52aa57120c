//! A snapshot that is made from the one before is the one that the whole policy compiles to.

use std::collections::BTreeMap;

use regex::{Captures, Regex};

use super::*;
use crate::policy::recompile::patch;

/// Hosts that are told apart by their names.
const PLAIN_NAMES: [&str; 8] = ["a.com", "b.com", "c.org", "d.net", "e.net", "UP.com", "g.com", "h.com"];
/// Hosts that have more names, or part of those of others.
const OTHER_NAMES: [&str; 7] = [
    "a.com.",
    "*.com",
    "*.org",
    "s",
    "s.default",
    "s.default.svc.cluster.local",
    "10.1.2.3",
];
/// Ports on which services are told apart by their names.
const PLAIN_PORTS: [(u16, &str); 5] = [(80, "HTTP"), (80, "GRPC"), (80, "HTTP"), (443, "HTTPS"), (443, "TLS")];
const OTHER_PORTS: [(u16, &str); 7] = [
    (80, ""),
    (80, "GRPC-Web"),
    (443, "TCP"),
    (443, "HTTP"),
    (443, "Mongo"),
    (5432, "TCP"),
    (8443, "TLS"),
];

/// Which hosts a world is about.
#[derive(Debug, Clone, Copy)]
enum Hosts {
    /// Those that are told apart by their names.
    Plain,
    /// All kinds, on all kinds of ports.
    Any,
}

fn host(kind: Hosts) -> impl Strategy<Value = &'static str> {
    let others = match kind {
        Hosts::Plain => 0,
        Hosts::Any => 4,
    };
    prop_oneof![8 => pick(&PLAIN_NAMES), others => pick(&OTHER_NAMES)]
}

fn service_entry(kind: Hosts) -> impl Strategy<Value = String> {
    let (others, addresses, resolutions): (_, &[_], &[_]) = match kind {
        Hosts::Plain => (0, &[""], &["DNS", "STATIC"]),
        Hosts::Any => (
            3,
            &["", "", "'10.1.2.3'", "'10.1.0.0/16'"],
            &["DNS", "NONE", "STATIC", "DYNAMIC_DNS"],
        ),
    };
    let port = prop_oneof![8 => pick(&PLAIN_PORTS), others => pick(&OTHER_PORTS)]
        .prop_map(|(number, protocol)| format!("{{number: {number}, name: p{number}, protocol: '{protocol}'}}"));
    (
        prop::collection::vec(host(kind), 1..3),
        prop::collection::vec(port, 1..3),
        pick(addresses),
        pick(resolutions),
        pick(&["", "", "endpoints: [{address: 10.9.9.9, labels: {v: '1'}}], ",
            "endpoints: [{address: 10.9.9.9, locality: a/b, weight: 3}, {address: 10.9.9.8, locality: a/c}], "]),
        pick(&["'*'", "'*'", "'.'", "shop"]),
    )
        .prop_map(|(hosts, ports, address, resolution, endpoints, export)| {
            format!(
                "kind: ServiceEntry\nspec: {{hosts: ['{}'], addresses: [{address}], resolution: {resolution}, {endpoints}\
                 exportTo: [{export}], ports: [{}]}}\n",
                hosts.join("', '"),
                ports.join(", ")
            )
        })
}

fn virtual_service(kind: Hosts) -> impl Strategy<Value = String> {
    // One without hosts supplies its routes.
    let hosts = prop_oneof![9 => prop::collection::vec(host(kind), 1..3), 1 => Just(Vec::new())];
    let route = (
        pick(&["", "match: [{uri: {prefix: /x}}], ", "match: [{port: 80}], "]),
        pick(&[
            "",
            "timeout: 3s, ",
            "fault: {abort: {percentage: {value: 1}, httpStatus: 500}}, ",
        ]),
        host(kind),
        pick(&["", "", ", subset: v1", ", port: {number: 80}"]),
        pick(&["", "", "", ", mirrors: [{destination: {host: c.org}}]"]),
    )
        .prop_map(|(condition, edit, to, which, mirrors)| {
            format!("http: [{{{condition}{edit}route: [{{destination: {{host: '{to}'{which}}}}}]{mirrors}}}]")
        });
    let stream = (
        pick(&["tls", "tcp"]),
        host(kind),
        host(kind),
        pick(&["", ", other.net"]),
    )
        .prop_map(|(list, name, to, more)| {
            let condition = match list {
                "tls" => format!("match: [{{port: 443, sniHosts: ['{name}'{more}]}}], "),
                _ => String::new(),
            };
            format!("{list}: [{{{condition}route: [{{destination: {{host: '{to}'}}}}]}}]")
        });
    let delegated = (0..4).prop_map(|supplier| format!("http: [{{delegate: {{name: o{supplier}}}}}]"));
    let routes = prop_oneof![6 => route, 1 => stream, 1 => delegated];
    (
        hosts,
        routes,
        pick(&["'*'", "'*'", "'.'"]),
        pick(&["", "", "gateways: [mesh, edge], "]),
    )
        .prop_map(|(hosts, routes, export, gateways)| {
            let hosts = hosts
                .iter()
                .map(|host| format!("'{host}'"))
                .collect::<Vec<_>>()
                .join(", ");
            format!("kind: VirtualService\nspec: {{hosts: [{hosts}], exportTo: [{export}], {gateways}{routes}}}\n")
        })
}

fn destination_rule(kind: Hosts) -> impl Strategy<Value = String> {
    (
        host(kind),
        pick(&[
            "",
            "trafficPolicy: {tls: {mode: SIMPLE}}, ",
            "trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}, ",
            "trafficPolicy: {connectionPool: {tcp: {idleTimeout: 60s}}}, ",
            "trafficPolicy: {retryBudget: {percent: 5}, proxyProtocol: {version: V2}}, ",
            "trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true}}, ",
            "trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}, ",
            "trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}, outlierDetection: {interval: 3s}}, ",
        ]),
        pick(&["", "subsets: [{name: v1, labels: {v: '1'}}]"]),
    )
        .prop_map(|(host, policy, subsets)| {
            format!("kind: DestinationRule\nspec: {{host: '{host}', {policy}{subsets}}}\n")
        })
}

/// What more than names depends on.
fn far_reaching() -> impl Strategy<Value = String> {
    pick(&[
        "kind: Sidecar\nspec: {egress: [{hosts: ['*/*']}]}\n",
        "kind: Sidecar\nspec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}, egress: [{hosts: ['default/*', '~default/a.com']}]}\n",
        "kind: Sidecar\nspec: {egress: [{port: {number: 80, protocol: HTTP, name: p}, hosts: ['*/a.com']}, {hosts: ['*/*']}]}\n",
        "kind: Sidecar\nspec: {outboundTrafficPolicy: {egressProxy: {host: a.com, port: {number: 80}}}}\n",
        "kind: Service\nspec: {clusterIP: 10.0.0.7, ports: [{number: 80, port: 80, name: http}]}\n",
        "kind: Service\nspec: {type: ExternalName, externalName: a.com, ports: [{port: 80, name: http}]}\n",
        "kind: Namespace\n",
    ])
    .prop_map(str::to_string)
}

fn object(kind: Hosts) -> impl Strategy<Value = String> {
    let others = match kind {
        Hosts::Plain => 0,
        Hosts::Any => 1,
    };
    let metadata = (
        pick(&["default", "default", "default", "shop", "istio-system"]),
        pick(&[
            "",
            "",
            ", creationTimestamp: '2026-01-02T00:00:00Z'",
            ", creationTimestamp: '2026-01-01T00:00:00Z'",
        ]),
    );
    let said = prop_oneof![
        8 => service_entry(kind),
        3 => virtual_service(kind),
        2 => destination_rule(kind),
        others => far_reaching(),
    ];
    (said, metadata).prop_map(|(said, (namespace, created))| {
        let group = match said.split_whitespace().nth(1) {
            Some("Service" | "Namespace") => "v1",
            _ => "networking.istio.io/v1",
        };
        format!("apiVersion: {group}\n{said}metadata: {{namespace: {namespace}{created}, name: ")
    })
}

/// A file in which something else is written, or nothing at all.
fn edit() -> impl Strategy<Value = (usize, Option<String>)> {
    let said = prop_oneof![9 => object(Hosts::Plain), 1 => object(Hosts::Any)];
    (0..FILES, prop::option::weighted(0.8, said))
}

fn files(kind: Hosts) -> impl Strategy<Value = Vec<Option<String>>> {
    prop::collection::vec(prop::option::weighted(0.7, object(kind)), FILES)
}

const FILES: usize = 14;

/// Mesh config and settings, and an object in each file.
fn world_of(mode: &str, version: &str, files: &[Option<String>]) -> World {
    let base = match mode {
        "REGISTRY_ONLY" => "defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: 4}}, outlierDetection: {}}",
        _ => "",
    };
    let mesh = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system, \
         annotations: {{egret.dev/istio-version: '{version}'}}}}\n\
         data: {{mesh: '{{outboundTrafficPolicy: {{mode: {mode}}}, {base}}}'}}\n"
    );
    // There is HTTP and TLS on the usual ports, as in any policy that is more than begun.
    let common = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: common}\nspec: {hosts: [common.net], \
                  resolution: DNS, ports: [{number: 80, name: a, protocol: HTTP}, {number: 443, name: b, protocol: TLS}]}\n";
    let (mut world, mut errors) = (World::default(), Vec::new());
    let files = files
        .iter()
        .enumerate()
        .filter_map(|(index, said)| Some((index, format!("{}o{index}}}\n", said.as_ref()?))));
    for (index, text) in [(FILES, mesh), (FILES + 1, common.to_string())]
        .into_iter()
        .chain(files)
    {
        for document in yaml::read(text.as_bytes()).unwrap() {
            let file = format!("f{index:03}.yaml").into();
            model::add_document(&document, &file, &mut 0, &mut world, &mut errors);
        }
        assert_eq!(errors, [], "{text}");
    }
    world
}

/// Everything that decisions are made by, in words, by name.
fn picture(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let numbered = Regex::new(r"table: (\d+)").unwrap();
    // The tables are numbered as they were first asked for.
    let told = |text: String| {
        let table = |found: &Captures<'_>| {
            let table = &snapshot.tables[found[1].parse::<usize>().unwrap()];
            match table.port {
                Some(port) => format!("table of {port}"),
                None => format!("table {table:?}"),
            }
        };
        numbered.replace_all(&text, table).into_owned()
    };
    let mut all = BTreeMap::from([
        ("hash".to_string(), snapshot.hash.clone()),
        ("unknown".to_string(), format!("{:?}", snapshot.unknown)),
        (
            "rest".to_string(),
            format!(
                "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                snapshot.workload,
                snapshot.version,
                snapshot.capture,
                snapshot.mode,
                snapshot.passthrough,
                snapshot.dynamic_dns,
                snapshot.fallback
            ),
        ),
    ]);
    for cluster in snapshot.clusters() {
        all.insert(format!("cluster {}", cluster.name), format!("{cluster:?}"));
    }
    let at_ports = snapshot
        .wildcard
        .iter()
        .map(|(port, listener)| (format!("*:{port}"), &**listener));
    let at_addresses = snapshot
        .exact
        .iter()
        .map(|(address, listener)| (address.to_string(), listener));
    for (address, listener) in at_ports.chain(at_addresses) {
        all.insert(
            format!("listener {address}"),
            told(format!("{:?}", listener.as_decided())),
        );
    }
    for table in snapshot.tables.iter().filter(|table| table.port.is_some()) {
        let mut table = routes::RouteTable::clone(table);
        table.contested.clear();
        all.insert(format!("table {:?}", table.port), format!("{table:?}"));
    }
    all
}

fn caller() -> Workload {
    Workload {
        namespace: "default".into(),
        ..Workload::default()
    }
}

proptest! {
    #[test]
    fn a_snapshot_made_from_the_one_before_equals_one_compiled_from_nothing(
        files in prop_oneof![3 => files(Hosts::Plain), 1 => files(Hosts::Any)],
        edits in prop::collection::vec(prop::collection::vec(edit(), 1..3), 1..5),
        version in pick(&["1.32", "1.32", "1.32", "1.20"]),
    ) {
        let (mut files, caller) = (files, caller());
        let mut world = world_of("REGISTRY_ONLY", version, &files);
        let mut snapshot = compile(&world, &caller);
        for edit in edits {
            for (file, said) in edit {
                files[file] = said;
            }
            let now = world_of("REGISTRY_ONLY", version, &files);
            snapshot = recompile(&snapshot, &world, &now, &caller);
            let (made, expected) = (picture(&snapshot), picture(&compile(&now, &caller)));
            for (name, expected) in &expected {
                prop_assert_eq!(made.get(name), Some(expected), "{}", name);
            }
            prop_assert_eq!(made.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            world = now;
        }
    }
}

const PLAIN: &str = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nspec: {hosts: [a.com], resolution: DNS, \
                     ports: [{number: 80, name: a, protocol: HTTP}, {number: 443, name: b, protocol: HTTPS}]}\nmetadata: {name: ";
const ROUTED: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nspec: {hosts: [a.com], \
                      http: [{timeout: 3s, route: [{destination: {host: a.com}}]}]}\nmetadata: {name: ";
const RULED: &str = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nspec: {host: a.com, \
                     trafficPolicy: {tls: {mode: SIMPLE}}}\nmetadata: {name: ";

/// Whether the change from some files to others is made by names alone.
fn is_patched(was: [Option<&str>; 3], now: [Option<&str>; 3]) -> bool {
    let world = |files: [Option<&str>; 3]| world_of("ALLOW_ANY", "1.32", &files.map(|said| said.map(str::to_string)));
    let (was, now) = (world(was), world(now));
    patch(&compile(&was, &caller()), &was, &now).is_some()
}

#[test]
fn what_is_edited_every_day_does_not_compile_the_whole_policy() {
    let longer = ROUTED.replace("3s", "5s");
    let other_port = PLAIN.replace("name: b", "name: other");
    for (was, now) in [
        ([None, None, None], [Some(PLAIN), None, None]),
        ([Some(PLAIN), None, None], [None, None, None]),
        ([Some(PLAIN), None, None], [Some(&*other_port), None, None]),
        ([Some(PLAIN), None, None], [Some(PLAIN), Some(ROUTED), None]),
        ([Some(PLAIN), Some(ROUTED), None], [Some(PLAIN), Some(&*longer), None]),
        (
            [Some(PLAIN), Some(ROUTED), None],
            [Some(PLAIN), Some(ROUTED), Some(RULED)],
        ),
        ([Some(PLAIN), Some(ROUTED), Some(RULED)], [None, None, None]),
    ] {
        assert!(is_patched(was, now), "{was:?} {now:?}");
    }
}

#[test]
fn what_reaches_further_than_names_compiles_the_whole_policy() {
    let (wildcard, tcp) = (PLAIN.replace("a.com", "'*.com'"), PLAIN.replace("HTTPS", "TCP"));
    let (new_port, delegate) = (PLAIN.replace("443", "8443"), ROUTED.replace("[a.com]", "[]"));
    let of_service = PLAIN.replace("a.com", "s.default.svc.cluster.local");
    let sidecar =
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nspec: {egress: [{hosts: ['*/*']}]}\nmetadata: {name: ";
    for edited in [&*wildcard, &tcp, &new_port, &delegate, &of_service, sidecar] {
        assert!(!is_patched([None; 3], [Some(edited), None, None]), "{edited}");
    }
    // Two ask for one server name, whose letters count for neither.
    let (shouted, other_port) = (
        PLAIN.replace("a.com", "UP.com"),
        PLAIN.replace("name: b", "name: other"),
    );
    let claimed = ROUTED.replace("http: [{timeout: 3s, ", "tls: [{match: [{sniHosts: [UP.com]}], ");
    let contested = |own| [Some(own), Some(&*shouted), Some(&*claimed)];
    assert!(!is_patched(contested(PLAIN), contested(&other_port)));

    // Routes that are supplied to another host lead to it: none of its own objects says so.
    let supplied = ROUTED.replace("[a.com]", "[]");
    let root = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nspec: {hosts: [common.net], \
                http: [{delegate: {name: o1}}]}\nmetadata: {name: ";
    let behind = |own| [own, Some(&*supplied), Some(root)];
    assert!(!is_patched(behind(Some(PLAIN)), behind(Some(&*other_port))));
    assert!(!is_patched(behind(Some(PLAIN)), behind(None)));

    let everywhere = ROUTED.replace("[a.com]", "['*.com']");
    let with_wildcard = |edited| is_patched([Some(&*everywhere), None, None], [Some(&*everywhere), edited, None]);
    assert!(!with_wildcard(Some(PLAIN)));
}
