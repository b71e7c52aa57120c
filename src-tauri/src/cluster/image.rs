//! What the name of an image says.

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
}
