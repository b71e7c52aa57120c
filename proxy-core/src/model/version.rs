//! Releases of Istio that policies are read for.

use std::{fmt, str::FromStr};

/// A release of Istio 1, by its minor version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IstioVersion(u8);

/// Older ones are known as one generation, that of 1.4.
const OLDEST: u8 = 20;

impl IstioVersion {
    /// The newest release that is known, and the one that is taken where nothing says another.
    pub const NEWEST: Self = Self(32);
    /// The generation before istiod.
    pub const LEGACY: Self = Self(4);

    /// All that are known, the newest first.
    pub fn all() -> impl Iterator<Item = Self> {
        let numbered = (OLDEST..=Self::NEWEST.0).rev().map(Self);
        numbered.chain([Self::LEGACY])
    }

    /// Istio 1.`minor`.
    pub const fn minor(minor: u8) -> Self {
        Self(minor)
    }

    /// The release that the label of a chart or the tag of an image tells, such as `1.24.3`; newer ones than are known count
    /// as the newest. `None` for builds without a release, whose charts say 1.0.0, and for anything else.
    pub fn found(text: &str) -> Option<Self> {
        let mut parts = text.trim_start_matches('v').split(['.', '-']);
        let minor: u8 = match (parts.next(), parts.next()) {
            (Some("1"), Some(minor)) => minor.parse().ok()?,
            _ => return None,
        };
        (minor >= OLDEST).then(|| Self(minor).min(Self::NEWEST))
    }
}

impl Default for IstioVersion {
    fn default() -> Self {
        Self::NEWEST
    }
}

impl fmt::Display for IstioVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

/// Where the release of a mesh config is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VersionSource {
    /// Its annotation [`VERSION_ANNOTATION`].
    Annotation,
    /// The label that its chart gave it, [`VERSION_LABEL`].
    Label,
    /// Nothing says it: the newest that is known is taken.
    #[default]
    Assumed,
}

/// Says which release of Istio a folder's mesh config is for.
pub const VERSION_ANNOTATION: &str = "egret.dev/istio-version";
/// What Istio's charts say of themselves.
pub const VERSION_LABEL: &str = "app.kubernetes.io/version";

/// Why a version cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version that is known: 1.20 to {newest}, or 1.4 for the generation before istiod", newest = IstioVersion::NEWEST)]
pub struct UnknownVersion(String);

impl FromStr for IstioVersion {
    type Err = UnknownVersion;

    /// `1.24`, or with a patch `1.24.3`.
    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let unknown = || UnknownVersion(text.to_string());
        let (major, rest) = text.split_once('.').ok_or_else(unknown)?;
        let (minor, patch) = rest.split_once('.').unwrap_or((rest, "0"));
        let known = |minor: &u8| *minor == Self::LEGACY.0 || (OLDEST..=Self::NEWEST.0).contains(minor);
        match (major, minor.parse().ok().filter(known), patch.parse::<u32>()) {
            ("1", Some(minor), Ok(_)) => Ok(Self(minor)),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_known_by_their_minor_version() {
        for (text, version) in [("1.24", Some("1.24")), ("1.20.7", Some("1.20")), ("1.4", Some("1.4"))] {
            assert_eq!(
                text.parse::<IstioVersion>().ok().map(|own| own.to_string()).as_deref(),
                version
            );
        }
        for text in ["1.19", "1.33", "2.0", "1", "", "1.24.x", "v1.24"] {
            assert!(text.parse::<IstioVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_release_that_is_listed_is_known_by_its_name() {
        let all: Vec<IstioVersion> = IstioVersion::all().collect();
        assert_eq!(
            (all[0], all[all.len() - 1]),
            (IstioVersion::NEWEST, IstioVersion::LEGACY)
        );
        for version in all {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
    }

    #[test]
    fn what_is_found_on_a_cluster_may_be_newer_than_what_is_known_or_no_release() {
        let found = |text| IstioVersion::found(text).map(|version| version.to_string());
        assert_eq!(found("1.24.3-distroless").as_deref(), Some("1.24"));
        assert_eq!(found("1.40.0").as_deref(), Some("1.32"));
        assert_eq!((found("1.0.0"), found("latest")), (None, None));
    }
}
