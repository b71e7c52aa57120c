//! The plan in the legacy tables of iptables and ip6tables (x_tables), for kernels without nf_tables, and without either
//! program: a container image of one program has none.
//!
//! A table is read as a whole, changed, and written as a whole; the kernel puts it in force at once. The rules stand in a
//! chain of their own; what others have put into the table stays as it is, with its counters.

mod bytes;
mod entry;
mod family;
mod socket;
mod table;
mod text;

use std::{fs, io};

use nix::errno::Errno;

pub use family::Family;
pub use text::RestoreText;

use self::{socket::Socket, table::Table};
use super::{
    plan::{Chain, ChainKind, Plan},
    refused::Refused,
};

/// How often a table is read again where somebody else changed it before it was written.
const ATTEMPTS: usize = 10;

/// The addresses that the kernel gave an interface, one a line.
const IPV6_ADDRESSES: &str = "/proc/net/if_inet6";

impl ChainKind {
    /// The table that has such chains.
    fn table(self) -> &'static str {
        match self {
            Self::Nat => "nat",
            Self::Filter => "filter",
        }
    }

    /// The chain of its rules.
    fn own_chain(self) -> &'static str {
        match self {
            Self::Nat => "EGRET_OUTPUT",
            Self::Filter => "EGRET_LEAVE",
        }
    }
}

/// Puts the plan in force, in the place of what was applied before. Each table changes at once; where one cannot, those that
/// did are set back.
pub fn apply(plan: &Plan) -> Result<(), Refused> {
    let mut changed = Vec::new();
    for family in Family::ALL {
        for chain in &plan.chains {
            match change(family, chain.kind, |table| put(table, chain)) {
                Ok(before) => changed.push((family, chain.kind, before)),
                // Old nodes load the modules for IPv4 alone, where they use nothing else.
                Err(Refused::NoIptables(Family::V6, _)) if !has_ipv6() => {}
                Err(refused) => {
                    set_back(changed);
                    return Err(refused);
                }
            }
        }
    }
    Ok(())
}

/// Takes away what was applied, and nothing else. Tables that this network does not have are not made by it.
pub fn remove() -> Result<(), Refused> {
    for family in Family::ALL {
        for kind in [ChainKind::Nat, ChainKind::Filter] {
            if is_made(family, kind) {
                change(family, kind, |table| table.remove_chain(kind.own_chain()))?;
            }
        }
    }
    Ok(())
}

/// True where rules are in force that were applied.
pub fn are_applied() -> Result<bool, Refused> {
    for family in Family::ALL
        .into_iter()
        .filter(|family| is_made(*family, ChainKind::Nat))
    {
        let refused = |error| Refused::by_iptables(family, error);
        let socket = Socket::open(family).map_err(refused)?;
        let table = Table::read(&socket, ChainKind::Nat.table()).map_err(refused)?;
        if table.has_chain(ChainKind::Nat.own_chain()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The chain of these rules, and the jump to it before whatever else stands in OUTPUT: Istio's rules too, which therefore do
/// not redirect what is redirected here.
fn put(table: &mut Table, chain: &Chain) {
    let name = chain.kind.own_chain();
    table.remove_chain(name);
    let rules = chain.rules.iter();
    let mut entries: Vec<_> = rules.filter_map(|rule| entry::of(table.family(), rule)).collect();
    if chain.kind == ChainKind::Filter {
        entries.push(entry::standard(table.family(), entry::DROP));
    }
    table.add_chain(name, entries);
}

/// Changes a table, and gives it as it was before. A table that stays the same is not written.
fn change(family: Family, kind: ChainKind, edit: impl Fn(&mut Table)) -> Result<Table, Refused> {
    let refused = |error| Refused::by_iptables(family, error);
    let socket = Socket::open(family).map_err(refused)?;
    for _ in 1..ATTEMPTS {
        match change_once(&socket, kind, &edit) {
            // The kernel's word for a table that is not any more what was read.
            Err(error) if error.raw_os_error() == Some(Errno::EAGAIN as i32) => {}
            outcome => return outcome.map_err(refused),
        }
    }
    change_once(&socket, kind, &edit).map_err(refused)
}

fn change_once(socket: &Socket, kind: ChainKind, edit: impl Fn(&mut Table)) -> io::Result<Table> {
    let before = Table::read(socket, kind.table())?;
    let mut after = before.clone();
    edit(&mut after);
    if after != before {
        after.write(socket, before.len())?;
    }
    Ok(before)
}

/// The reason why this is needed is told; that the tables cannot be set back either would come of the same.
fn set_back(changed: Vec<(Family, ChainKind, Table)>) {
    for (family, kind, before) in changed.into_iter().rev() {
        let _ = change(family, kind, |table| *table = before.clone());
    }
}

/// True unless the kernel says that nobody has made the table in this network: asking for it would make it.
fn is_made(family: Family, kind: ChainKind) -> bool {
    match fs::read_to_string(family.names()) {
        Ok(names) => names.lines().any(|name| name == kind.table()),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// True where something of this network but loopback has an IPv6 address by which more than the next neighbour is reached.
/// Each line: address, index, length, scope, flags, name.
fn has_ipv6() -> bool {
    const LINK: &str = "20";
    fs::read_to_string(IPV6_ADDRESSES).is_ok_and(|addresses| {
        addresses.lines().any(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            matches!(fields[..], [_, _, _, scope, _, name] if name != "lo" && scope != LINK)
        })
    })
}
