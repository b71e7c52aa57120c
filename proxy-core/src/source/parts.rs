//! A file in parts: what is too large for one ConfigMap is in several, mounted in one folder. Each of them comes there by
//! itself, so that parts of two versions may lie side by side for a while. `NAME.parts` says which files NAME is made of, and
//! its digest: nothing else is ever taken for NAME.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::reading::{SourceError, unreadable};
use crate::yaml;

/// What a list of parts is called behind the name of what they are parts of.
pub(super) const EXTENSION: &str = "parts";

/// The text of `NAME.parts`, where `whole` is what the files of these names are together, in this order.
pub fn list_of_parts<'n>(whole: &[u8], names: impl IntoIterator<Item = &'n str>) -> String {
    let mut text = digest(whole) + "\n";
    for name in names {
        text.push_str(name);
        text.push('\n');
    }
    text
}

/// What the file at `path` says, or the parts that it lists.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, SourceError> {
    let bytes = start(path).map_err(|error| unreadable(path, &error))?;
    if !is_list(path) {
        return Ok(bytes);
    }
    let incomplete = || SourceError::Incomplete(path.to_path_buf());
    let text = str::from_utf8(&bytes).map_err(|_| incomplete())?;
    let (digest_of_all, names) = text.split_once('\n').ok_or_else(incomplete)?;
    let mut whole = Vec::new();
    for name in names.lines() {
        // A part lies beside its list.
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(incomplete());
        }
        let part = start(&path.with_file_name(name)).map_err(|_| incomplete())?;
        whole.extend_from_slice(&part);
        if whole.len() > yaml::MAX_BYTES {
            return Err(incomplete());
        }
    }
    match digest(&whole) == digest_of_all {
        true => Ok(whole),
        false => Err(incomplete()),
    }
}

/// What a file says, or of a huge one no more than that it is too large: it must not take all memory to find that out.
fn start(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    // A byte more than is read, so that the reader says that it is too much.
    let most = yaml::MAX_BYTES as u64 + 1;
    bytes.reserve_exact(file.metadata()?.len().min(most) as usize);
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn is_list(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == EXTENSION)
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter()
        .fold("sha256:".to_string(), |text, byte| text + &format!("{byte:02x}"))
}
