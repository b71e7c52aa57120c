//! The socket options by which the kernel tells and takes a table. Any IPv4 or IPv6 socket has them: iptables takes a raw one,
//! which needs NET_RAW; a socket for UDP needs nothing, so that NET_ADMIN alone is enough.
#![expect(
    unsafe_code,
    reason = "no crate has these socket options: their values are as long as the table, and one holds a pointer"
)]

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    libc::{self, c_int, c_void, socklen_t},
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use super::{
    bytes::{ALIGN, field, number},
    family::Family,
    table::{COUNTERS, HOOKS},
};

/// `IPT_SO_GET_INFO` and `IPT_SO_SET_REPLACE`; what is read and what is written are numbered apart.
const INFO: c_int = 64;
const REPLACE: c_int = 64;
/// `IPT_SO_GET_ENTRIES` and `IPT_SO_SET_ADD_COUNTERS`
const ENTRIES: c_int = 65;
const ADD_COUNTERS: c_int = 65;

/// `XT_TABLE_MAXNAMELEN`
pub const NAME: usize = 32;
/// `struct ipt_getinfo`: name, valid hooks, begins, ends, number of entries, size.
pub const INFO_SIZE: usize = NAME + 4 + 2 * 4 * HOOKS + 2 * 4;
/// `struct ipt_get_entries` and `struct xt_counters_info` before what they hold: name, and a number.
const LIST_HEADER: usize = (NAME + 4).next_multiple_of(ALIGN);

/// A way to the kernel's tables of one family.
pub struct Socket {
    socket: OwnedFd,
    family: Family,
}

impl Socket {
    /// Opens it.
    pub fn open(family: Family) -> io::Result<Self> {
        let domain = match family {
            Family::V4 => AddressFamily::Inet,
            Family::V6 => AddressFamily::Inet6,
        };
        let socket = socket(domain, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        Ok(Self { socket, family })
    }

    /// Whose tables it leads to.
    pub fn family(&self) -> Family {
        self.family
    }

    /// What the kernel says of a table.
    pub fn info(&self, table: &str) -> io::Result<[u8; INFO_SIZE]> {
        let mut info = field::<INFO_SIZE>(table);
        self.get(INFO, &mut info)?;
        Ok(info)
    }

    /// The entries of a table, which are as long as `info` says.
    pub fn entries(&self, table: &str, size: usize) -> io::Result<Vec<u8>> {
        let mut list = list(table, size)?;
        list.resize(LIST_HEADER + size, 0);
        self.get(ENTRIES, &mut list)?;
        Ok(list.split_off(LIST_HEADER))
    }

    /// Replaces a table of `before` entries. `header` is `struct ipt_replace` up to the number of counters, `entries` are those
    /// that it says.
    pub fn replace(&self, header: &[u8], before: usize, entries: &[u8]) -> io::Result<()> {
        // What was counted before is given back, whether it is wanted or not. As long as the kernel takes `before` for.
        let mut counters = vec![0u8; before * COUNTERS];
        let mut replace = header.to_vec();
        replace.extend(number(before)?);
        replace.resize(replace.len().next_multiple_of(align_of::<usize>()), 0);
        replace.extend(counters.as_mut_ptr().expose_provenance().to_ne_bytes());
        replace.resize(replace.len().next_multiple_of(ALIGN), 0);
        replace.extend(entries);
        // SAFETY: the one pointer in `replace` is to `counters`, which live until after the call. The kernel writes `before`
        // counters there: it refuses where the table does not have as many entries as that.
        unsafe { self.set(REPLACE, &replace) }
    }

    /// Adds to the counters of a table, one for each of its entries.
    pub fn add_counters(&self, table: &str, counters: &[u8]) -> io::Result<()> {
        let mut list = list(table, counters.len() / COUNTERS)?;
        list.extend(counters);
        // SAFETY: this option's value holds no pointer.
        unsafe { self.set(ADD_COUNTERS, &list) }
    }

    fn level(&self) -> c_int {
        match self.family {
            Family::V4 => libc::SOL_IP,
            Family::V6 => libc::SOL_IPV6,
        }
    }

    fn get(&self, option: c_int, value: &mut [u8]) -> io::Result<()> {
        let mut length = length(value)?;
        let (level, pointer) = (self.level(), value.as_mut_ptr().cast::<c_void>());
        // SAFETY: the kernel writes no more than `length` bytes, which are those of `value`.
        match unsafe { libc::getsockopt(self.socket.as_raw_fd(), level, option, pointer, &raw mut length) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// # Safety
    ///
    /// Where the option's value has a pointer, the kernel must be allowed to write there what the option says.
    unsafe fn set(&self, option: c_int, value: &[u8]) -> io::Result<()> {
        let length = length(value)?;
        let (level, pointer) = (self.level(), value.as_ptr().cast::<c_void>());
        // SAFETY: the kernel reads the `length` bytes of `value`; of a pointer in there the caller has seen to.
        match unsafe { libc::setsockopt(self.socket.as_raw_fd(), level, option, pointer, length) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// The begin of `struct ipt_get_entries` or `struct xt_counters_info`.
fn list(table: &str, count: usize) -> io::Result<Vec<u8>> {
    let mut list = field::<NAME>(table).to_vec();
    list.extend(number(count)?);
    list.resize(LIST_HEADER, 0);
    Ok(list)
}

fn length(value: &[u8]) -> io::Result<socklen_t> {
    socklen_t::try_from(value.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))
}
