//! What the files said for whoever made the edits: what another hand has made of them since is a conflict.

use std::collections::btree_map::Entry;

use proxy_core::source::edit;

use super::{Proposal, journal::Journal, proposal::Base};
use crate::{dto::Edit, fault::Result, session::View};

/// Notes the files that `edits` touch as whoever made them has seen them: when the object was opened, else now. What
/// became of them by changes that were applied here has been seen too.
pub fn see(journal: &Journal, view: &View, (edits, proposal): (&[Edit], &Proposal), base: &mut Base) -> Result<()> {
    for (edit, touched) in edits.iter().zip(&proposal.touched) {
        for file in touched {
            let Entry::Vacant(unseen) = base.entry(file.clone()) else {
                continue;
            };
            let now = view.store.read(file)?;
            let text = match seen(view, edit, &now)? {
                Some(seen) if !journal.leads(file, &seen, &now)? => seen,
                _ => now,
            };
            unseen.insert(text);
        }
    }
    Ok(())
}

/// The file as it was for the form that `edit` was made in; `None` where that was as it is `now`.
fn seen(view: &View, edit: &Edit, now: &Option<Vec<u8>>) -> Result<Option<Option<Vec<u8>>>> {
    let Edit::Put {
        object,
        namespace,
        name,
        base,
        ..
    } = edit
    else {
        return Ok(None);
    };
    if let Some(base) = base {
        return Ok(Some(Some(base.clone().into_bytes())));
    }
    // For a new object there was none of its name. Another hand may have made one since, or before.
    let text = now.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let kind = object.as_str();
    if edit::file_of(view.world(), kind, namespace, name).is_none() {
        return Ok(None);
    }
    let without = edit::delete_object(&text, kind, namespace, name)?;
    Ok(Some(without.map(String::into_bytes)))
}
