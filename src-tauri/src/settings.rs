//! What a person sets once for all sources, kept in the app's own data.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use proxy_core::model::IstioVersion;
use serde::{Deserialize, Serialize};

use crate::{
    cluster::check_reference,
    fault::{Fault, Result},
};

/// An image with curl and sleep, by its version, so that it is the same one tomorrow.
pub const DEFAULT_PROBE_IMAGE: &str = "docker.io/curlimages/curl:8.16.0";

/// As it is written. What a file does not say keeps its default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Kept {
    probe_image: Option<String>,
    /// The release of Istio to decide for, by the place that it was chosen for.
    istio_versions: BTreeMap<String, String>,
}

/// The settings, in `settings.json`.
#[derive(Debug)]
pub struct Settings {
    file: PathBuf,
    kept: Mutex<Kept>,
}

impl Settings {
    /// Reads what is kept below `data`. A file that cannot be read is as good as none: the defaults hold.
    pub fn open(data: &Path) -> Self {
        let file = data.join("settings.json");
        let kept = fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            file,
            kept: Mutex::new(kept.unwrap_or_default()),
        }
    }

    /// The image that test requests bring along where a workload has no curl.
    pub fn probe_image(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.probe_image.clone().unwrap_or_else(|| DEFAULT_PROBE_IMAGE.into())
    }

    /// Keeps another image; the default one is kept as none, so that a newer Egret's default takes its place.
    pub fn set_probe_image(&self, image: &str) -> Result<()> {
        check_reference(image, DEFAULT_PROBE_IMAGE)?;
        self.keep(|kept| kept.probe_image = (image != DEFAULT_PROBE_IMAGE).then(|| image.to_string()))
    }

    /// The release of Istio that was chosen for `place`. One that is not known any more is as good as none.
    pub fn istio_version(&self, place: &str) -> Option<IstioVersion> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.istio_versions.get(place)?.parse().ok()
    }

    /// Keeps the choice for `place`; none is what the place itself says.
    pub fn set_istio_version(&self, place: &str, version: Option<IstioVersion>) -> Result<()> {
        self.keep(|kept| {
            match version {
                Some(version) => kept.istio_versions.insert(place.to_string(), version.to_string()),
                None => kept.istio_versions.remove(place),
            };
        })
    }

    fn keep(&self, change: impl FnOnce(&mut Kept)) -> Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = kept.clone();
        change(&mut wanted);
        let text = serde_json::to_vec_pretty(&wanted).map_err(|error| Fault::new("settings", error.to_string()))?;
        // Written whole, then put in place: an app that is killed leaves the old file.
        let part = self.file.with_extension("part");
        fs::write(&part, text)
            .and_then(|()| fs::rename(&part, &self.file))
            .map_err(|error| Fault::file("write", &self.file, &error))?;
        *kept = wanted;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_kept_for_the_next_start() {
        let data = tempfile::tempdir().unwrap();
        let settings = Settings::open(data.path());
        assert_eq!(settings.probe_image(), DEFAULT_PROBE_IMAGE);
        settings
            .set_probe_image("registry.corp:5000/tools/curl:8@sha256:ab")
            .unwrap();
        let again = Settings::open(data.path());
        assert_eq!(again.probe_image(), "registry.corp:5000/tools/curl:8@sha256:ab");
        again.set_probe_image(DEFAULT_PROBE_IMAGE).unwrap();
        assert_eq!(Settings::open(data.path()).probe_image(), DEFAULT_PROBE_IMAGE);
    }

    #[test]
    fn the_release_to_decide_for_is_kept_for_each_place_beside_the_image() {
        let data = tempfile::tempdir().unwrap();
        let settings = Settings::open(data.path());
        settings.set_probe_image("registry.corp/curl:8").unwrap();
        settings.set_istio_version("/a", Some(IstioVersion::minor(24))).unwrap();
        let again = Settings::open(data.path());
        assert_eq!(again.istio_version("/a"), Some(IstioVersion::minor(24)));
        assert_eq!(again.istio_version("/b"), None);
        again.set_istio_version("/a", None).unwrap();
        let again = Settings::open(data.path());
        assert_eq!(
            (again.istio_version("/a"), again.probe_image().as_str()),
            (None, "registry.corp/curl:8")
        );
    }

    #[test]
    fn what_is_no_reference_is_refused_and_a_broken_file_is_as_none() {
        let data = tempfile::tempdir().unwrap();
        let settings = Settings::open(data.path());
        for wrong in ["", "a b", "curl;rm", "a\nb", &"a".repeat(513)] {
            assert_eq!(settings.set_probe_image(wrong).unwrap_err().code, "image", "{wrong:?}");
        }
        fs::write(data.path().join("settings.json"), "{").unwrap();
        assert_eq!(Settings::open(data.path()).probe_image(), DEFAULT_PROBE_IMAGE);
    }
}
