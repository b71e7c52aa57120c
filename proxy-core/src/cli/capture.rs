//! `egret-proxy capture`: the interception rules of a workload, in force, or as text for `nft -f -` or `iptables-restore -n`.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    process::ExitCode,
    str::FromStr,
};

use clap::{Args, Subcommand};
use ipnet::IpNet;

use super::hold;
use crate::{
    net::ResolvConf,
    policy::{Capture as Settings, OUTBOUND_PORT},
    sandbox::{self, Plan, PodDns, Redirect, Refused, Tables},
};

/// Where Kubernetes reads why a container ended.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Arguments of `capture`.
#[derive(Debug, Args)]
pub struct Capture {
    #[command(subcommand)]
    command: Command,
}

/// What to do with the rules.
#[derive(Debug, Subcommand)]
enum Command {
    /// Print the rules
    Plan(Written),
    /// Put the rules in force in this network namespace, in the place of those of before; needs NET_ADMIN, but neither nft nor
    /// iptables
    Apply(Apply),
    /// Put the rules in force for as long as a sidecar and this process live; needs NET_ADMIN, and Linux 5.12 or a kernel
    /// without nf_tables: the tables of iptables keep them where this process is killed
    Hold(Hold),
    /// Take the rules away again
    Remove,
}

/// Rules that stay.
#[derive(Debug, Args)]
struct Written {
    #[command(flatten)]
    rules: Rules,
    /// The kernel's tables that take them; by default nf_tables, or where the kernel has none, the legacy ones of iptables
    #[arg(long, value_name = "TABLES")]
    with: Option<Tables>,
}

/// Rules that are put in force.
#[derive(Debug, Args)]
struct Apply {
    #[command(flatten)]
    written: Written,
    /// The admin server of the sidecar: nothing is redirected before it is ready, which it has a minute for
    #[arg(long, value_name = "ADDR")]
    sidecar: Option<SocketAddr>,
}

/// Rules that end with what they lead to.
#[derive(Debug, Args)]
struct Hold {
    #[command(flatten)]
    rules: Rules,
    /// The admin server of the sidecar
    #[arg(long, default_value = "127.0.0.1:15000", value_name = "ADDR")]
    sidecar: SocketAddr,
}

/// The rules.
#[derive(Debug, Args)]
struct Rules {
    /// Ranges to capture; * is everything, an empty list nothing
    #[arg(long, value_name = "CIDR,...", default_value = "*")]
    include_ranges: Included,
    /// Ranges to leave alone
    #[arg(long, value_name = "CIDR,...", default_value = "")]
    exclude_ranges: List<Range>,
    /// Ports to capture whatever the range
    #[arg(long, value_name = "PORT,...", default_value = "")]
    include_ports: List<u16>,
    /// Ports to leave alone
    #[arg(long, value_name = "PORT,...", default_value = "")]
    exclude_ports: List<u16>,
    /// Users whose own connections are never captured: the proxy's, and that of another proxy beside it
    #[arg(long, value_name = "UID,...", default_value = "1339,1337")]
    uid: List<u32>,
    /// Where the proxy takes redirected connections
    #[arg(long, default_value_t = OUTBOUND_PORT)]
    port: u16,
    /// Where the proxy answers DNS: what is asked of the DNS servers goes there, over UDP and TCP
    #[arg(long, value_name = "PORT")]
    dns_port: Option<u16>,
    /// The DNS servers; by default those of /etc/resolv.conf
    #[arg(long, value_name = "ADDR,...", requires = "dns_port")]
    dns_servers: Option<List<IpAddr>>,
}

/// `includeIPRanges`: everything, or the ranges of a list.
#[derive(Debug, Clone, PartialEq)]
struct Included(Option<List<Range>>);

/// A comma-separated list; empty text is an empty list.
#[derive(Debug, Clone, PartialEq)]
struct List<T>(Vec<T>);

/// A range, or an address that stands for itself alone.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Range(IpNet);

impl Capture {
    /// 0, or 1 where the kernel does not take the rules. What cannot be read is refused by the parser, with exit code 2.
    pub fn run(self) -> ExitCode {
        let outcome = match self.command {
            Command::Plan(Written { rules, with }) => {
                super::print(with.unwrap_or(Tables::Nft).text(&rules.plan()).trim_end());
                return ExitCode::SUCCESS;
            }
            Command::Apply(Apply { written, sidecar }) => sidecar
                .map_or(Ok(()), hold::until_ready)
                .and_then(|()| apply(&written.rules.plan(), written.with).map_err(hold::Fault::from)),
            Command::Hold(Hold { rules, sidecar }) => hold::hold(&rules.plan(), sidecar),
            Command::Remove => sandbox::remove().map_err(hold::Fault::from),
        };
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(refused) => {
                eprintln!("egret-proxy: {refused}");
                leave_word(&refused.to_string());
                ExitCode::FAILURE
            }
        }
    }
}

