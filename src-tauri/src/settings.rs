//! What a person sets once for all sources, kept in the app's own data.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Result};

/// An image with curl and sleep, by its version, so that it is the same one tomorrow.
pub const DEFAULT_PROBE_IMAGE: &str = "docker.io/curlimages/curl:8.16.0";
/// Longest reference of an image; registries take less.
const MAX_IMAGE: usize = 512;

/// As it is written. What a file does not say keeps its default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Kept {
    probe_image: Option<String>,
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
        check_image(image)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = Kept {
            probe_image: (image != DEFAULT_PROBE_IMAGE).then(|| image.to_string()),
        };
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

/// The letters of a reference, not its grammar: a registry's own words about a wrong one are better than ours.
fn check_image(image: &str) -> Result<()> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/:@".contains(letter);
    if image.is_empty() || image.len() > MAX_IMAGE || !image.chars().all(plain) {
        return Err(Fault::new("image", format!("{image:?} is no reference of an image."))
            .hint(format!("It looks like {DEFAULT_PROBE_IMAGE}.")));
    }
    Ok(())
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
