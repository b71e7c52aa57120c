//! Unified diffs for the windows.

use similar::{ChangeTag, TextDiff};

use crate::dto::{DiffHunk, DiffLine, FileDiff, FileState, Sign};

/// Lines shown around a change.
const CONTEXT: usize = 3;

/// The diff of one file; `None` for a side that does not exist.
pub fn file_diff(file: &str, before: Option<&[u8]>, after: Option<&[u8]>) -> FileDiff {
    let (state, command) = match (before, after) {
        (None, _) => (FileState::Added, format!("kubectl apply --server-side -f {file}")),
        (_, None) => (FileState::Deleted, format!("kubectl delete -f {file}")),
        _ => (FileState::Changed, format!("kubectl apply --server-side -f {file}")),
    };
    let old = String::from_utf8_lossy(before.unwrap_or_default());
    let new = String::from_utf8_lossy(after.unwrap_or_default());
    FileDiff {
        file: file.to_string(),
        state,
        hunks: hunks(&old, &new),
        command,
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
