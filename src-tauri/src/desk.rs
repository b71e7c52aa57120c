//! All main windows of the app, each with a source of its own: a person watches production in one and edits staging in
//! another. Nothing here knows how a window is made; labels are all that is known of them.

use std::{
    collections::BTreeMap,
    mem,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::{
    app::{App, Opened, Ready, Refused, Shared, Source},
    dto::InWindow,
    events::{Event, Events},
    fault::{Fault, Result},
    session::{bundled_playground, first_folder},
    watch,
};

/// Where the app finds and keeps things.
pub struct Places {
    /// Folder to open, where one was named.
    pub folder: Option<PathBuf>,
    /// The package's resources.
    pub resources: Option<PathBuf>,
    /// The user's data of this app.
    pub data: PathBuf,
}

/// The windows and what they share.
pub struct Desk {
    shared: Arc<Shared>,
    tell: Tell,
    /// By label.
    apps: Mutex<BTreeMap<String, Arc<App>>>,
    /// Number of the next window; a label is never used twice, so that a closing window and a new one do not meet.
    next: AtomicU32,
    /// Windows that have closed and are not at their end yet.
    ending: Mutex<Vec<JoinHandle<()>>>,
}

/// Tells the window with this label, and its logs, of an event.
type Tell = Arc<dyn Fn(&str, Event) + Send + Sync>;

impl Desk {
    /// The desk with its first window, on the folder that was named, or else on the user's own copy of the playground.
    pub fn open(places: Places, tell: impl Fn(&str, Event) + Send + Sync + 'static) -> Result<(Arc<Self>, Arc<App>)> {
        let desk = Self {
            shared: Shared::open(&places.data)?,
            tell: Arc::new(tell),
            apps: Mutex::default(),
            next: AtomicU32::new(1),
            ending: Mutex::default(),
        };
        let bundle = bundled_playground(places.resources.as_deref());
        let folder = first_folder(places.folder, bundle, &places.data)?;
        let window = desk.label();
        let ready = Ready::folder(&desk.shared, &folder, &window).map_err(Refused::fault)?;
        let first = desk.seat(&window, ready)?;
        first.revert_elsewhere()?;
        Ok((Arc::new(desk), first))
    }

    /// The parts of the window with this label.
    pub fn app(&self, window: &str) -> Result<Arc<App>> {
        let app = self.apps().get(window).cloned();
        app.ok_or_else(|| Fault::new("closed", "The window was closed."))
    }

    /// Opens `source` as the window of `caller` asks: there or in a new window, unless another one has it.
    pub fn turn(&self, caller: &App, source: &Source, window: InWindow) -> Result<Opened> {
        let opened = match window {
            InWindow::This => caller.open(source),
            InWindow::New => self.open_new(caller, source),
        };
        if opened.is_err() {
            // What was left half done in a place is looked after by the window that opens it, which now is none.
            self.look_after_places();
        }
        self.tell_all();
        opened
    }

    fn open_new(&self, caller: &App, source: &Source) -> Result<Opened> {
        let window = self.label();
        match caller.ready(source, &window) {
            Ok(ready) => Ok(Opened::New(self.seat(&window, ready)?)),
            Err(refused) => refused.opened(),
        }
    }

    fn seat(&self, window: &str, ready: Ready) -> Result<Arc<App>> {
        let (tell, label) = (self.tell.clone(), window.to_string());
        let events = Events::new(move |event| tell(&label, event));
        let app = App::start(self.shared.clone(), window, ready, events)?;
        app.watch_countdowns()?;
        watch::end_access_logs(&app).map_err(|error| Fault::new("thread", error.to_string()))?;
        self.apps().insert(window.to_string(), app.clone());
        Ok(app)
    }

    fn label(&self) -> String {
        format!("main-{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The window with this label has closed. True where it was the last one.
    pub fn close(self: &Arc<Self>, window: &str) -> bool {
        let app = self.apps().remove(window);
        if let Some(app) = app {
            self.let_end(app);
        }
        self.apps().is_empty()
    }

    /// The app ends: so do all windows.
    pub fn end(self: &Arc<Self>) {
        let open = mem::take(&mut *self.apps());
        for app in open.into_values() {
            self.let_end(app);
        }
        let ending = mem::take(&mut *self.ending());
        for end in ending {
            // One that failed has nothing more to end.
            let _ = end.join();
        }
    }

    /// The end of a window may take as long as a cluster takes to answer: nobody waits for it but the app's own.
    fn let_end(self: &Arc<Self>, app: Arc<App>) {
        app.leave();
        let (desk, own) = (self.clone(), app.clone());
        let end = move || {
            own.end();
            desk.tell_all();
            // What could not be taken back, as where the cluster did not answer, is tried once more.
            desk.look_after_places();
        };
        let mut ending = self.ending();
        ending.retain(|end| !end.is_finished());
        match thread::Builder::new().name("end".into()).spawn(end) {
            Ok(end) => ending.push(end),
            Err(_) => app.end(),
        }
    }

    /// Takes back what was left in places that no window has.
    fn look_after_places(&self) {
        if let Some(any) = self.all().first() {
            // It is tried again when the place is opened, and at the next start.
            let _ = any.revert_elsewhere();
        }
    }

    /// What waits to be kept is told of places that no window has: which these are has changed.
    fn tell_all(&self) {
        for app in self.all() {
            app.events.send(Event::JournalChanged);
        }
    }

    fn all(&self) -> Vec<Arc<App>> {
        self.apps().values().cloned().collect()
    }

    // Both are changed by one insertion or removal.
    fn apps(&self) -> MutexGuard<'_, BTreeMap<String, Arc<App>>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ending(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
