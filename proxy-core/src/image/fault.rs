//! Why there is no image, and what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::Architecture;

/// Why an image cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No program was given.
    #[error("an image needs a program; name one with --binary")]
    Nothing,
    /// A program cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The program.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// A file is no program that an image can hold.
    #[error("{} is no Linux program for amd64 or arm64", .0.display())]
    NoProgram(PathBuf),
    /// A program needs shared libraries, and the image has no base with any.
    #[error(
        "{} is linked to shared libraries (it asks for {interpreter}), and the image has none; `make proxy-image` builds a \
         static program, or RUSTFLAGS=\"-C target-feature=+crt-static\" with cargo's --target",
        path.display()
    )]
    Dynamic {
        /// The program.
        path: PathBuf,
        /// The loader that it names.
        interpreter: String,
    },
    /// Two programs of one architecture.
    #[error("two programs are for {0}; give one for each architecture")]
    Twice(Architecture),
    /// The archive cannot be written.
    #[error("{}: {error}", path.display())]
    Unwritable {
        /// The archive.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
}

impl Fault {
    pub(super) fn unreadable(path: &Path, error: io::Error) -> Self {
        let path = path.to_path_buf();
        Self::Unreadable { path, error }
    }

    pub(super) fn unwritable(path: &Path, error: io::Error) -> Self {
        let path = path.to_path_buf();
        Self::Unwritable { path, error }
    }
}
