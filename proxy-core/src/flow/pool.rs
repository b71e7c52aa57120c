//! Idle upstream connections of one worker, by address and TLS identity.

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
    /// Requests that it has served.
    pub served: u32,
    since: Instant,
}

/// What two requests must share to use the same connection: the address, and the server's name where TLS is spoken.
pub(super) type Key = (SocketAddr, Option<Box<str>>);

/// The pool.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: HashMap<Key, Vec<Idle>>,
    count: usize,
}

impl Pool {
    /// The connection for `key` that was used last, if one is alive.
    pub fn take(&mut self, key: &Key) -> Option<Idle> {
        let list = self.idle.get_mut(key)?;
        while let Some(idle) = list.pop() {
            self.count -= 1;
            if idle.sender.is_ready() && !idle.sender.is_closed() && idle.since.elapsed() < IDLE {
                return Some(idle);
            }
        }
        self.idle.remove(key);
        None
    }

    /// Keeps a connection for the next request; beyond the bounds it is closed.
    pub fn put(&mut self, key: Key, sender: SendRequest<RequestBody>, local: Option<SocketAddr>, served: u32) {
        if sender.is_closed() || self.count >= IN_ALL {
            return;
        }
        let list = self.idle.entry(key).or_default();
        if list.len() < PER_ADDRESS {
            list.push(Idle {
                sender,
                local,
                served,
                since: Instant::now(),
            });
            self.count += 1;
        }
    }
}
