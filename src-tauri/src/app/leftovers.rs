//! Changes of places that no window has open, and that nobody kept before the app, or the window, was closed: they are
//! taken back where the person chose that, without anybody having to open the place.

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
        let mut places = self.changes.left_elsewhere()?;
        places.retain(|place| self.shared.claims.window_of(place).is_none());
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
            return self.recover(&folder);
        }
        let target = self.target_of(place)?;
        let cluster = Cluster::open(&target, &self.shared.mirrors.next(), || {}, &Attempt::default())?;
        if cluster.name() != place {
            return Err(Fault::new("missing", format!("{place} is another cluster now.")));
        }
        self.recover(&*cluster)
    }

    /// Nothing is done in a place that a window has: opening it has taken back what was left there.
    fn recover(&self, store: &dyn Store) -> Result<Vec<String>> {
        match self.shared.claims.take_unheld(&store.name()) {
            Some(_claim) => Journal::open(&self.shared.database(), store)?.recover(store),
            None => Ok(Vec::new()),
        }
    }

    /// The context that leads to the cluster that the journal calls `place`, unless a program must be allowed first.
    fn target_of(&self, place: &str) -> Result<Target> {
        for file in self.shared.kubeconfigs.list() {
            for (context, asks) in file.contexts.unwrap_or_default() {
                let name = Cluster::journal_name(&context.name, &context.server);
                if name.trim_end_matches('/') == place.trim_end_matches('/') && !asks {
                    return self.shared.kubeconfigs.target(&file.id, &context.name);
                }
            }
        }
        Err(Fault::new("missing", format!("No context leads to {place}.")))
    }
}
