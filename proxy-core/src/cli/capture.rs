//! `egret-proxy capture`: the interception rules of a workload, as text for `nft -f -`.

use std::{net::IpAddr, process::ExitCode, str::FromStr};

use clap::{Args, Subcommand};
use ipnet::IpNet;

use crate::{
    policy::{Capture as Settings, OUTBOUND_PORT},
    sandbox::{Redirect, rules},
};

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
    Plan(Plan),
}

/// Arguments of `capture plan`.
#[derive(Debug, Args)]
struct Plan {
    /// Ranges to capture; * is everything, an empty list nothing
    #[arg(long, value_name = "CIDR,...", default_value = "*")]
    include_ranges: Included,
    /// Ranges to leave alone
    #[arg(long, value_name = "CIDR,...", default_value = "")]
    exclude_ranges: List<Range>,
    /// Ports to leave alone
    #[arg(long, value_name = "PORT,...", default_value = "")]
    exclude_ports: List<u16>,
    /// User of the proxy, whose own connections are never captured
    #[arg(long, default_value_t = 1337)]
    uid: u32,
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
    /// Prints the rules. What cannot be read is refused by the parser, with exit code 2.
    pub fn run(self) -> ExitCode {
        let Command::Plan(plan) = self.command;
        super::print(plan.rules().trim_end());
        ExitCode::SUCCESS
    }
}

impl Plan {
    fn rules(self) -> String {
        let ranges = |list: List<Range>| list.0.into_iter().map(|range| range.0).collect::<Vec<_>>();
        let settings = Settings {
            include_ranges: self.include_ranges.0.map(ranges),
            exclude_ranges: ranges(self.exclude_ranges),
            include_ports: Vec::new(),
            exclude_ports: self.exclude_ports.0,
            written: Default::default(),
        };
        let redirect = Redirect::Pod {
            outbound: OUTBOUND_PORT,
            uid: self.uid,
        };
        rules(&settings, redirect)
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

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        capture: Capture,
    }

    fn plan(arguments: &[&str]) -> Result<Vec<String>, String> {
        let line = Line::try_parse_from(["test", "plan"].iter().chain(arguments)).map_err(|error| error.to_string())?;
        let Command::Plan(plan) = line.capture.command;
        let text = plan.rules();
        let rules = text.lines().map(|line| line.trim().to_string());
        // The table and the hook stand before the rules, two braces behind them.
        let rules: Vec<_> = rules.skip(5).collect();
        Ok(rules[..rules.len() - 2].to_vec())
    }

    #[test]
    fn everything_is_captured_but_loopback_and_the_proxy_itself() {
        assert_eq!(
            plan(&[]).unwrap(),
            [
                "meta skuid 1337 return",
                "ip daddr 127.0.0.0/8 return",
                "ip6 daddr ::1 return",
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
        let more = ["--exclude-ports", "22,3306", "--uid", "7"];
        assert_eq!(
            plan(&[&arguments[..], &more[..]].concat()).unwrap(),
            [
                "meta skuid 7 return",
                "ip daddr 127.0.0.0/8 return",
                "ip6 daddr ::1 return",
                "tcp dport { 22, 3306 } return",
                "ip daddr { 10.1.0.0/16, 10.2.0.1/32 } return",
                "ip daddr { 10.0.0.0/8 } meta l4proto tcp redirect to :15001",
                "return",
            ]
        );
    }

    #[test]
    fn what_is_no_range_or_port_is_refused_by_its_text() {
        for arguments in [["--exclude-ranges", "10.0.0.0/40"], ["--exclude-ports", "80,x"]] {
            let error = plan(&arguments).unwrap_err();
            assert!(error.contains(arguments[1].rsplit(',').next().unwrap()), "{error}");
        }
    }
}
