//! The plan as text: what `iptables-restore --noflush` and `ip6tables-restore --noflush` take. Each passes over the lines that
//! begin with the other's number.

use std::fmt::{self, Display, Formatter};

use crate::sandbox::plan::{Action, ChainKind, Plan, Rule, Test};

/// The text form of a plan for both programs.
pub struct RestoreText<'a>(pub &'a Plan);

impl Display for RestoreText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for chain in &self.0.chains {
            let name = chain.kind.own_chain();
            writeln!(f, "*{}\n:{name} - [0:0]\n-I OUTPUT -j {name}", chain.kind.table())?;
            for rule in &chain.rules {
                writeln!(f, "{}", Line(name, rule))?;
            }
            if chain.kind == ChainKind::Filter {
                writeln!(f, "-A {name} -j DROP")?;
            }
            writeln!(f, "COMMIT")?;
        }
        Ok(())
    }
}

/// A rule of a chain.
struct Line<'a>(&'a str, &'a Rule);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(chain, rule) = self;
        let range = rule.tests.iter().find_map(|test| match test {
            Test::Destination(range) => Some(range),
            _ => None,
        });
        f.write_str(match range.map(|range| range.addr().is_ipv4()) {
            Some(true) => "-4 ",
            Some(false) => "-6 ",
            None => "",
        })?;
        write!(f, "-A {chain}")?;
        for test in &rule.tests {
            match test {
                Test::User(user) => write!(f, " -m owner --uid-owner {user}"),
                Test::Tcp => f.write_str(" -p tcp"),
                Test::TcpPort(port) => write!(f, " -p tcp --dport {port}"),
                Test::UdpPort(port) => write!(f, " -p udp --dport {port}"),
                Test::Destination(range) => write!(f, " -d {range}"),
            }?;
        }
        match rule.action {
            Action::Return => f.write_str(" -j RETURN"),
            Action::Accept => f.write_str(" -j ACCEPT"),
            Action::Redirect(port) => write!(f, " -j REDIRECT --to-ports {port}"),
        }
    }
}
