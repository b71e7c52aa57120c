//! Numbers and names in bytes that the kernel lays out, in the machine's own order.

use std::io;

/// Size of `XT_ALIGN`: matches and targets begin where a `u64` may.
pub const ALIGN: usize = align_of::<u64>();

/// The number at this place; an error where the bytes end before it.
pub fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    array_at(bytes, at).map(u16::from_ne_bytes)
}

/// The number at this place; an error where the bytes end before it.
pub fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    array_at(bytes, at).map(u32::from_ne_bytes)
}

/// The same as an offset or a count.
pub fn size_at(bytes: &[u8], at: usize) -> io::Result<usize> {
    u32_at(bytes, at)?.try_into().map_err(|_| unreadable())
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> io::Result<[u8; N]> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .ok_or_else(unreadable)
}

/// Bytes that are no table.
pub fn unreadable() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the table that the kernel gives cannot be read",
    )
}

/// An offset or count as the kernel has it: an error for a table of more than four gigabytes.
pub fn number(size: usize) -> io::Result<[u8; 4]> {
    u32::try_from(size).map(u32::to_ne_bytes).map_err(|_| unreadable())
}

/// Text in a field of `N` bytes, ended by zero. For names of this program, which are short.
pub fn field<const N: usize>(name: &str) -> [u8; N] {
    let mut field = [0; N];
    field[..name.len()].copy_from_slice(name.as_bytes());
    field
}

/// True where the field at `at` holds `name`, up to its first zero.
pub fn names(bytes: &[u8], at: usize, name: &str) -> bool {
    bytes
        .get(at..)
        .and_then(|rest| rest.strip_prefix(name.as_bytes()))
        .is_some_and(|rest| rest.first() == Some(&0))
}
