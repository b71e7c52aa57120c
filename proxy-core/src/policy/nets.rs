//! Longest-prefix match over CIDR ranges, as Envoy's trie does it: one hash lookup for each prefix length in use.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::IpAddr,
};

use ipnet::IpNet;

/// A map from ranges to values.
#[derive(Clone)]
pub struct NetMap<T> {
    /// Prefix lengths in use with their ranges, longest first. The key is the network address.
    levels: Vec<(u8, HashMap<IpAddr, T>)>,
}

impl<T> Default for NetMap<T> {
    fn default() -> Self {
        Self { levels: Vec::new() }
    }
}

/// In the order of the ranges, so that equal maps read alike.
impl<T: fmt::Debug> fmt::Debug for NetMap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels = self.levels.iter();
        let all: BTreeMap<_, _> = levels
            .flat_map(|(length, nets)| nets.iter().map(move |(net, value)| ((length, net), value)))
            .collect();
        f.debug_map().entries(all).finish()
    }
}

impl<T> NetMap<T> {
    /// The value for `net`, made by `default` where there is none.
    pub fn entry(&mut self, net: IpNet, default: impl FnOnce() -> T) -> &mut T {
        let length = net.prefix_len();
        let at = self.levels.partition_point(|(level, _)| *level > length);
        if self.levels.get(at).is_none_or(|(level, _)| *level != length) {
            self.levels.insert(at, (length, HashMap::new()));
        }
        self.levels[at].1.entry(net.network()).or_insert_with(default)
    }

    /// The value of the longest range that holds `address`. Does not allocate.
    pub fn get(&self, address: IpAddr) -> Option<&T> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        self.levels
            .iter()
            .filter(|(length, _)| *length <= bits)
            .find_map(|(length, nets)| {
                let network = IpNet::new(address, *length).ok()?.network();
                nets.get(&network)
            })
    }
}

/// Parses a comma-separated list of ranges; a bare address is a full-length prefix. Entries that are neither are left
/// out (the injector refuses them, `lint` reports them).
pub fn parse_list(text: &str) -> Vec<IpNet> {
    text.split(',').filter_map(|part| parse(part.trim())).collect()
}

fn parse(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins_in_either_family() {
        let mut map = NetMap::default();
        for net in ["10.0.0.0/8", "10.20.0.0/16", "0.0.0.0/0", "fd00::/8"] {
            map.entry(net.parse().unwrap(), || net);
        }
        for (address, expected) in [
            ("10.20.1.1", Some("10.20.0.0/16")),
            ("10.21.1.1", Some("10.0.0.0/8")),
            ("1.1.1.1", Some("0.0.0.0/0")),
            ("fd00::1", Some("fd00::/8")),
            ("fe80::1", None),
        ] {
            assert_eq!(map.get(address.parse().unwrap()).copied(), expected, "{address}");
        }
    }
}
