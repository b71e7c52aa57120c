//! Idle upstream connections of one worker, by address, TLS identity and what they begin with.

use std::{collections::HashMap, net::SocketAddr, rc::Rc, time::Duration};

use hyper::client::conn::http1::SendRequest;
use tokio::{
    sync::Notify,
    task,
    time::{self, Instant},
};

use super::{Worker, body::RequestBody, proxy_header::ProxyHeader};
use crate::{net::Server, policy::Cluster};

/// Idle connections kept for one address: as many as one worker can use at once without a queue growing elsewhere.
const PER_ADDRESS: usize = 256;

/// Idle connections kept in all.
const IN_ALL: usize = 2048;

/// Where policy says nothing Istio closes idle upstream connections after an hour, those of PassthroughCluster after five
/// minutes; the shorter one costs a reconnect at worst.
const IDLE: Duration = Duration::from_secs(300);

/// Connections are closed in batches no closer than this: to close one on time is not worth waking up for each.
const BATCH: Duration = Duration::from_millis(100);

/// A busy connection that is too old already is looked at no more often than this.
const BUSY: Duration = Duration::from_secs(1);

/// How long a connection may be kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdleLimits {
    /// For so long without a request; `None` is for ever.
    idle: Option<Duration>,
    /// And not longer than until then.
    until: Option<Instant>,
}

impl IdleLimits {
    /// Those of a connection to `cluster` that is opened at `now`.
    pub fn of(cluster: &Cluster, now: Instant) -> Self {
        let upkeep = cluster.settings.upkeep.as_deref();
        let idle = upkeep.and_then(|upkeep| upkeep.idle_timeout).unwrap_or(IDLE);
        let oldest = upkeep.and_then(|upkeep| upkeep.max_duration);
        Self {
            idle: (!idle.is_zero()).then_some(idle),
            until: oldest.map(|limit| now + limit),
        }
    }

    /// True where it is as old as it may become.
    pub fn is_too_old(self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// When to look again at one that is busy at `now`.
    pub fn next_look(self, now: Instant) -> Option<Instant> {
        self.end(now).map(|end| end.max(now + BUSY))
    }

    /// When one is closed that is idle from `now` on.
    pub fn end(self, now: Instant) -> Option<Instant> {
        let idle = self.idle.map(|idle| now + idle);
        idle.into_iter().chain(self.until).min()
    }
}

/// An upstream connection that can take a request.
#[derive(Debug)]
pub(super) struct Idle {
    pub sender: SendRequest<RequestBody>,
    pub local: Option<SocketAddr>,
    /// Requests that it has served.
    pub served: u32,
    pub limits: IdleLimits,
    /// When it is closed.
    end: Option<Instant>,
}

/// What two requests must share to use the same connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub address: SocketAddr,
    /// Whom TLS is spoken with, where it is.
    pub server: Option<Box<Server>>,
    /// The header that it begins with, where it has one: who has called whom.
    pub header: Option<Box<ProxyHeader>>,
}

/// The pool.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: HashMap<Key, Vec<Idle>>,
    count: usize,
    /// When somebody looks for what is too old, if anybody does.
    next_look: Option<Instant>,
    /// Tells who looks that it is sooner than that.
    sooner: Rc<Notify>,
}

impl Pool {
    /// The connection for `key` that was used last, if one is alive.
    pub fn take(&mut self, key: &Key) -> Option<Idle> {
        let list = self.idle.get_mut(key)?;
        let now = Instant::now();
        while let Some(idle) = list.pop() {
            self.count -= 1;
            if idle.sender.is_ready() && !idle.sender.is_closed() && idle.end.is_none_or(|end| now < end) {
                return Some(idle);
            }
        }
        self.idle.remove(key);
        None
    }

    /// Keeps a connection for the next request; beyond the bounds it is closed.
    pub fn put(
        &mut self,
        key: Key,
        sender: SendRequest<RequestBody>,
        local: Option<SocketAddr>,
        served: u32,
        limits: IdleLimits,
    ) {
        if sender.is_closed() || self.count >= IN_ALL {
            return;
        }
        let list = self.idle.entry(key).or_default();
        if list.len() < PER_ADDRESS {
            list.push(Idle {
                sender,
                local,
                served,
                limits,
                end: limits.end(Instant::now()),
            });
            self.count += 1;
        }
    }

    /// Closes what is too old at `now`; the time at which more will be, or `None` where nothing is left to close.
    fn close_old(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        self.idle.retain(|_, list| {
            list.retain(|idle| !idle.sender.is_closed() && idle.end.is_none_or(|end| now < end));
            next = next.into_iter().chain(list.iter().filter_map(|idle| idle.end)).min();
            !list.is_empty()
        });
        self.count = self.idle.values().map(Vec::len).sum();
        next
    }
}

/// Sees to it that idle connections are closed in time, for as long as there are any, or such as may become idle; `end` is when
/// one more of them may be closed.
pub(super) fn sweep(worker: &Rc<Worker>, end: Option<Instant>) {
    let Some(end) = end else { return };
    let before = {
        let mut pool = worker.pool.borrow_mut();
        let before = pool.next_look;
        pool.next_look = before.into_iter().chain([end]).min();
        before
    };
    match before {
        None => drop(task::spawn_local(look(worker.clone()))),
        Some(before) if end < before => worker.pool.borrow().sooner.notify_one(),
        Some(_) => {}
    }
}

/// Closes what is too old, until nothing is left that will be.
async fn look(worker: Rc<Worker>) {
    let sooner = worker.pool.borrow().sooner.clone();
    loop {
        let Some(next) = worker.pool.borrow().next_look else {
            return;
        };
        tokio::select! {
            () = time::sleep_until(next.max(Instant::now() + BATCH)) => {}
            () = sooner.notified() => continue,
        }
        let now = Instant::now();
        let of_pool = worker.pool.borrow_mut().close_old(now);
        let shared = worker.multiplexed.borrow_mut().close_old(now);
        worker.pool.borrow_mut().next_look = of_pool.into_iter().chain(shared).min();
    }
}
