//! What differs between iptables and ip6tables in how the kernel lays an entry out. Names are those of
//! `linux/netfilter_ipv4/ip_tables.h` and `linux/netfilter_ipv6/ip6_tables.h`.

use std::fmt::{self, Display, Formatter};

/// Addresses that a table is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// iptables.
    V4,
    /// ip6tables.
    V6,
}

/// Where the parts of `struct ipt_entry` and `struct ip6t_entry` lie.
pub struct Layout {
    /// `dst`
    pub destination: usize,
    /// `dmsk`
    pub mask: usize,
    /// `proto`
    pub protocol: usize,
    /// `flags`
    pub flags: usize,
    /// What `flags` says of an entry that asks for a protocol.
    pub asks_protocol: u8,
    /// `target_offset`, with `next_offset` behind it.
    pub target_offset: usize,
    /// `counters`
    pub counters: usize,
    /// The whole; matches and the target follow.
    pub size: usize,
}

impl Family {
    /// In the order in which tables are changed.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// How an entry is laid out.
    pub fn layout(self) -> Layout {
        match self {
            Self::V4 => Layout {
                destination: 4,
                mask: 12,
                protocol: 80,
                flags: 82,
                asks_protocol: 0,
                target_offset: 88,
                counters: 96,
                size: 112,
            },
            Self::V6 => Layout {
                destination: 16,
                mask: 48,
                protocol: 128,
                flags: 131,
                // IP6T_F_PROTO
                asks_protocol: 1,
                target_offset: 140,
                counters: 152,
                size: 168,
            },
        }
    }

    /// Where the kernel tells which tables a network has.
    pub fn names(self) -> &'static str {
        match self {
            Self::V4 => "/proc/net/ip_tables_names",
            Self::V6 => "/proc/net/ip6_tables_names",
        }
    }

    /// The modules that interception needs; the filter is a sandbox's.
    pub fn modules(self) -> &'static str {
        match self {
            Self::V4 => {
                "ip_tables, iptable_nat, xt_REDIRECT, xt_owner and xt_tcpudp (for a sandbox iptable_filter too)"
            }
            Self::V6 => {
                "ip6_tables, ip6table_nat, xt_REDIRECT, xt_owner and xt_tcpudp (for a sandbox ip6table_filter too)"
            }
        }
    }
}

impl Display for Family {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}
