//! Idle upstream connections of one worker, by address.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use hyper::client::conn::http1::SendRequest;

use super::body::RequestBody;

/// Idle connections kept for one address: as many as one worker can use at once without a queue growing elsewhere.
const PER_ADDRESS: usize = 256;

/// Idle connections kept in all.
const IN_ALL: usize = 2048;

/// Istio closes idle upstream connections after an hour, those of PassthroughCluster after five minutes; the shorter
/// one costs a reconnect at worst.
const IDLE: Duration = Duration::from_secs(300);

/// An upstream connection that can take a request.
#[derive(Debug)]
pub(super) struct Idle {
    pub sender: SendRequest<RequestBody>,
    pub local: Option<SocketAddr>,
    since: Instant,
}

/// The pool.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: HashMap<SocketAddr, Vec<Idle>>,
    count: usize,
}

impl Pool {
    /// The connection to `address` that was used last, if one is alive.
    pub fn take(&mut self, address: SocketAddr) -> Option<Idle> {
        let list = self.idle.get_mut(&address)?;
        while let Some(idle) = list.pop() {
            self.count -= 1;
            if idle.sender.is_ready() && !idle.sender.is_closed() && idle.since.elapsed() < IDLE {
                return Some(idle);
            }
        }
        self.idle.remove(&address);
        None
    }

    /// Keeps a connection for the next request; beyond the bounds it is closed.
    pub fn put(&mut self, address: SocketAddr, sender: SendRequest<RequestBody>, local: Option<SocketAddr>) {
        if sender.is_closed() || self.count >= IN_ALL {
            return;
        }
        let list = self.idle.entry(address).or_default();
        if list.len() < PER_ADDRESS {
            list.push(Idle {
                sender,
                local,
                since: Instant::now(),
            });
            self.count += 1;
        }
    }
}
