//! Changes of other places than the open one that nobody kept before the app was closed: they are taken back at the next
//! start, where the person chose that, without anybody having to open the place.

use std::{path::PathBuf, sync::Arc, thread};

use super::App;
use crate::{
    change::{Journal, Store},
    cluster::{Attempt, Cluster, Target},
    events::Event,
    fault::{Fault, Result},
};

impl App {
    /// Looks after them, away from everything that waits for the app.
    pub fn revert_elsewhere(self: &Arc<Self>) -> Result<()> {
        let places = self.changes.left_elsewhere()?;
        if places.is_empty() {
            return Ok(());
        }
        let app = self.clone();
        let revert = move || {
            for place in places {
                // What cannot be reached now stays, is shown, and is taken back when the place is opened.
                if let Ok(told) = app.revert_in(&place) {
                    app.changes.tell(told);
                    app.events.send(Event::JournalChanged);
                }
            }
        };
        thread::Builder::new()
            .name("leftovers".into())
            .spawn(revert)
            .map_err(|error| Fault::new("thread", error.to_string()))?;
        Ok(())
    }

    fn revert_in(&self, place: &str) -> Result<Vec<String>> {
        let folder = PathBuf::from(place);
        if folder.is_dir() {
            return Journal::open(&self.database, &folder)?.recover(&folder);
        }
        let target = self.target_of(place)?;
        let cluster = Cluster::open(&target, &self.mirrors.next(), || {}, &Attempt::default())?;
        if cluster.name() != place {
            return Err(Fault::new("missing", format!("{place} is another cluster now.")));
        }
        Journal::open(&self.database, &*cluster)?.recover(&*cluster)
    }

    /// The context that leads to the cluster that the journal calls `place`, unless a program must be allowed first.
    fn target_of(&self, place: &str) -> Result<Target> {
        for file in self.kubeconfigs.list() {
            for (context, asks) in file.contexts.unwrap_or_default() {
                let name = Cluster::journal_name(&context.name, &context.server);
                if name.trim_end_matches('/') == place.trim_end_matches('/') && !asks {
                    return self.kubeconfigs.target(&file.id, &context.name);
                }
            }
        }
        Err(Fault::new("missing", format!("No context leads to {place}.")))
    }
}
