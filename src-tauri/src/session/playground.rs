//! The bundled example folder. The bundle itself is never edited: the first run copies it to the app's data directory,
//! and that copy is what the app opens.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::fault::{Fault, Result};

/// Folder with the playground's policy: beside the installed app, or in the source tree of a development build.
pub fn bundled_playground(resources: Option<&Path>) -> Option<PathBuf> {
    let installed = resources.map(|resources| resources.join("playground"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy-core/examples/playground");
    installed.into_iter().chain([source]).find(|folder| folder.is_dir())
}

/// The user's own copy of the playground below `data`, made from `bundle` where there is none.
pub fn own_copy(bundle: &Path, data: &Path) -> Result<PathBuf> {
    let own = data.join("playground");
    if !own.exists() {
        // Copied under another name and then moved, so that a copy cut short is never taken for a whole one.
        let partial = data.join(".playground.partial");
        let copied = (|| -> io::Result<()> {
            if partial.exists() {
                fs::remove_dir_all(&partial)?;
            }
            copy(bundle, &partial)?;
            fs::rename(&partial, &own)
        })();
        copied.map_err(|error| Fault::file("copy the playground to", &own, &error))?;
    }
    Ok(own)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            // Contents only: the bundle may be read-only, the copy must not be.
            fs::write(&target, fs::read(entry.path())?)?;
        }
    }
    Ok(())
}
