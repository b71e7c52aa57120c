//! Differences that are known, with their reasons: `tests/mesh/DIFFERENCES.md`.

use std::{collections::BTreeSet, fs, path::Path};

use crate::judge::Difference;

/// The kinds of differences that are listed.
pub struct Known(BTreeSet<String>);

impl Known {
    /// Reads the list: table rows that begin with the difference's kind in backquotes.
    pub fn read() -> Result<Self, String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("mesh/DIFFERENCES.md");
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let rows = text
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        Ok(Self(rows.map(|(kind, _)| kind.to_string()).collect()))
    }

    /// True where `difference` is listed.
    pub fn lists(&self, difference: &Difference) -> bool {
        self.lists_kind(&difference.kind())
    }

    /// True where differences of `kind` are listed.
    pub fn lists_kind(&self, kind: &str) -> bool {
        self.0.contains(kind)
    }
}
