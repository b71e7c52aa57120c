//! The header of the PROXY protocol, by which an upstream learns who has called whom. Source: Envoy's
//! `UpstreamProxyProtocolSocket`, and haproxy's `proxy-protocol.txt`.

use std::net::{IpAddr, SocketAddr};

use crate::{model::ProxyProtocol, policy::Cluster};

/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2, and the command PROXY.
const VERSION_AND_COMMAND: u8 = 0x21;

/// Version 2, the command LOCAL, and nothing else: who sends it calls for itself.
const LOCAL: [u8; 4] = [0x20, 0, 0, 0];

/// Streams over IPv4, and over IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// The header of one caller's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ProxyHeader {
    version: ProxyProtocol,
    /// Who has called, and whom; `None` for a copy, which nobody waits for.
    call: Option<(SocketAddr, SocketAddr)>,
}

impl ProxyHeader {
    /// That of a caller at `source`, if there is one, who wanted `destination`; `None` where connections to `cluster` have
    /// none.
    pub fn of(cluster: &Cluster, source: Option<SocketAddr>, destination: SocketAddr) -> Option<Self> {
        cluster.settings.proxy_protocol.map(|version| Self {
            version,
            call: source.map(|source| (source, destination)),
        })
    }

    /// What is sent over a connection from `local` to `upstream`.
    pub fn bytes(&self, local: SocketAddr, upstream: SocketAddr) -> Vec<u8> {
        let (from, to) = self.call.unwrap_or((local, upstream));
        let (source, destination) = of_one_family(from.ip(), to.ip());
        match self.version {
            ProxyProtocol::V1 => {
                let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
                let (from, to) = (from.port(), to.port());
                format!("PROXY {family} {source} {destination} {from} {to}\r\n").into_bytes()
            }
            ProxyProtocol::V2 if self.call.is_none() => [&SIGNATURE[..], &LOCAL].concat(),
            ProxyProtocol::V2 => {
                let (family, addresses) = match (source, destination) {
                    (IpAddr::V4(source), IpAddr::V4(destination)) => {
                        (TCP4, [source.octets(), destination.octets()].concat())
                    }
                    (source, destination) => (TCP6, [octets(source), octets(destination)].concat()),
                };
                let ports = [from.port(), to.port()].map(u16::to_be_bytes);
                // At most 36 bytes.
                let length = (addresses.len() + ports.as_flattened().len()) as u16;
                let head = [VERSION_AND_COMMAND, family];
                [
                    &SIGNATURE,
                    &head[..],
                    &length.to_be_bytes(),
                    &addresses,
                    ports.as_flattened(),
                ]
                .concat()
            }
        }
    }
}

/// An IPv4 address beside one of IPv6 is written as the latter.
fn of_one_family(source: IpAddr, destination: IpAddr) -> (IpAddr, IpAddr) {
    match (source, destination) {
        (source @ IpAddr::V6(_), IpAddr::V4(destination)) => (source, destination.to_ipv6_mapped().into()),
        (IpAddr::V4(source), destination @ IpAddr::V6(_)) => (source.to_ipv6_mapped().into(), destination),
        same => same,
    }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: ProxyProtocol, source: &str, destination: &str) -> Vec<u8> {
        let call = (source.parse().unwrap(), destination.parse().unwrap());
        let (local, upstream) = ends();
        let call = Some(call);
        ProxyHeader { version, call }.bytes(local, upstream)
    }

    /// Of the connection itself.
    fn ends() -> (SocketAddr, SocketAddr) {
        (([10, 0, 0, 2], 5000).into(), ([10, 0, 0, 3], 90).into())
    }

    #[test]
    fn a_copy_has_no_caller_to_tell_of() {
        let (local, upstream) = ends();
        let copy = |version| ProxyHeader { version, call: None }.bytes(local, upstream);
        assert_eq!(copy(ProxyProtocol::V1), b"PROXY TCP4 10.0.0.2 10.0.0.3 5000 90\r\n");
        assert_eq!(copy(ProxyProtocol::V2), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    }

    #[test]
    fn version_1_is_a_line_of_text() {
        for (source, destination, expected) in [
            (
                "10.0.0.1:4000",
                "198.18.0.9:80",
                "PROXY TCP4 10.0.0.1 198.18.0.9 4000 80\r\n",
            ),
            (
                "[fd00::1]:4000",
                "[fd00::2]:80",
                "PROXY TCP6 fd00::1 fd00::2 4000 80\r\n",
            ),
            (
                "10.0.0.1:4000",
                "[fd00::2]:80",
                "PROXY TCP6 ::ffff:10.0.0.1 fd00::2 4000 80\r\n",
            ),
        ] {
            let written = header(ProxyProtocol::V1, source, destination);
            assert_eq!(String::from_utf8(written).unwrap(), expected);
        }
    }

    #[test]
    fn version_2_is_the_signature_the_family_the_length_the_addresses_and_the_ports() {
        let written = header(ProxyProtocol::V2, "10.0.0.1:4000", "198.18.0.9:80");
        let expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\xc6\x12\0\x09\x0f\xa0\0\x50";
        assert_eq!(written, expected);
        let written = header(ProxyProtocol::V2, "[fd00::1]:4000", "[fd00::2]:80");
        assert_eq!(written[12..16], [0x21, 0x21, 0, 36]);
        assert_eq!(written.len(), 16 + 36);
    }
}
