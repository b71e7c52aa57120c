//! What the name of an image says.

use crate::fault::{Fault, Result};

/// Longest reference of an image; registries take less.
const MAX: usize = 512;

/// Refuses what cannot be a reference of an image; `example` is one. By its letters, not its grammar: a registry's own
/// words about a wrong one are better than ours.
pub fn check_reference(image: &str, example: &str) -> Result<()> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/:@".contains(letter);
    if image.is_empty() || image.len() > MAX || !image.chars().all(plain) {
        return Err(Fault::new("image", format!("{image:?} is no reference of an image."))
            .hint(format!("It looks like {example}.")));
    }
    Ok(())
}

/// The version in its tag, whatever the image was built on; `None` where only a digest is written.
pub fn version(image: &str) -> Option<String> {
    let name = image.split('@').next()?.rsplit('/').next()?;
    name.split_once(':').map(|(_, tag)| version_of_tag(tag))
}

/// The version in a tag: Istio's images come with and without a distribution beneath, in the same version.
pub fn version_of_tag(tag: &str) -> String {
    let plain = tag.trim_end_matches("-distroless").trim_end_matches("-debug");
    plain.to_string()
}

/// The registry that it names, as a runtime tells it from the first part of a path: by a dot or a port.
pub fn registry(image: &str) -> Option<&str> {
    let (first, _) = image.split_once('/')?;
    (first == "localhost" || first.contains(['.', ':'])).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_the_tag_and_not_from_the_registry_or_a_digest() {
        for (image, said) in [
            ("docker.io/istio/proxyv2:1.31.0-distroless", Some("1.31.0")),
            ("registry:5000/proxyv2:1.30.2@sha256:ab", Some("1.30.2")),
            ("registry:5000/proxyv2", None),
            ("proxyv2@sha256:ab", None),
        ] {
            assert_eq!(version(image).as_deref(), said, "{image}");
        }
    }

    #[test]
    fn a_registry_has_a_dot_or_a_port_and_anything_else_is_part_of_the_path() {
        for (image, named) in [
            ("registry.corp/shop/egret:1", Some("registry.corp")),
            ("registry:5000/egret:1", Some("registry:5000")),
            ("localhost/egret:1", Some("localhost")),
            ("myorg/egret:1", None),
            ("egret:1.2", None),
        ] {
            assert_eq!(registry(image), named, "{image}");
        }
    }
}
