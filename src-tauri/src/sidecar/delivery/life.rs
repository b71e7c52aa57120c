//! One delivery at a time: begun by a person, followed, called off, and remembered where it came to its end.

use std::{
    cell::Cell,
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak},
    time::{Duration, Instant},
};

use proxy_core::image::{
    Built,
    push::{Keyrings, Reference, Unreadable},
};
use tokio::{runtime, sync::Notify};

use super::{
    programs, search_path,
    tool::Run,
    ways::{Chosen, Ways},
};
use crate::{
    cluster::Cluster,
    dto::{DeliveryPhase, DeliveryState, DeliveryWay},
    events::{Event, Events},
    fault::{Fault, Result},
    sidecar::deploy::IMAGE,
};

/// Lines of a tool that are kept.
const LINES: usize = 40;
/// How often bytes are told.
const OFTEN: Duration = Duration::from_millis(150);

/// The one delivery of a window.
#[derive(Debug, Clone)]
pub struct Delivery {
    events: Events,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    /// One thing at a time.
    busy: Mutex<()>,
}

#[derive(Debug, Default)]
struct Inner {
    state: DeliveryState,
    log: VecDeque<String>,
    /// Of what is under way.
    cancel: Option<Arc<Notify>>,
    /// Whose nodes were given the image.
    brought: Option<Weak<Cluster>>,
    told: Option<Instant>,
    /// The window has left where it was begun.
    left: bool,
}

impl Inner {
    fn forget(&mut self) {
        self.state = DeliveryState::default();
        self.log.clear();
    }
}

impl Delivery {
    pub fn new(events: Events) -> Self {
        Self {
            events,
            shared: Arc::default(),
        }
    }

    /// How it stands.
    pub fn state(&self) -> DeliveryState {
        let inner = self.inner();
        let mut state = inner.state.clone();
        state.log = inner.log.iter().cloned().collect();
        state
    }

    /// The nodes of `cluster` were given the image since it was opened; they name it some time later.
    pub fn has_brought(&self, cluster: &Arc<Cluster>) -> bool {
        let brought = self.inner().brought.as_ref().and_then(Weak::upgrade);
        brought.is_some_and(|brought| Arc::ptr_eq(&brought, cluster))
    }

    /// Brings the image to the nodes of `cluster` with the tool of their distribution.
    pub fn load(&self, cluster: &Arc<Cluster>, ways: &Ways, way: DeliveryWay) -> Result<DeliveryState> {
        let place = tempfile::tempdir().map_err(|error| Fault::new("file", format!("No temporary folder: {error}")))?;
        let archive = place.path().join("egret-proxy.tar");
        let chosen = ways.chosen(way, &archive.to_string_lossy())?;
        let state = self.run(way, async |delivery| {
            delivery.through(&chosen, &programs::built()?, &archive).await?;
            delivery.inner().brought = Some(Arc::downgrade(cluster));
            Ok(IMAGE.to_string())
        });
        drop(place);
        state
    }

    /// Pushes the image to a registry. What comes of it names the image by its digest.
    pub fn push(&self, reference: &str) -> Result<DeliveryState> {
        let reference: Reference = reference
            .trim()
            .parse()
            .map_err(|fault: Unreadable| Fault::new("reference", fault.to_string()))?;
        let keyrings = Keyrings {
            path: Some(search_path()),
            ..Keyrings::of_user()
        };
        self.run(DeliveryWay::Registry, async |delivery| {
            delivery.to_registry(&programs::built()?, &reference, &keyrings).await
        })
    }

    /// Has a tool take the archive that is written for it.
    async fn through(&self, chosen: &Chosen, built: &Built, archive: &Path) -> Result<()> {
        let written = built.write(archive);
        written.map_err(|fault| Fault::new("image", fault.to_string()))?;
        let path = search_path();
        let run = Run {
            program: &chosen.program,
            arguments: &chosen.arguments,
            variables: &chosen.variables,
            path: &path,
        };
        let name = chosen.program.file_name().unwrap_or_default().to_string_lossy();
        self.step(&format!("{name} brings it to the nodes"), 0);
        run.end(|line| self.log(line)).await?;
        let Some(arguments) = &chosen.listing else {
            return Ok(());
        };
        let listed = Cell::new(false);
        let listing = Run { arguments, ..run };
        listing.end(|line| listed.set(listed.get() || line == IMAGE)).await?;
        // One that an earlier delivery brought is taken for this one.
        listed.get().then_some(()).ok_or_else(|| {
            let text = format!("{name} ended well, but {IMAGE} is not among the images that it lists.");
            Fault::new("tool", text).hint("Run the command in a terminal with --alsologtostderr to see why.")
        })
    }

