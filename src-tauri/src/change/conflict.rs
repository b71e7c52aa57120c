//! Files that another hand changed after an edit of them was staged: found, and settled by a person.

use super::{Changes, fix::found_again, proposal::Base, review::review, write::FileEdit};
use crate::{
    dto::{Conflict, Keep, Review},
    fault::Result,
    session::View,
    traffic::Traffic,
};

impl Changes {
    /// Settles a file that changed on disk since it was staged. Fixes are kept only where the checks say the same of the
    /// other hand's text.
    pub fn resolve(&self, view: &View, traffic: &Traffic, file: &str, keep: Keep) -> Result<Review> {
        let mut set = self.set();
        match keep {
            Keep::Mine => {
                let theirs = Base::from([(file.to_string(), view.store.read(file)?)]);
                set.edits = found_again(view, &theirs, &set.edits)?;
                set.base.extend(theirs);
            }
            Keep::Theirs => {
                set.drop_where(view, |_, touched| touched == file)?;
            }
        }
        self.told(set.edits.clone());
        review(view, traffic, &set)
    }
}

/// Files that are no longer what they were when they were staged.
pub fn conflicts(view: &View, files: &[FileEdit]) -> Result<Vec<Conflict>> {
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    let mut conflicts = Vec::new();
    for edit in files {
        let theirs = view.store.read(&edit.file)?;
        if theirs != edit.before {
            conflicts.push(Conflict {
                file: edit.file.clone(),
                base: text(&edit.before),
                mine: text(&edit.after),
                theirs: text(&theirs),
                by: view.store.changed_by(&edit.file),
            });
        }
    }
    Ok(conflicts)
}
