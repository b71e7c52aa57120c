//! The interception rules as a plan, and that plan as text as `nft` takes it. Pure.
//!
//! Order as in Istio's: own loopback and excluded ports and ranges first, included ports before included ranges. Where
//! Istio lets a bypassed connection leave, the sandbox sends it to a relay: nothing can leave by itself.

use std::{
    fmt::{self, Display, Formatter},
    net::IpAddr,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::loopback::SANDBOX_ADDRESS;
use crate::policy::Capture;

/// Name of the table, of family `inet`: both of IPv4 and IPv6.
pub const TABLE: &str = "egret";

/// Where the kernel translates destinations (`NF_IP_PRI_NAT_DST`).
pub(super) const TRANSLATION: i32 = -100;

/// Before Istio's rules, which stand at -100: who is redirected here is not redirected there any more.
const BEFORE_ISTIO: i32 = -110;

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

/// Where connections go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// Into a sandbox: bypassed connections to the relay, DNS to the sandbox's own.
    Sandbox(Ports),
    /// As a sidecar in a pod: captured connections to the port, everything else untouched.
    Pod {
        /// The sidecar's port.
        outbound: u16,
        /// Users whose own connections are never captured: the sidecar's, and that of another proxy in the pod.
        users: Vec<u32>,
        /// What is asked of the pod's DNS servers, where it is captured.
        dns: Option<PodDns>,
    },
}

/// Capture of DNS in a pod. Istio: what is asked of other servers is let through, so that a DNS proxy of the pod's own can
/// ask on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodDns {
    /// Where the sidecar answers.
    pub port: u16,
    /// The servers that the pod asks.
    pub servers: Vec<IpAddr>,
}

/// Rules of a table, chain by chain. Its text form is what `nft -f` takes; it replaces the table as one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub(super) chains: Vec<Chain>,
}

/// A chain that the kernel calls for what leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chain {
    pub kind: ChainKind,
    pub priority: i32,
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ChainKind {
    /// Translates; accepts what no rule takes.
    Nat,
    /// Filters; drops what no rule takes.
    Filter,
}

impl ChainKind {
    /// What the chain of this kind is called.
    pub fn chain(self) -> &'static str {
        match self {
            Self::Nat => "output",
            Self::Filter => "leave",
        }
    }
}

/// All of the tests must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rule {
    pub tests: Vec<Test>,
    pub action: Action,
}

/// What is asked of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Test {
    /// The user whose socket sends it.
    User(u32),
    /// It is TCP.
    Tcp,
    /// It is TCP to this port.
    TcpPort(u16),
    /// It is UDP to this port.
    UdpPort(u16),
    /// Its destination is in this range.
    Destination(IpNet),
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Action {
    /// The chain has no say.
    Return,
    /// It passes.
    Accept,
    /// To this port of this machine.
    Redirect(u16),
}

impl Plan {
    /// Rules for a workload's capture settings.
    pub fn of(capture: &Capture, redirect: &Redirect) -> Self {
        let (outbound, priority) = match redirect {
            Redirect::Sandbox(ports) => (ports.outbound, TRANSLATION),
            Redirect::Pod { outbound, .. } => (*outbound, BEFORE_ISTIO),
        };
        let bypass = |test: Option<Test>| match redirect {
            Redirect::Sandbox(ports) => redirected(test, ports.relay),
            Redirect::Pod { .. } => rule(test, Action::Return),
        };
        let mut rules = Vec::new();
        match redirect {
            Redirect::Sandbox(ports) => {
                rules.push(rule([Test::UdpPort(53)], Action::Redirect(ports.dns)));
                rules.push(rule([Test::TcpPort(53)], Action::Redirect(ports.dns)));
            }
            Redirect::Pod { users, dns, .. } => {
                rules.extend(users.iter().map(|user| rule([Test::User(*user)], Action::Return)));
                // Before loopback: the server may be on it.
                for (server, port) in dns
                    .iter()
                    .flat_map(|dns| dns.servers.iter().map(|server| (*server, dns.port)))
                {
                    let server = Test::Destination(server.into());
                    rules.extend(
                        [Test::UdpPort(53), Test::TcpPort(53)].map(|asks| rule([server, asks], Action::Redirect(port))),
                    );
                }
            }
        }
        // Before the excluded ports: the relay must never see a loopback address, which it would dial on the host.
        rules.extend(own(redirect).map(|range| rule([Test::Destination(range)], Action::Return)));
        if let Redirect::Pod { .. } = redirect {
            // Where such an address leads depends on the interface, which a redirected connection does not tell: nobody
            // could go on to it. Istio redirects it.
            rules.push(rule([Test::Destination(link_local())], Action::Return));
        }
        rules.extend(
            capture
                .exclude_ports
                .iter()
                .map(|port| bypass(Some(Test::TcpPort(*port)))),
        );
        rules.extend(destinations(&capture.exclude_ranges).map(|range| bypass(Some(range))));
        rules.extend(
            capture
                .include_ports
                .iter()
                .map(|port| redirected(Some(Test::TcpPort(*port)), outbound)),
        );
        match &capture.include_ranges {
            None => rules.push(redirected(None, outbound)),
            Some(ranges) => {
                rules.extend(destinations(ranges).map(|range| redirected(Some(range), outbound)));
                rules.push(bypass(None));
            }
        }
        let mut chains = vec![Chain {
            kind: ChainKind::Nat,
            priority,
            rules,
        }];
        if let Redirect::Sandbox(_) = redirect {
            // After the redirection. Dropped on output means that the sender hears of it at once.
            chains.push(Chain {
                kind: ChainKind::Filter,
                priority: 0,
                rules: own(redirect)
                    .map(|range| rule([Test::Destination(range)], Action::Accept))
                    .collect(),
            });
        }
        Self { chains }
    }
}

