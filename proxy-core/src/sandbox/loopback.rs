//! Gives the private network its one interface: `lo` up, an address and a default route on it, so that every
//! destination can be addressed and the redirect rules get to see it. Speaks rtnetlink itself; `ip` need not be there.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
};

use nix::sys::socket::SockProtocol;

use super::netlink::{ACK, CREATE, Netlink, attribute, message};

/// Address of the sandboxed processes: IPv4 service continuity prefix (RFC 7335), on no real network.
pub const SANDBOX_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 2);

/// `lo` is the first interface of every network namespace.
const LOOPBACK_INDEX: u32 = 1;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;

/// Sets everything up. `nameservers` are those of /etc/resolv.conf: IPv6 ones get a route, so that DNS reaches the
/// rule that catches it; nothing else in the sandbox has IPv6.
pub fn bring_up(nameservers: &[IpAddr]) -> io::Result<()> {
    let netlink = Netlink::open(SockProtocol::NetlinkRoute)?;
    request(&netlink, RTM_NEWLINK, 0, &link_up())?;
    request(&netlink, RTM_NEWADDR, CREATE, &address(SANDBOX_ADDRESS))?;
    request(&netlink, RTM_NEWROUTE, CREATE, &route(2, &[], Some(SANDBOX_ADDRESS)))?;
    for nameserver in nameservers {
        if let IpAddr::V6(address) = nameserver
            && !address.is_loopback()
        {
            // A kernel without IPv6 refuses; then no process can ask that nameserver either.
            let _ = request(&netlink, RTM_NEWROUTE, CREATE, &route(10, &address.octets(), None));
        }
    }
    Ok(())
}

fn request(netlink: &Netlink, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let mut messages = Vec::new();
    message(&mut messages, kind, ACK | flags, 0, body);
    netlink.send(&messages, 0)
}

/// struct ifinfomsg: interface `lo`, flag IFF_UP set.
fn link_up() -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0];
    body.extend(LOOPBACK_INDEX.to_ne_bytes());
    body.extend(1u32.to_ne_bytes());
    body.extend(1u32.to_ne_bytes());
    body
}

/// struct ifaddrmsg with IFA_LOCAL: a /32 on `lo`, scope global so that it is chosen as source address.
fn address(address: Ipv4Addr) -> Vec<u8> {
    let mut body = vec![2, 32, 0, 0];
    body.extend(LOOPBACK_INDEX.to_ne_bytes());
    attribute(&mut body, 2, &address.octets());
    body
}

/// struct rtmsg for a route to `destination` (all of the family when empty) on `lo`: main table, protocol static.
fn route(family: u8, destination: &[u8], source: Option<Ipv4Addr>) -> Vec<u8> {
    const TABLE_MAIN: u8 = 254;
    const PROTOCOL_STATIC: u8 = 4;
    const TYPE_UNICAST: u8 = 1;
    let bits = u8::try_from(destination.len() * 8).unwrap_or(u8::MAX);
    let mut body = vec![
        family,
        bits,
        0,
        0,
        TABLE_MAIN,
        PROTOCOL_STATIC,
        0,
        TYPE_UNICAST,
        0,
        0,
        0,
        0,
    ];
    if !destination.is_empty() {
        attribute(&mut body, 1, destination);
    }
    attribute(&mut body, 4, &LOOPBACK_INDEX.to_ne_bytes());
    if let Some(source) = source {
        attribute(&mut body, 7, &source.octets());
    }
    body
}
