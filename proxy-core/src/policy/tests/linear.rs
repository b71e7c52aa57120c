//! What is looked up in indexes is what going through everything, one after the other, finds.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use proptest::prelude::*;

use super::{super::hosts::HostMap, super::nets::NetMap, *};

const PATTERNS: [&str; 12] = [
    "a.com",
    "A.com",
    "x.a.com",
    "*.com",
    "*.a.com",
    "*.x.a.com",
    "*-api.a.com",
    "*i.a.com",
    "b.org",
    "*.org",
    "UP.org",
    "*",
];
const NAMES: [&str; 14] = [
    "a.com",
    "A.COM",
    "x.a.com",
    "y.x.a.com",
    "v-api.a.com",
    "-api.a.com",
    "api.a.com",
    "com",
    "b.org",
    "B.org",
    "up.org",
    "z.up.org",
    "new.net",
    "x.com.",
];
const RANGES: [&str; 8] = [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.3/32",
    "10.2.0.1/32",
    "0.0.0.0/0",
    "fd00::/8",
    "fd00::1/128",
];
const CALLED: [&str; 7] = [
    "10.1.2.3",
    "10.1.2.4",
    "10.1.9.9",
    "10.2.0.1",
    "192.0.2.1",
    "fd00::1",
    "fe80::1",
];

/// How specific `pattern` is for `name`: the name itself before any wildcard, and of these the longest; `None` where it does
/// not match.
fn fits(pattern: &str, name: &str) -> Option<usize> {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    match pattern.strip_prefix('*') {
        None => (pattern == name).then_some(usize::MAX),
        Some(suffix) => (name.len() > suffix.len() && name.ends_with(suffix)).then_some(suffix.len()),
    }
}

/// The first of those that fit best.
fn best<'p>(patterns: impl Iterator<Item = &'p str>, name: &str) -> Option<&'p str> {
    let mut found: Option<(usize, &str)> = None;
    for pattern in patterns {
        if let Some(how) = fits(pattern, name)
            && found.is_none_or(|(before, _)| how > before)
        {
            found = Some((how, pattern));
        }
    }
    found.map(|(_, pattern)| pattern)
}

/// The longest of the ranges that hold `address`.
fn longest<'r>(ranges: impl Iterator<Item = &'r str>, address: IpAddr) -> Option<&'r str> {
    let net = |range: &str| range.parse::<IpNet>().unwrap();
    let holding = ranges.filter(|range| net(range).contains(&address));
    holding.max_by_key(|range| net(range).prefix_len())
}

/// Which hosts are declared, as what: HTTP on port 80 or TLS on 443; and ranges of TCP on port 5432.
type Declared = (BTreeMap<&'static str, bool>, Vec<&'static str>);

fn declared() -> impl Strategy<Value = Declared> {
    // Istio does not find its own cluster of a host in upper case; that is a rule of its own.
    let lower = PATTERNS
        .iter()
        .copied()
        .filter(|host| *host != "*" && host.to_ascii_lowercase() == *host);
    let hosts = prop::sample::subsequence(lower.collect::<Vec<_>>(), 0..8);
    let hosts = hosts.prop_flat_map(|hosts| {
        let speak_http = prop::collection::vec(any::<bool>(), hosts.len());
        speak_http.prop_map(move |http| hosts.iter().copied().zip(http).collect())
    });
    (hosts, prop::sample::subsequence(RANGES[..5].to_vec(), 0..5))
}

fn world_of(mode: &str, (hosts, ranges): &Declared) -> World {
    let mut text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\n\
         data: {{mesh: 'outboundTrafficPolicy: {{mode: {mode}}}'}}\n"
    );
    let mut entry = |name: usize, spec: String| {
        text.push_str(&format!(
            "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: o{name}, namespace: default}}\n\
             spec: {{{spec}}}\n"
        ));
    };
    for (index, (host, http)) in hosts.iter().enumerate() {
        let (port, protocol) = if *http { (80, "HTTP") } else { (443, "TLS") };
        entry(
            index,
            format!("hosts: ['{host}'], ports: [{{number: {port}, name: p, protocol: {protocol}}}]"),
        );
    }
    for (index, range) in ranges.iter().enumerate() {
        let spec = format!(
            "hosts: ['r{index}.example'], addresses: ['{range}'], ports: [{{number: 5432, name: p, protocol: TCP}}]"
        );
        entry(hosts.len() + index, spec);
    }
    read(&text)
}

proptest! {
    #[test]
    fn a_name_leads_where_going_through_all_patterns_leads(
        patterns in prop::collection::vec(pick(&PATTERNS), 0..12), name in pick(&NAMES)
    ) {
        let mut map = HostMap::default();
        for pattern in &patterns {
            map.insert(*pattern, *pattern);
        }
        prop_assert_eq!(map.get(name).copied(), best(patterns.iter().copied(), name));
    }

    #[test]
    fn an_address_leads_where_going_through_all_ranges_leads(
        ranges in prop::collection::vec(pick(&RANGES), 0..8), address in pick(&CALLED)
    ) {
        let mut map = NetMap::default();
        for range in &ranges {
            map.entry(range.parse().unwrap(), || *range);
        }
        let address = address.parse().unwrap();
        prop_assert_eq!(map.get(address).copied(), longest(ranges.iter().copied(), address));
    }

    #[test]
    fn a_decision_is_the_one_that_going_through_all_entries_makes(
        declared in declared(), mode in pick(&["ALLOW_ANY", "REGISTRY_ONLY"]),
        (name, called, kind) in (pick(&NAMES), pick(&CALLED[..5]), pick(&["1.1", "tls", "tcp"]))
    ) {
        let (hosts, ranges) = &declared;
        let of_kind = |http: bool| hosts.iter().filter(move |(_, own)| **own == http).map(|(host, _)| *host);
        let (port, found) = match kind {
            "1.1" => {
                // A host is asked for with a dot behind it too.
                let name = name.strip_suffix('.').unwrap_or(name);
                (80, best(of_kind(true), name).map(|host| format!("outbound|80||{host}")))
            }
            "tls" => (443, best(of_kind(false), name).map(|host| format!("outbound|443||{host}"))),
            _ => {
                let range = longest(ranges.iter().copied(), called.parse().unwrap());
                let index = range.and_then(|range| ranges.iter().position(|own| *own == range));
                (5432, index.map(|index| format!("outbound|5432||r{index}.example")))
            }
        };
        let spoken = Spoken { kind, name: Some(name), method: "GET", path: "/" };
        let destination = format!("{called}:{port}");
        let world = world_of(mode, &declared);
        let (snapshot, facts) = call(&world, &destination, spoken.claims());
        let decision = decide(&snapshot, &facts, &mut ());
        let cluster = match decision.action {
            Action::Forward(forward) if decision.verdict == Verdict::Registered => Some(forward.cluster.name.to_string()),
            _ => None,
        };
        prop_assert_eq!(&cluster, &found);
        if found.is_none() {
            let expected = if mode == "ALLOW_ANY" { Verdict::Passthrough } else { Verdict::Blocked };
            prop_assert_eq!(decision.verdict, expected);
        }
    }
}