    async fn to_registry(&self, built: &Built, reference: &Reference, keyrings: &Keyrings) -> Result<String> {
        self.step(&format!("pushed to {reference}"), built.size());
        let own = self.clone();
        let pushed = built.push(reference, keyrings, Arc::new(move |bytes| own.moved(bytes)));
        let pushed = pushed.await.map_err(|fault| Fault::new("push", fault.to_string()))?;
        self.log(&format!("{} for {}", pushed.by_digest, pushed.platforms.join(", ")));
        Ok(pushed.by_digest)
    }

    /// Calls off what is under way.
    pub fn cancel(&self) {
        if let Some(cancel) = &self.inner().cancel {
            cancel.notify_one();
        }
    }

    /// What was delivered is no longer of interest: the window has turned to another place, or closes.
    pub fn end(&self) {
        self.cancel();
        self.change(|inner| {
            inner.brought = None;
            inner.left = true;
            if inner.state.phase != DeliveryPhase::Running {
                inner.forget();
            }
        });
    }

    /// Does it, and says how it came out. The work gives the name by which pods find the image.
    fn run(&self, way: DeliveryWay, work: impl AsyncFnOnce(&Self) -> Result<String>) -> Result<DeliveryState> {
        let _alone = match self.shared.busy.try_lock() {
            Ok(alone) => alone,
            // What failed before guards nothing that could be half done.
            Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(
                    Fault::new("busy", "The image is being delivered already.").hint("Wait for it, or cancel it.")
                );
            }
        };
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Fault::new("internal", error.to_string()))?;
        let cancel = Arc::new(Notify::new());
        self.change(|inner| {
            inner.state = DeliveryState {
                phase: DeliveryPhase::Running,
                way: Some(way),
                text: "the image is made".into(),
                ..DeliveryState::default()
            };
            inner.log.clear();
            inner.left = false;
            inner.cancel = Some(cancel.clone());
        });
        let done = runtime.block_on(async {
            tokio::select! {
                done = work(self) => done,
                () = cancel.notified() => Err(called_off()),
            }
        });
        self.change(|inner| {
            inner.cancel = None;
            match done {
                _ if inner.left => inner.forget(),
                Ok(image) => {
                    inner.state.phase = DeliveryPhase::Done;
                    inner.state.sent = inner.state.total;
                    inner.state.image = Some(image);
                }
                Err(fault) => {
                    inner.state.phase = DeliveryPhase::Failed;
                    inner.state.fault = Some(fault);
                }
            }
        });
        Ok(self.state())
    }

    fn step(&self, text: &str, total: u64) {
        self.change(|inner| {
            inner.state.text = text.into();
            inner.state.total = total;
        });
    }

    fn log(&self, line: &str) {
        self.change(|inner| {
            if inner.log.len() == LINES {
                inner.log.pop_front();
            }
            inner.log.push_back(line.to_string());
        });
    }

    /// Some bytes are with the registry.
    fn moved(&self, bytes: u64) {
        let mut inner = self.inner();
        // What is sent again is not counted again.
        inner.state.sent = inner.state.sent.saturating_add(bytes).min(inner.state.total);
        if inner.told.is_some_and(|told| told.elapsed() < OFTEN) {
            return;
        }
        inner.told = Some(Instant::now());
        drop(inner);
        self.told();
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner());
        self.told();
    }

    fn told(&self) {
        self.events.send(Event::DeliveryChanged(Box::new(self.state())));
    }

    // Every change under the lock leaves a state that can be shown.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn called_off() -> Fault {
    Fault::new("stopped", "You called it off.").hint("What a registry or a node has of it by then does no harm.")
}

#[cfg(test)]
mod tests;
