//! Rules as entries of a table: what is asked of the addresses and the protocol stands in front, then the matches, then the
//! target. Each becomes what iptables makes of the same rule, so that `iptables-save` shows it so. Layouts are those of
//! `linux/netfilter/{x_tables,xt_tcpudp,xt_owner,nf_nat}.h`.

use ipnet::IpNet;

use super::{
    bytes::{ALIGN, field},
    family::Family,
};
use crate::sandbox::plan::{Action, Rule, Test};

/// Verdicts of a standard target: `-NF_ACCEPT - 1`, `-NF_DROP - 1` and `XT_RETURN`. Those from 0 on are jumps.
pub const ACCEPT: i32 = -2;
pub const DROP: i32 = -1;
pub const RETURN: i32 = -5;

/// Size, name and revision, before the data of a match or a target: `struct xt_entry_match`, `struct xt_entry_target`.
pub const HEADER: usize = 32;
/// Where the name begins.
pub const NAME: usize = 2;
/// Target of what stands at the begin of a chain, and at the end of the table.
pub const ERROR: &str = "ERROR";

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The rule as an entry of this family; `None` where it is about addresses of the other.
pub fn of(family: Family, rule: &Rule) -> Option<Vec<u8>> {
    let layout = family.layout();
    let mut entry = vec![0; layout.size];
    for test in &rule.tests {
        match *test {
            Test::User(user) => extension(&mut entry, "owner", 1, &owner(user)),
            Test::Tcp => ask_protocol(family, &mut entry, TCP),
            Test::TcpPort(port) => {
                ask_protocol(family, &mut entry, TCP);
                extension(&mut entry, "tcp", 0, &ports(port, 4));
            }
            Test::UdpPort(port) => {
                ask_protocol(family, &mut entry, UDP);
                extension(&mut entry, "udp", 0, &ports(port, 2));
            }
            Test::Destination(range) => {
                let (address, mask) = match (family, range) {
                    (Family::V4, IpNet::V4(range)) => {
                        (range.network().octets().to_vec(), range.netmask().octets().to_vec())
                    }
                    (Family::V6, IpNet::V6(range)) => {
                        (range.network().octets().to_vec(), range.netmask().octets().to_vec())
                    }
                    _ => return None,
                };
                put(&mut entry, layout.destination, &address);
                put(&mut entry, layout.mask, &mask);
            }
        }
    }
    Some(match rule.action {
        Action::Return => with_target(family, entry, "", &RETURN.to_ne_bytes()),
        Action::Accept => with_target(family, entry, "", &ACCEPT.to_ne_bytes()),
        Action::Redirect(port) => with_target(family, entry, "REDIRECT", &redirection(family, port)),
    })
}

/// An entry for everything, with a standard target of this verdict.
pub fn standard(family: Family, verdict: i32) -> Vec<u8> {
    with_target(family, vec![0; family.layout().size], "", &verdict.to_ne_bytes())
}

/// The begin of a chain.
pub fn head(family: Family, chain: &str) -> Vec<u8> {
    with_target(family, vec![0; family.layout().size], ERROR, &field::<30>(chain))
}

/// Puts the target behind the matches, and says where it and the next entry begin.
fn with_target(family: Family, mut entry: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    let target = entry.len();
    extension(&mut entry, name, 0, data);
    let next = entry.len();
    let offsets = [target, next].map(|offset| u16::try_from(offset).expect("an entry of ours has a few hundred bytes"));
    let at = family.layout().target_offset;
    put(&mut entry, at, &offsets[0].to_ne_bytes());
    put(&mut entry, at + 2, &offsets[1].to_ne_bytes());
    entry
}

/// Appends a match or a target.
fn extension(entry: &mut Vec<u8>, name: &str, revision: u8, data: &[u8]) {
    let size = (HEADER + data.len()).next_multiple_of(ALIGN);
    let end = entry.len() + size;
    entry.extend(
        u16::try_from(size)
            .expect("an extension of ours has a few dozen bytes")
            .to_ne_bytes(),
    );
    entry.extend(field::<29>(name));
    entry.push(revision);
    entry.extend(data);
    entry.resize(end, 0);
}

fn ask_protocol(family: Family, entry: &mut [u8], protocol: u8) {
    let layout = family.layout();
    put(entry, layout.protocol, &u16::from(protocol).to_ne_bytes());
    entry[layout.flags] |= layout.asks_protocol;
}

/// `struct xt_tcp` and `struct xt_udp`: source ports from and to, destination ports, and `rest` bytes that ask nothing.
fn ports(destination: u16, rest: usize) -> Vec<u8> {
    let ports = [0, u16::MAX, destination, destination];
    let mut data: Vec<u8> = ports.iter().flat_map(|port| port.to_ne_bytes()).collect();
    data.resize(data.len() + rest, 0);
    data
}

/// `struct xt_owner_match_info`: users from and to, groups from and to, what is asked, what is inverted.
fn owner(user: u32) -> Vec<u8> {
    const USER: u8 = 1;
    let mut data: Vec<u8> = [user, user, 0, 0].iter().flat_map(|id| id.to_ne_bytes()).collect();
    data.extend([USER, 0, 0, 0]);
    data
}

/// `struct nf_nat_ipv4_multi_range_compat` of one range, and `struct nf_nat_range`: to this port, of whatever address.
fn redirection(family: Family, port: u16) -> Vec<u8> {
    /// `NF_NAT_RANGE_PROTO_SPECIFIED`
    const PORT: u32 = 2;
    let (ranges, addresses): (&[u32], usize) = match family {
        Family::V4 => (&[1], 2 * 4),
        Family::V6 => (&[], 2 * 16),
    };
    let mut data: Vec<u8> = ranges
        .iter()
        .chain(&[PORT])
        .flat_map(|number| number.to_ne_bytes())
        .collect();
    data.resize(data.len() + addresses, 0);
    data.extend([port, port].iter().flat_map(|port| port.to_be_bytes()));
    data
}

fn put(entry: &mut [u8], at: usize, bytes: &[u8]) {
    entry[at..at + bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests;
