//! What of a workload a command gets: variables of its container, and files that its pods mount. Some of it may be secret.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
};

use serde::Deserialize;

use crate::sandbox::Mounted;

/// Largest of all that is read; a ConfigMap or Secret has room for one MiB, written out as JSON for four.
const MAX: u64 = 64 << 20;

/// All of it.
#[derive(Default, Deserialize)]
pub struct Taken {
    /// Variables.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Files.
    #[serde(default)]
    pub files: Vec<Mounted>,
}

impl Taken {
    /// Reads it from standard input, and not a byte more: what follows is the command's.
    pub fn from_stdin() -> io::Result<Self> {
        let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let mut length = String::new();
        loop {
            let mut byte = [0];
            input.read_exact(&mut byte)?;
            match byte[0] {
                b'\n' => break,
                digit if digit.is_ascii_digit() && length.len() < 10 => length.push(digit.into()),
                _ => return Err(io::Error::other("standard input begins with no length")),
            }
        }
        let length: u64 = length.parse().map_err(io::Error::other)?;
        if length > MAX {
            return Err(io::Error::other("the workload's files are too large"));
        }
        let mut bytes = vec![0; length as usize];
        input.read_exact(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}
