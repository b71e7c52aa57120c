//! As much of a program's ELF header as tells whether an image can hold it. Source: elf(5).

use std::fmt;

/// Architectures that the sidecar is built for, under the names that images give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        })
    }
}

/// What the header of a program says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Elf {
    pub architecture: Architecture,
    /// The loader of a program that is linked to shared libraries.
    pub interpreter: Option<String>,
}

/// 64 bits, little-endian: both architectures are.
const IDENT: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
pub(super) const EM_X86_64: u16 = 62;
pub(super) const EM_AARCH64: u16 = 183;
const PT_INTERP: u32 = 3;

impl Elf {
    /// Reads the header; `None` for what is no program of a known architecture.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(&IDENT) {
            return None;
        }
        let architecture = match u16::from_le_bytes(at(bytes, 18)?) {
            EM_X86_64 => Architecture::Amd64,
            EM_AARCH64 => Architecture::Arm64,
            _ => return None,
        };
        let headers = usize::try_from(u64::from_le_bytes(at(bytes, 32)?)).ok()?;
        let size = usize::from(u16::from_le_bytes(at(bytes, 54)?));
        let count = usize::from(u16::from_le_bytes(at(bytes, 56)?));
        let mut interpreter = None;
        for index in 0..count {
            let header = headers.checked_add(index * size)?;
            if u32::from_le_bytes(at(bytes, header)?) == PT_INTERP {
                interpreter = Some(text(bytes, header)?);
            }
        }
        Some(Self {
            architecture,
            interpreter,
        })
    }
}

/// The text that a program header leads to.
fn text(bytes: &[u8], header: usize) -> Option<String> {
    let start = usize::try_from(u64::from_le_bytes(at(bytes, header.checked_add(8)?)?)).ok()?;
    let length = usize::try_from(u64::from_le_bytes(at(bytes, header.checked_add(32)?)?)).ok()?;
    let text = bytes.get(start..start.checked_add(length)?)?;
    Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_string())
}

fn at<const N: usize>(bytes: &[u8], start: usize) -> Option<[u8; N]> {
    bytes.get(start..start.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A static program that does nothing.
    pub fn still(machine: u16) -> Vec<u8> {
        program(machine, 1, b"")
    }

    /// A header with one program header of this type, whose text stands behind it.
    fn program(machine: u16, kind: u32, text: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..6].copy_from_slice(&IDENT);
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64..68].copy_from_slice(&kind.to_le_bytes());
        bytes[72] = 64 + 56;
        bytes[96..104].copy_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend(text);
        bytes
    }

    #[test]
    fn the_architecture_and_the_loader_come_from_the_header() {
        let elf = Elf::read(&program(EM_AARCH64, PT_INTERP, b"/lib/ld.so\0")).unwrap();
        assert_eq!(elf.architecture, Architecture::Arm64);
        assert_eq!(elf.interpreter.as_deref(), Some("/lib/ld.so"));
        let elf = Elf::read(&still(EM_X86_64)).unwrap();
        assert_eq!((elf.architecture, elf.interpreter), (Architecture::Amd64, None));
    }

    #[test]
    fn what_is_cut_short_or_something_else_is_no_program() {
        let whole = program(EM_X86_64, PT_INTERP, b"/lib/ld.so\0");
        for length in 0..whole.len() {
            assert_eq!(Elf::read(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(Elf::read(&program(40, 1, b"")), None, "32-bit ARM");
        assert_eq!(Elf::read(b"#!/bin/sh\n"), None);
    }
}
