//! Why an image is not in a registry, and what to do.

use std::{io, path::PathBuf};

use super::reference::Unreadable;

/// Why a push failed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The reference cannot be read.
    #[error(transparent)]
    Reference(#[from] Unreadable),
    /// Nobody answers.
    #[error("{host} cannot be reached: {error}")]
    Unreachable {
        /// The registry, or its token server.
        host: String,
        /// The system's words.
        error: io::Error,
    },
    /// Its certificate is not trusted, or it speaks no TLS.
    #[error(
        "no TLS with {host}: {error}; where its certificate is of an authority of your own, install that in this system, or name \
         its file in SSL_CERT_FILE (plain HTTP is spoken with registries on this computer only)"
    )]
    Tls {
        /// The registry, or its token server.
        host: String,
        /// Rustls' words.
        error: io::Error,
    },
    /// The connection broke off.
    #[error("the connection to {host} broke off: {words}; push again: what is there already is not sent twice")]
    Broken {
        /// The registry, or its token server.
        host: String,
        /// What was found.
        words: String,
    },
    /// Nothing has moved for a while.
    #[error(
        "{0} has neither taken nor said anything for a minute; push again: what is there already is not sent twice"
    )]
    Stalled(String),
    /// It wants to know who pushes, and nothing says so here.
    #[error(
        "{0} wants to know who pushes, and there are no credentials for it here; `docker login {0}` or `podman login {0}` \
         leaves some"
    )]
    Unknown(String),
    /// It does not take the credentials.
    #[error("{registry} does not take the credentials for it from {from}{}; log in again, with the right to push", words(.said))]
    Unauthorized {
        /// The registry.
        registry: String,
        /// Where the credentials come from.
        from: String,
        /// Its own words.
        said: String,
    },
    /// The user may not push there.
    #[error("{name}: no right to push there{}", words(.said))]
    Forbidden {
        /// Registry and repository.
        name: String,
        /// Its own words.
        said: String,
    },
    /// Another answer than the specification has.
    #[error("{host} answered {status} where {doing}{}", words(.said))]
    Refused {
        /// The registry, or its token server.
        host: String,
        /// What was asked.
        doing: &'static str,
        /// Its status.
        status: u16,
        /// Its own words.
        said: String,
    },
    /// An answer that makes no sense.
    #[error("{host} is no registry that can be pushed to: {words}")]
    Odd {
        /// The registry, or its token server.
        host: String,
        /// What is wrong with its answer.
        words: String,
    },
    /// A file of credentials cannot be used.
    #[error("{}: {words}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; nothing of what it says.
        words: String,
    },
    /// A credential helper gave none.
    #[error("{program}, which {} names for the credentials of {registry}, gave none: {words}", path.display())]
    Helper {
        /// The program.
        program: String,
        /// The file that names it.
        path: PathBuf,
        /// The registry.
        registry: String,
        /// Its own words, or the system's.
        words: String,
    },
}

fn words(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    }
}
