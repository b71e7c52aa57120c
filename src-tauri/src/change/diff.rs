//! Unified diffs for the windows.

use similar::{ChangeTag, TextDiff};

use super::{Store, write::FileEdit};
use crate::dto::{DiffHunk, DiffLine, FileDiff, FileState, Sign};

/// Lines shown around a change.
const CONTEXT: usize = 3;

/// The diff of one file, with the command that does the same to `store`.
pub fn file_diff(store: &dyn Store, edit: &FileEdit) -> FileDiff {
    let state = match (&edit.before, &edit.after) {
        (None, _) => FileState::Added,
        (_, None) => FileState::Deleted,
        _ => FileState::Changed,
    };
    let old = String::from_utf8_lossy(edit.before.as_deref().unwrap_or_default());
    let new = String::from_utf8_lossy(edit.after.as_deref().unwrap_or_default());
    FileDiff {
        file: edit.file.clone(),
        state,
        hunks: hunks(&old, &new),
        command: store.command(edit),
    }
}

fn hunks(old: &str, new: &str) -> Vec<DiffHunk> {
    let diff = TextDiff::from_lines(old, new);
    let mut unified = diff.unified_diff();
    let hunks = unified.context_radius(CONTEXT).iter_hunks();
    hunks
        .map(|hunk| DiffHunk {
            header: hunk.header().to_string(),
            lines: hunk
                .iter_changes()
                .map(|change| DiffLine {
                    sign: match change.tag() {
                        ChangeTag::Equal => Sign::Same,
                        ChangeTag::Insert => Sign::Added,
                        ChangeTag::Delete => Sign::Removed,
                    },
                    old: change.old_index().map(|index| index + 1),
                    new: change.new_index().map(|index| index + 1),
                    text: change.value().trim_end_matches(['\n', '\r']).to_string(),
                })
                .collect(),
        })
        .collect()
}
