//! The edits that wait, and what is to be known of them.

use super::{Proposal, proposal::Base, refusal::Refused};
use crate::{
    dto::{Edit, StagedEdit},
    fault::Result,
    session::View,
};

/// What waits for Apply.
#[derive(Debug, Default)]
pub(super) struct Set {
    pub edits: Vec<StagedEdit>,
    /// Files that the edits touch, as they were when they were staged.
    pub base: Base,
    pub next: u64,
    /// What the last Apply was refused for.
    pub refused: Vec<Refused>,
}

impl Set {
    /// The edits alone.
    pub fn plain(&self) -> Vec<Edit> {
        self.edits.iter().map(|staged| staged.edit.clone()).collect()
    }

    /// Drops the edits that touch a file of which `gone` is true.
    pub fn drop_where(&mut self, view: &View, gone: impl Fn(&StagedEdit, &str) -> bool) -> Result<()> {
        let touched = Proposal::of(view, &self.base, &self.plain())?.touched;
        let mut touched = touched.into_iter();
        self.edits.retain(|staged| {
            let files = touched.next().unwrap_or_default();
            !files.iter().any(|file| gone(staged, file))
        });
        self.trim(view)
    }

    /// Forgets the text of files that no edit touches any more.
    pub fn trim(&mut self, view: &View) -> Result<()> {
        let proposal = Proposal::of(view, &self.base, &self.plain())?;
        self.base
            .retain(|file, _| proposal.touched.iter().flatten().any(|touched| touched == file));
        Ok(())
    }
}
