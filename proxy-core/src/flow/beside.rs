//! Another policy beside the one in force, which decides everything too and changes nothing.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::policy::{Compared, Facts, FirstBytes, Snapshot};

/// The other policy; nothing where there is none.
#[derive(Debug, Clone, Default)]
pub struct Beside(Arc<ArcSwapOption<Snapshot>>);

impl Beside {
    /// From now on this one; `None` ends it.
    pub fn put(&self, other: Option<Snapshot>) {
        self.0.store(other.map(Arc::new));
    }

    /// What it makes of what `in_force` decides; `None` where there is none.
    pub fn compare(&self, in_force: &Snapshot, facts: &Facts<'_>, first_bytes: FirstBytes) -> Option<Box<Compared>> {
        let other = self.0.load();
        let other = other.as_ref()?;
        Some(Box::new(Compared::of(in_force, other, facts, first_bytes)))
    }
}
