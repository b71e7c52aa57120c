//! The name under which an image is pushed. Source: the grammar of github.com/distribution/reference, and the OCI
//! Distribution Specification 1.1 for the lengths.

use std::{fmt, str::FromStr};

/// Longest name of registry and repository together.
const MAX_NAME: usize = 255;
/// Longest tag.
const MAX_TAG: usize = 128;
/// Docker Hub, as references name it, and where it answers.
pub(super) const HUB: &str = "docker.io";
const HUB_HOST: &str = "registry-1.docker.io";

/// `REGISTRY/REPOSITORY:TAG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: String,
}

/// Why a text names no image to push.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no image to push: {why}; write REGISTRY/REPOSITORY:TAG, such as ghcr.io/example/egret-proxy:1")]
pub struct Unreadable {
    text: String,
    why: &'static str,
}

impl Reference {
    /// The registry, as references name it: a host, with a port where it has one of its own.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository in the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; this version where none was written.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The same image by its digest, which nobody can move.
    pub fn by_digest(&self, digest: &str) -> String {
        format!("{}/{}@{digest}", self.registry, self.repository)
    }

    /// Where the registry answers.
    pub(super) fn host(&self) -> &str {
        if self.registry == HUB { HUB_HOST } else { &self.registry }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.repository, self.tag)
    }
}

impl FromStr for Reference {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let refused = |why| {
            Err(Unreadable {
                text: text.to_string(),
                why,
            })
        };
        if text.contains('@') {
            return refused("a digest follows from what is pushed");
        }
        let Some((registry, rest)) = text.split_once('/').filter(|(first, _)| is_registry(first)) else {
            return refused("the registry is missing");
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, tag),
            None => (rest, env!("CARGO_PKG_VERSION")),
        };
        if !path.split('/').all(is_component) {
            return refused("a repository has small letters and digits, with single . _ or - between them");
        }
        if !is_tag(tag) {
            return refused("a tag has letters, digits, _ . and -, 128 at the most");
        }
        let repository = match registry {
            HUB if !path.contains('/') => format!("library/{path}"),
            _ => path.to_string(),
        };
        if registry.len() + 1 + repository.len() > MAX_NAME {
            return refused("it is longer than 255 characters");
        }
        Ok(Self {
            registry: registry.to_string(),
            repository,
            tag: tag.to_string(),
        })
    }
}

/// A host, and a port where there is one; a name alone is part of a repository, as it is to Docker.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let stands_out = host.contains('.') || port.is_some() || host == "localhost";
    stands_out && host.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Letters and digits, with a separator between: `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_well = |end: Option<u8>| end.is_some_and(alphanumeric);
    let mut separators = text.split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit());
    ends_well(text.bytes().next())
        && ends_well(text.bytes().last())
        && separators
            .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let first = text.bytes().next().is_some_and(word);
    first && text.len() <= MAX_TAG && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Reference, Unreadable> {
        text.parse()
    }

    #[test]
    fn a_reference_names_registry_repository_and_tag() {
        for (text, whole, host) in [
            ("ghcr.io/a/egret-proxy:1.2", "ghcr.io/a/egret-proxy:1.2", "ghcr.io"),
            ("localhost:5000/p", "localhost:5000/p:0.1.0", "localhost:5000"),
            ("localhost/p:x", "localhost/p:x", "localhost"),
            (
                "registry:5000/a__b/c---d:V_1",
                "registry:5000/a__b/c---d:V_1",
                "registry:5000",
            ),
            ("docker.io/me/p:1", "docker.io/me/p:1", "registry-1.docker.io"),
            ("docker.io/p:1", "docker.io/library/p:1", "registry-1.docker.io"),
        ] {
            let reference = read(text).unwrap();
            assert_eq!((reference.to_string().as_str(), reference.host()), (whole, host));
        }
        let digest = format!("sha256:{}", "a".repeat(64));
        let reference = read("ghcr.io/a/p:1").unwrap();
        assert_eq!(reference.by_digest(&digest), format!("ghcr.io/a/p@{digest}"));
    }

    #[test]
    fn what_names_no_image_in_a_registry_is_refused() {
        for text in [
            "",
            "egret-proxy",
            "me/egret-proxy:1",
            "ghcr.io",
            "ghcr.io/",
            "ghcr.io//p",
            "ghcr.io/P",
            "ghcr.io/a..b",
            "ghcr.io/a___b",
            "ghcr.io/-a",
            "ghcr.io/a:",
            "ghcr.io/a:b:c",
            "ghcr.io/a:-b",
            "ghcr.io/a/../b",
            "ghcr.io/a b",
            "user@ghcr.io/a",
            "ghcr.io/a@sha256:b",
            "ghcr.io:0/a",
            "ghcr.io:99999/a",
            "-x.io/a",
            "--output=x.y/a b",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
