//! Opening a source, in this window or for a new one. It is made ready first: found or connected to, and claimed. What is
//! open stays open until then.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, MutexGuard, OnceLock, PoisonError},
};

use super::{
    App, Shared,
    claims::{Claim, Elsewhere},
};
use crate::{
    cluster::Cluster,
    dto::{FlowsAdded, SourceState},
    events::Event,
    fault::{Fault, Result},
    session::{self, Origin},
};

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Folder(PathBuf),
    /// A context of the kubeconfig that the windows know as `file`.
    Context {
        file: String,
        name: String,
    },
}

/// What came of it.
#[derive(Debug)]
pub enum Opened {
    /// It is open in the window that asked.
    Here(Box<SourceState>),
    /// The window with this label has it already.
    Elsewhere(String),
    /// It is open here, and no window shows it yet.
    New(Arc<App>),
}

/// Why a source cannot be opened.
#[derive(Debug)]
pub enum Refused {
    /// The window with this label has it.
    Elsewhere(String),
    Fault(Fault),
}

impl From<Elsewhere> for Refused {
    fn from(Elsewhere(window): Elsewhere) -> Self {
        Self::Elsewhere(window)
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Refused {
    /// A window that has it is as good as one that opens it.
    pub fn opened(self) -> Result<Opened> {
        match self {
            Self::Elsewhere(window) => Ok(Opened::Elsewhere(window)),
            Self::Fault(fault) => Err(fault),
        }
    }

    /// Where no other window will do.
    pub fn fault(self) -> Fault {
        match self {
            Self::Elsewhere(_) => Fault::new("elsewhere", "Another window has it open."),
            Self::Fault(fault) => fault,
        }
    }
}

/// A source that can be opened in one window.
pub struct Ready {
    pub(super) origin: Origin,
    pub(super) claim: Claim,
    pub(super) listener: Listener,
}

impl Ready {
    /// A folder that is there.
    pub fn folder(shared: &Shared, folder: &Path, window: &str) -> Result<Self, Refused> {
        let origin = session::folder(folder)?;
        Ok(Self {
            claim: shared.claims.take(&origin.store().name(), window)?,
            origin,
            listener: Listener::default(),
        })
    }
}

/// Whom a cluster tells how its watches stand: the session that it is opened in, once there is one.
#[derive(Clone, Default)]
pub(super) struct Listener(Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>);

impl Listener {
    pub fn call(&self) {
        if let Some(listener) = self.0.get() {
            listener();
        }
    }

    pub fn set(&self, listener: impl Fn() + Send + Sync + 'static) {
        // A source is opened once.
        let _ = self.0.set(Box::new(listener));
    }
}

impl App {
    /// Turns to another source, unless another window has it.
    pub fn open(&self, source: &Source) -> Result<Opened> {
        match self.ready(source, &self.window) {
            Ok(ready) => Ok(Opened::Here(Box::new(self.turn_to(ready)?))),
            Err(refused) => refused.opened(),
        }
    }

    /// Makes a source ready for `window`. How connecting goes on is told in this one.
    pub fn ready(&self, source: &Source, window: &str) -> Result<Ready, Refused> {
        let (file, name) = match source {
            Source::Folder(folder) => return Ready::folder(&self.shared, folder, window),
            Source::Context { file, name } => (file, name),
        };
        let target = self.shared.kubeconfigs.target(file, name)?;
        let place = Cluster::journal_name(&target.context.name, &target.context.server);
        let claims = &self.shared.claims;
        // Before a program asks a person to log in for nothing.
        let _until_connected = claims.take(&place, window)?;
        let listener = Listener::default();
        let cluster = self.connect(&target, {
            let listener = listener.clone();
            move || listener.call()
        })?;
        let origin = Origin::Cluster(cluster);
        // The kubeconfig may have changed meanwhile: what counts is where it led to.
        Ok(Ready {
            claim: claims.take(&origin.store().name(), window)?,
            origin,
            listener,
        })
    }

    /// Turns to a source: what ran and what was staged for the old one ends. What was left half done in the new one is
    /// settled first, and that must not meet what this window is writing there: it may be the same place, opened anew.
    fn turn_to(&self, ready: Ready) -> Result<SourceState> {
        self.while_still(|| {
            self.changes.settled(&*self.view().store)?;
            let version = self.shared.version_for(&ready.origin);
            let state = self.session.open(ready.origin, version)?;
            ready.listener.set(self.session.announcer());
            // The old place is free once nothing here works in it any more.
            let _old = self.claim().replace(ready.claim);
            self.bringing.cancel();
            self.stop_sandbox();
            self.deployment.end();
            self.delivery.end();
            self.clear_traffic();
            self.verify.forget();
            self.changes.turn_to(&self.shared.database(), &*self.view().store)?;
            self.events.send(Event::JournalChanged);
            self.follow();
            Ok(state)
        })
    }

    /// Forgets all flows, and tells the windows to.
    pub fn clear_traffic(&self) {
        self.traffic.clear();
        self.events.send(Event::FlowsAdded(FlowsAdded {
            last_id: self.traffic.last_id(),
            added: 0,
            dropped: self.traffic.dropped(),
        }));
    }

    /// Follows the logs and the pods of the open cluster, where it is one.
    pub(super) fn follow(&self) {
        let view = self.view();
        let Some(cluster) = view.origin.cluster() else { return };
        let events = self.events.clone();
        cluster.follow_logs(self.traffic.clone(), move || events.send(Event::LogsChanged));
        let events = self.events.clone();
        cluster.announce_pods(move || events.send(Event::PodsChanged));
    }

    pub(super) fn claim(&self) -> MutexGuard<'_, Option<Claim>> {
        // It is replaced whole.
        self.claim.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