/// Says where the rules are, unless they are where they were wanted, and what may come before them.
fn apply(plan: &Plan, with: Option<Tables>) -> Result<(), Refused> {
    let applied = sandbox::apply(plan, with)?;
    if let Some(lacking) = applied.instead {
        let cause = lacking.cause();
        eprintln!("egret-proxy: {cause}; the rules are in the tables of iptables instead");
    }
    if applied.beside_others {
        eprintln!(
            "egret-proxy: nf_tables of this network has NAT rules of others too, as iptables-nft makes them for Istio; what \
             they redirect first does not come to Egret (`nft list ruleset` shows them)"
        );
    }
    Ok(())
}

/// Inside a pod the reason is also put where the pod's status shows it.
fn leave_word(message: &str) {
    let log = Path::new(TERMINATION_LOG);
    if log.exists() {
        // Standard error has it too.
        let _ = fs::write(log, message);
    }
}

impl Rules {
    fn plan(self) -> Plan {
        let ranges = |list: List<Range>| list.0.into_iter().map(|range| range.0).collect::<Vec<_>>();
        let settings = Settings {
            include_ranges: self.include_ranges.0.map(ranges),
            exclude_ranges: ranges(self.exclude_ranges),
            include_ports: self.include_ports.0,
            exclude_ports: self.exclude_ports.0,
            written: Default::default(),
            exempt: None,
        };
        let redirect = Redirect::Pod {
            outbound: self.port,
            users: self.uid.0,
            dns: self.dns_port.map(|port| PodDns {
                port,
                servers: self
                    .dns_servers
                    .map_or_else(|| ResolvConf::read().addresses(), |servers| servers.0),
            }),
        };
        Plan::of(&settings, &redirect)
    }
}

impl FromStr for Included {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "*" {
            return Ok(Self(None));
        }
        text.parse().map(|list| Self(Some(list)))
    }
}

impl<T: FromStr<Err: std::fmt::Display>> FromStr for List<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.split(',')
            .map(|item| {
                item.trim()
                    .parse()
                    .map_err(|error| format!("{:?}: {error}", item.trim()))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>()
            .or(address)
            .map(Self)
            .map_err(|_| "expected a range such as 10.0.0.0/8".to_string())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::image;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        capture: Capture,
    }

    fn plan(arguments: &[&str]) -> Result<Vec<String>, String> {
        let line = Line::try_parse_from(["test", "plan"].iter().chain(arguments)).map_err(|error| error.to_string())?;
        let Command::Plan(Written { rules, .. }) = line.capture.command else {
            unreachable!("the arguments begin with `plan`")
        };
        let text = rules.plan().to_string();
        let rules = text.lines().map(|line| line.trim().to_string());
        // The table and the hook stand before the rules, two braces behind them.
        let rules: Vec<_> = rules.skip(5).collect();
        Ok(rules[..rules.len() - 2].to_vec())
    }

    #[test]
    fn everything_is_captured_but_loopback_and_the_proxy_itself() {
        let own = format!("meta skuid {} return", image::USER);
        assert_eq!(
            plan(&[]).unwrap(),
            [
                &*own,
                "meta skuid 1337 return",
                "ip daddr 127.0.0.0/8 return",
                "ip6 daddr ::1 return",
                "ip6 daddr fe80::/10 return",
                "meta l4proto tcp redirect to :15001",
            ]
        );
    }

    #[test]
    fn exclusions_come_before_inclusions() {
        let arguments = [
            "--include-ranges",
            "10.0.0.0/8",
            "--exclude-ranges",
            "10.1.0.0/16, 10.2.0.1",
        ];
        let more = [
            "--exclude-ports",
            "22,3306",
            "--uid",
            "7,8",
            "--port",
            "15901",
            "--include-ports",
            "80",
        ];
        assert_eq!(
            plan(&[&arguments[..], &more[..]].concat()).unwrap(),
            [
                "meta skuid 7 return",
                "meta skuid 8 return",
                "ip daddr 127.0.0.0/8 return",
                "ip6 daddr ::1 return",
                "ip6 daddr fe80::/10 return",
                "tcp dport 22 return",
                "tcp dport 3306 return",
                "ip daddr 10.1.0.0/16 return",
                "ip daddr 10.2.0.1 return",
                "tcp dport 80 redirect to :15901",
                "ip daddr 10.0.0.0/8 meta l4proto tcp redirect to :15901",
                "return",
            ]
        );
    }

    #[test]
    fn what_is_no_range_or_port_is_refused_by_its_text() {
        for arguments in [
            ["--exclude-ranges", "10.0.0.0/40"],
            ["--exclude-ports", "80,x"],
            ["--dns-port=53", "--dns-servers=x"],
        ] {
            let error = plan(&arguments).unwrap_err();
            assert!(
                error.contains(arguments[1].rsplit([',', '=']).next().unwrap()),
                "{error}"
            );
        }
    }
}
