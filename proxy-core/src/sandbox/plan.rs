//! The interception rules as text for `nft`. Pure.
//!
//! Order as in Istio's: own loopback and excluded ports and ranges first, included ports before included ranges. Where
//! Istio lets a bypassed connection leave, the sandbox sends it to a relay: nothing can leave by itself.

use std::fmt::Write;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::loopback::SANDBOX_ADDRESS;
use crate::policy::Capture;

/// Local ports that connections are redirected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// The sidecar's.
    pub outbound: u16,
    /// The relay's, for what policy does not capture.
    pub relay: u16,
    /// DNS, UDP and TCP.
    pub dns: u16,
}

/// Where bypassed connections go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirect {
    /// Into a sandbox: bypassed connections to the relay, DNS to the sandbox's own.
    Sandbox(Ports),
    /// As a sidecar in a pod: captured connections to the port, everything else untouched but for the proxy's own user.
    Pod {
        /// The sidecar's port.
        outbound: u16,
        /// The proxy's user.
        uid: u32,
    },
}

/// Rules for a workload's capture settings; replaces the table as one transaction.
pub fn rules(capture: &Capture, redirect: Redirect) -> String {
    let (outbound, bypass) = match redirect {
        Redirect::Sandbox(ports) => (ports.outbound, format!("meta l4proto tcp redirect to :{}", ports.relay)),
        Redirect::Pod { outbound, .. } => (outbound, "return".to_string()),
    };
    let mut chain = Vec::new();
    match redirect {
        Redirect::Sandbox(ports) => {
            chain.push(format!("udp dport 53 redirect to :{}", ports.dns));
            chain.push(format!("tcp dport 53 redirect to :{}", ports.dns));
        }
        Redirect::Pod { uid, .. } => chain.push(format!("meta skuid {uid} return")),
    }
    // Before the excluded ports: the relay must never see a loopback address, which it would dial on the host.
    chain.push("ip daddr 127.0.0.0/8 return".into());
    chain.push("ip6 daddr ::1 return".into());
    if let Redirect::Sandbox(_) = redirect {
        chain.push(format!("ip daddr {SANDBOX_ADDRESS} return"));
    }
    if !capture.exclude_ports.is_empty() {
        chain.push(format!("tcp dport {{ {} }} {bypass}", join(&capture.exclude_ports)));
    }
    for (family, ranges) in families(&capture.exclude_ranges) {
        chain.push(format!("{family} daddr {{ {ranges} }} {bypass}"));
    }
    if !capture.include_ports.is_empty() {
        chain.push(format!(
            "tcp dport {{ {} }} redirect to :{outbound}",
            join(&capture.include_ports)
        ));
    }
    match &capture.include_ranges {
        None => chain.push(format!("meta l4proto tcp redirect to :{outbound}")),
        Some(ranges) => {
            for (family, ranges) in families(ranges) {
                chain.push(format!(
                    "{family} daddr {{ {ranges} }} meta l4proto tcp redirect to :{outbound}"
                ));
            }
            chain.push(bypass);
        }
    }
    let mut text = String::from("table inet egret\ndelete table inet egret\ntable inet egret {\n");
    text.push_str("  chain output {\n    type nat hook output priority -100; policy accept;\n");
    for rule in chain {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    {rule}");
    }
    text.push_str("  }\n");
    if let Redirect::Sandbox(_) = redirect {
        // After the redirection. Dropped on output means that the sender hears of it at once.
        text.push_str("  chain leave {\n    type filter hook output priority 0; policy drop;\n");
        let _ = writeln!(text, "    ip daddr {{ 127.0.0.0/8, {SANDBOX_ADDRESS} }} accept");
        text.push_str("    ip6 daddr ::1 accept\n  }\n");
    }
    text.push_str("}\n");
    text
}

fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// Ranges by family, without those that another of the list holds: sets of nft refuse overlaps.
fn families(ranges: &[IpNet]) -> impl Iterator<Item = (&'static str, String)> {
    let whole = IpNet::aggregate(&ranges.to_vec());
    let of = |v4: bool| {
        let own: Vec<_> = whole.iter().filter(|range| range.addr().is_ipv4() == v4).collect();
        join(&own)
    };
    [("ip", of(true)), ("ip6", of(false))]
        .into_iter()
        .filter(|(_, ranges)| !ranges.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::World;

    #[test]
    fn exclusions_come_before_everything_else() {
        let annotations = [
            ("excludeOutboundIPRanges", "10.0.0.0/8,10.1.0.0/16,fd00::/8"),
            ("excludeOutboundPorts", "22"),
            ("includeOutboundIPRanges", "192.168.0.0/16"),
        ]
        .map(|(key, value)| (format!("traffic.sidecar.istio.io/{key}"), value.to_string()));
        let capture = Capture::of(&World::default(), &annotations.into_iter().collect(), None, "");
        let text = rules(
            &capture,
            Redirect::Sandbox(Ports {
                outbound: 1,
                relay: 2,
                dns: 3,
            }),
        );
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines[5..lines.len() - 1],
            [
                "udp dport 53 redirect to :3",
                "tcp dport 53 redirect to :3",
                "ip daddr 127.0.0.0/8 return",
                "ip6 daddr ::1 return",
                "ip daddr 192.0.0.2 return",
                "tcp dport { 22 } meta l4proto tcp redirect to :2",
                "ip daddr { 10.0.0.0/8 } meta l4proto tcp redirect to :2",
                "ip6 daddr { fd00::/8 } meta l4proto tcp redirect to :2",
                "ip daddr { 192.168.0.0/16 } meta l4proto tcp redirect to :1",
                "meta l4proto tcp redirect to :2",
                "}",
                "chain leave {",
                "type filter hook output priority 0; policy drop;",
                "ip daddr { 127.0.0.0/8, 192.0.0.2 } accept",
                "ip6 daddr ::1 accept",
                "}",
            ]
        );
        let pod = rules(
            &capture,
            Redirect::Pod {
                outbound: 15001,
                uid: 1337,
            },
        );
        assert!(!pod.contains("chain leave"), "{pod}");
        assert!(
            pod.contains("meta skuid 1337 return\n    ip daddr 127.0.0.0/8 return\n    ip6 daddr ::1 return\n    tcp dport { 22 } return"),
            "{pod}"
        );
    }
}