fn rule(tests: impl IntoIterator<Item = Test>, action: Action) -> Rule {
    Rule {
        tests: tests.into_iter().collect(),
        action,
    }
}

/// A redirection of what `test` holds for. The kernel redirects only what has ports, so a rule says that it is TCP.
fn redirected(test: Option<Test>, port: u16) -> Rule {
    let tcp = (!matches!(test, Some(Test::TcpPort(_)))).then_some(Test::Tcp);
    rule(test.into_iter().chain(tcp), Action::Redirect(port))
}

/// Addresses of the machine itself.
fn own(redirect: &Redirect) -> impl Iterator<Item = IpNet> {
    let loopback = ["127.0.0.0/8", "::1/128"].map(|range| range.parse().expect("these are ranges"));
    let sandbox = matches!(redirect, Redirect::Sandbox(_)).then(|| IpNet::from(IpAddr::from(SANDBOX_ADDRESS)));
    loopback.into_iter().chain(sandbox)
}

fn link_local() -> IpNet {
    "fe80::/10".parse().expect("this is a range")
}

/// Ranges, without those that another of the list holds.
fn destinations(ranges: &[IpNet]) -> impl Iterator<Item = Test> {
    IpNet::aggregate(&ranges.to_vec()).into_iter().map(Test::Destination)
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // Declared first, so that there is one to delete.
        writeln!(
            f,
            "table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{"
        )?;
        for chain in &self.chains {
            let (kind, policy) = match chain.kind {
                ChainKind::Nat => ("nat", "accept"),
                ChainKind::Filter => ("filter", "drop"),
            };
            writeln!(f, "  chain {} {{", chain.kind.chain())?;
            writeln!(
                f,
                "    type {kind} hook output priority {}; policy {policy};",
                chain.priority
            )?;
            for rule in &chain.rules {
                writeln!(f, "    {rule}")?;
            }
            writeln!(f, "  }}")?;
        }
        writeln!(f, "}}")
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for test in &self.tests {
            write!(f, "{test} ")?;
        }
        match self.action {
            Action::Return => f.write_str("return"),
            Action::Accept => f.write_str("accept"),
            Action::Redirect(port) => write!(f, "redirect to :{port}"),
        }
    }
}

impl Display for Test {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "meta skuid {user}"),
            Self::Tcp => f.write_str("meta l4proto tcp"),
            Self::TcpPort(port) => write!(f, "tcp dport {port}"),
            Self::UdpPort(port) => write!(f, "udp dport {port}"),
            Self::Destination(range) => {
                f.write_str(if range.addr().is_ipv4() {
                    "ip daddr "
                } else {
                    "ip6 daddr "
                })?;
                match range.prefix_len() == range.max_prefix_len() {
                    true => write!(f, "{}", range.addr()),
                    false => write!(f, "{range}"),
                }
            }
        }
    }
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
        let ports = Ports {
            outbound: 1,
            relay: 2,
            dns: 3,
        };
        let text = Plan::of(&capture, &Redirect::Sandbox(ports)).to_string();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines[5..lines.len() - 1],
            [
                "udp dport 53 redirect to :3",
                "tcp dport 53 redirect to :3",
                "ip daddr 127.0.0.0/8 return",
                "ip6 daddr ::1 return",
                "ip daddr 192.0.0.2 return",
                "tcp dport 22 redirect to :2",
                "ip daddr 10.0.0.0/8 meta l4proto tcp redirect to :2",
                "ip6 daddr fd00::/8 meta l4proto tcp redirect to :2",
                "ip daddr 192.168.0.0/16 meta l4proto tcp redirect to :1",
                "meta l4proto tcp redirect to :2",
                "}",
                "chain leave {",
                "type filter hook output priority 0; policy drop;",
                "ip daddr 127.0.0.0/8 accept",
                "ip6 daddr ::1 accept",
                "ip daddr 192.0.0.2 accept",
                "}",
            ]
        );
        let redirect = Redirect::Pod {
            outbound: 15001,
            users: vec![1339, 1337],
            dns: Some(PodDns {
                port: 15953,
                servers: vec!["10.96.0.10".parse().unwrap(), "fd00:96::a".parse().unwrap()],
            }),
        };
        let pod = Plan::of(&capture, &redirect).to_string();
        assert!(!pod.contains("chain leave"), "{pod}");
        assert!(
            pod.contains(
                "meta skuid 1339 return\n    meta skuid 1337 return\n    ip daddr 10.96.0.10 udp dport 53 redirect to :15953\n    \
                 ip daddr 10.96.0.10 tcp dport 53 redirect to :15953\n    ip6 daddr fd00:96::a udp dport 53 redirect to \
                 :15953\n    ip6 daddr fd00:96::a tcp dport 53 redirect to :15953\n    ip daddr 127.0.0.0/8 return\n    \
                 ip6 daddr ::1 return\n    ip6 daddr fe80::/10 return\n    tcp dport 22 return"
            ),
            "{pod}"
        );
    }
}
