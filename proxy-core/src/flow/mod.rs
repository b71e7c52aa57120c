//! One connection from accept to record: tell what it is, decide, forward or refuse, write down what happened.
//! Joins `sniff` and `net`, which know nothing of policy, with `policy`, which knows nothing of sockets.

mod body;
mod breaker;
mod connection;
mod explicit;
mod grpc;
mod headers;
mod http;
mod pool;
mod reply;
mod reset;
mod stream;
mod upstream;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

pub use breaker::Breakers;
pub use connection::captured;
pub use explicit::explicit;

use crate::{
    net::{Dialer, Originator, Resolver},
    policy::Snapshot,
    record::WorkerRecorder,
};

/// What every connection of one worker uses. Nothing in it is shared with other workers but the snapshot, and counters of
/// clusters that have limits.
#[derive(Debug)]
pub struct Worker {
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) dialer: Dialer,
    pub(crate) resolver: Resolver,
    originator: Originator,
    pub(crate) recorder: WorkerRecorder,
    pool: RefCell<pool::Pool>,
    multiplexed: RefCell<http::Connections>,
    breaking: breaker::Breaking,
    /// Turns with each connection, so that all addresses of a name are used.
    turn: Cell<usize>,
    /// State of the generator for draws and request ids.
    random: Cell<u64>,
    draining: Cell<bool>,
    drain_begins: Notify,
}

impl Worker {
    /// A worker that decides by `snapshot`.
    pub fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        dialer: Dialer,
        resolver: Resolver,
        originator: Originator,
        recorder: WorkerRecorder,
        breakers: Arc<Breakers>,
        seed: u64,
    ) -> Rc<Self> {
        Rc::new(Self {
            snapshot,
            dialer,
            resolver,
            originator,
            recorder,
            pool: RefCell::default(),
            multiplexed: RefCell::default(),
            breaking: breaker::Breaking::new(breakers),
            turn: Cell::new(0),
            random: Cell::new(seed | 1),
            draining: Cell::new(false),
            drain_begins: Notify::new(),
        })
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.recorder.open().count()
    }

    /// From now on responses ask callers to close, and connections that wait for a request end.
    pub fn drain(&self) {
        self.draining.set(true);
        self.drain_begins.notify_waiters();
    }

    /// Waits until draining begins.
    async fn drain_begun(&self) {
        let begins = self.drain_begins.notified();
        if !self.draining.get() {
            begins.await;
        }
    }

    fn next_turn(&self) -> usize {
        self.turn.replace(self.turn.get().wrapping_add(1))
    }

    /// A random number (xorshift): for load balancing and request ids, not for secrets.
    fn draw(&self) -> u64 {
        let mut state = self.random.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.random.set(state);
        state
    }
}

/// Counts a connection as open for as long as it lives.
struct Open(Rc<Worker>);

impl Open {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.recorder.open().add();
        Self(worker.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.recorder.open().remove();
    }
}
