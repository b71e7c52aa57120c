//! What `/etc/resolv.conf` says: who answers DNS here, and which domains are searched.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
};

const PATH: &str = "/etc/resolv.conf";

/// The port of DNS.
const PORT: u16 = 53;

/// The configuration of a resolver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// Servers, in their order.
    pub servers: Vec<SocketAddr>,
    /// Domains that names are searched in, in lower case, in their order.
    pub search: Vec<String>,
}

impl ResolvConf {
    /// This system's; nothing where it has none.
    pub fn read() -> Self {
        Self::parse(&fs::read_to_string(PATH).unwrap_or_default())
    }

    /// The servers' addresses.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.servers.iter().map(SocketAddr::ip).collect()
    }

    /// As resolv.conf(5): of several lists of domains the last one holds.
    fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    conf.servers
                        .extend(address.map(|address| SocketAddr::new(address, PORT)));
                }
                Some("search") => {
                    conf.search = words
                        .map(|domain| domain.trim_end_matches('.').to_ascii_lowercase())
                        .collect();
                }
                _ => {}
            }
        }
        conf
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_domains_are_those_of_a_pod() {
        let text = "search Default.svc.cluster.local. svc.cluster.local cluster.local\nnameserver 10.96.0.10\n\
                    nameserver fd00:96::a\n# nameserver 1.1.1.1\nnameserver fe80::1%eth0\noptions ndots:5\n";
        let conf = ResolvConf::parse(text);
        let servers: Vec<String> = conf.servers.iter().map(SocketAddr::to_string).collect();
        assert_eq!(servers, ["10.96.0.10:53", "[fd00:96::a]:53"]);
        assert_eq!(conf.search[0], "default.svc.cluster.local");
        assert_eq!(conf.search.len(), 3);
    }
}
