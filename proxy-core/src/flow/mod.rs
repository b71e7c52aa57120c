//! One connection from accept to record: tell what it is, decide, forward or refuse, write down what happened.
//! Joins `sniff` and `net`, which know nothing of policy, with `policy`, which knows nothing of sockets.

mod beside;
mod body;
mod breaker;
mod choice;
mod connection;
mod explicit;
mod grpc;
mod headers;
mod hosts;
mod http;
mod outlier;
mod pool;
mod proxied;
mod proxy_header;
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

pub use beside::Beside;
pub use breaker::Breakers;
pub use connection::{captured, opened};
pub use explicit::explicit;
pub use hosts::{EjectedHost, Ejections, Hosts};
#[cfg(fuzzing)]
pub use http::assert_heads_read_the_same;

use crate::{
    net::{Dialer, Originator, Resolver},
    policy::{Decision, Snapshot, Verdict},
    record::WorkerRecorder,
};

/// What policy is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Enforcement {
    /// It decides what becomes of traffic.
    #[default]
    Enforce,
    /// Everything passes, and is recorded with the verdict that it would get.
    Observe,
}

/// The policy that workers decide by, and what it is there for.
#[derive(Debug, Clone)]
pub struct InForce {
    /// Swapped whole when there is another one.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Whether it decides what becomes of traffic.
    pub enforcement: Enforcement,
    /// Another one that is compared with.
    pub beside: Beside,
}

/// What all workers know of clusters.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// How much goes on with those that have limits.
    pub breakers: Arc<Breakers>,
    /// Their endpoints.
    pub hosts: Arc<Hosts>,
}

/// What every connection of one worker uses. Nothing in it is shared with other workers but the snapshot, counters of
/// clusters that have limits, what is known of endpoints that are chosen among, and names that could not be resolved.
#[derive(Debug)]
pub struct Worker {
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    enforcement: Enforcement,
    beside: Beside,
    pub(crate) dialer: Dialer,
    pub(crate) resolver: Resolver,
    originator: Originator,
    pub(crate) recorder: WorkerRecorder,
    pool: RefCell<pool::Pool>,
    multiplexed: RefCell<http::Connections>,
    breaking: breaker::Breaking,
    choosing: choice::Choosing,
    /// The name of this machine, which header edits may ask for.
    hostname: String,
    /// State of the generator for draws and request ids.
    random: Cell<u64>,
    draining: Cell<bool>,
    drain_begins: Notify,
}

impl Worker {
    /// A worker that decides by `policy`.
    pub fn new(
        policy: InForce,
        dialer: Dialer,
        resolver: Resolver,
        originator: Originator,
        recorder: WorkerRecorder,
        shared: Shared,
        seed: u64,
    ) -> Rc<Self> {
        Rc::new(Self {
            snapshot: policy.snapshot,
            enforcement: policy.enforcement,
            beside: policy.beside,
            dialer,
            resolver,
            originator,
            recorder,
            pool: RefCell::default(),
            multiplexed: RefCell::default(),
            breaking: breaker::Breaking::new(shared.breakers),
            choosing: choice::Choosing::new(shared.hosts),
            hostname: hostname(),
            random: Cell::new(seed | 1),
            draining: Cell::new(false),
            drain_begins: Notify::new(),
        })
    }

    /// True where nothing may be held up or refused.
    fn observes(&self) -> bool {
        self.enforcement == Enforcement::Observe
    }

    /// What is done about a decision, and the verdict that it would have had where that is something else.
    fn carry_out<'s>(&self, snapshot: &'s Snapshot, decision: Decision<'s>) -> (Decision<'s>, Option<Verdict>) {
        match self.enforcement {
            Enforcement::Enforce => (decision, None),
            Enforcement::Observe => (snapshot.let_through(&decision), Some(decision.verdict)),
        }
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

/// The name of this machine; nothing where the kernel does not tell it.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim_end().to_string()
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
