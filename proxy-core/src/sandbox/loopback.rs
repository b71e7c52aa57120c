//! Gives the private network its one interface: `lo` up, an address and a default route on it, so that every
//! destination can be addressed and the redirect rules get to see it. Speaks rtnetlink itself; `ip` need not be there.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsRawFd, OwnedFd},
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, socket,
};

/// Address of the sandboxed processes: IPv4 service continuity prefix (RFC 7335), on no real network.
pub const SANDBOX_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 2);

/// `lo` is the first interface of every network namespace.
const LOOPBACK_INDEX: u32 = 1;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const NLMSG_ERROR: u16 = 2;
/// Request, with an acknowledgement; create what is not there.
const REQUEST_ACK: u16 = 0x1 | 0x4;
const CREATE: u16 = 0x400;
const HEADER: usize = 16;

/// Sets everything up. `nameservers` are those of /etc/resolv.conf: IPv6 ones get a route, so that DNS reaches the
/// rule that catches it; nothing else in the sandbox has IPv6.
pub fn bring_up(nameservers: &[IpAddr]) -> io::Result<()> {
    let netlink = Netlink::open()?;
    netlink.request(RTM_NEWLINK, 0, &link_up())?;
    netlink.request(RTM_NEWADDR, CREATE, &address(SANDBOX_ADDRESS))?;
    netlink.request(RTM_NEWROUTE, CREATE, &route(2, &[], Some(SANDBOX_ADDRESS)))?;
    for nameserver in nameservers {
        if let IpAddr::V6(address) = nameserver
            && !address.is_loopback()
        {
            // A kernel without IPv6 refuses; then no process can ask that nameserver either.
            let _ = netlink.request(RTM_NEWROUTE, CREATE, &route(10, &address.octets(), None));
        }
    }
    Ok(())
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

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

struct Netlink(OwnedFd);

impl Netlink {
    fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// One request and its acknowledgement.
    fn request(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((REQUEST_ACK | flags).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        sendto(self.0.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        let mut answer = [0; 4096];
        let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        let answer = &answer[..length];
        match (answer.get(4..6), answer.get(HEADER..HEADER + 4)) {
            (Some(kind), Some(code)) if kind == NLMSG_ERROR.to_ne_bytes() => {
                match i32::from_ne_bytes([code[0], code[1], code[2], code[3]]) {
                    0 => Ok(()),
                    code => Err(io::Error::from_raw_os_error(-code)),
                }
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "unexpected answer from rtnetlink",
            )),
        }
    }
}
