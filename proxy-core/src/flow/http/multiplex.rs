//! Upstream connections that speak HTTP/2: each carries many requests at once. A worker has one for an address and a
//! server's name, and another one only where that one is full: source, Envoy's connection pools.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
};

use hyper::{Request, Response, body::Incoming, client::conn::TrySendError};
use tokio::{sync::OnceCell, time::Instant};

use super::{
    exchange::Lost,
    speak::{self, Http2, ManySender, Opened},
};
use crate::{
    flow::{
        Worker,
        body::RequestBody,
        breaker::{Breaker, ConnectionShare},
        pool::{self, IdleLimits, Key},
        upstream::{Failed, Why},
    },
    model::Limits,
    net::DialError,
    policy::Cluster,
};

/// Requests at once on one connection: Envoy's default.
const STREAMS: usize = 1024;

/// The same while an upstream has not said how many it takes: what RFC 9113 advises at least.
const UNTOLD: usize = 100;

/// So many connections are kept before idle ones are let go.
const IN_ALL: usize = 2048;

/// The connections of one worker.
#[derive(Debug, Default)]
pub struct Connections(HashMap<Key, Vec<Rc<Connection>>>);

/// One connection, also while it is being opened.
#[derive(Debug)]
struct Connection {
    opened: OnceCell<Result<Opened<ManySender>, Failed>>,
    /// Its share of the cluster's connections, until it is opened and has it for life.
    share: RefCell<Option<ConnectionShare>>,
    /// Requests that it carries now.
    streams: Cell<usize>,
    /// Requests that it has carried, with these.
    served: Cell<u32>,
    /// When a request last ended.
    used: Cell<Instant>,
    /// How long it may be kept.
    limits: IdleLimits,
}

/// A request's place on a connection, which it leaves when this is dropped.
#[derive(Debug)]
struct Place(Rc<Connection>);

/// A request's place on an open connection.
#[derive(Debug)]
pub struct Stream {
    sender: ManySender,
    /// The sidecar's own address towards the upstream.
    pub local: Option<SocketAddr>,
    _place: Place,
}

impl Connections {
    /// A connection for one more request.
    fn find(&self, key: &Key, limits: Limits) -> Option<Rc<Connection>> {
        let list = self.0.get(key)?;
        // What the upstream has said of one connection will hold for the next.
        let told = list.iter().filter_map(|connection| connection.told()).min();
        let told = told.unwrap_or(UNTOLD);
        list.iter().find(|connection| connection.takes(limits, told)).cloned()
    }

    /// Adds a connection that is being opened, and lets go of those that are of no use any more.
    fn add(&mut self, cluster: &Cluster, key: &Key, share: Option<ConnectionShare>) -> Rc<Connection> {
        let many = self.0.values().map(Vec::len).sum::<usize>() >= IN_ALL;
        self.retain(!many, Instant::now());
        let connection = Rc::new(Connection {
            opened: OnceCell::new(),
            share: RefCell::new(share),
            streams: Cell::new(0),
            served: Cell::new(0),
            used: Cell::new(Instant::now()),
            limits: IdleLimits::of(cluster, Instant::now()),
        });
        self.0.entry(key.clone()).or_default().push(connection.clone());
        connection
    }

    /// Lets go of what is of no use any more; of idle ones all, unless they are `kept`.
    fn retain(&mut self, kept: bool, now: Instant) {
        self.0.retain(|_, list| {
            list.retain(|connection| connection.is_of_use(kept, now));
            !list.is_empty()
        });
    }

    /// Lets go of what is idle for too long at `now`; the time at which more will be, or `None` where nothing will. The busy
    /// ones count: a stream may end without anybody who would have them looked at.
    pub(in crate::flow) fn close_old(&mut self, now: Instant) -> Option<Instant> {
        self.retain(true, now);
        let next = |connection: &Rc<Connection>| match connection.streams.get() {
            0 => connection.limits.end(connection.used.get()),
            _ => connection.limits.next_look(now),
        };
        self.0.values().flatten().filter_map(next).min()
    }
}

impl Connection {
    /// How many requests at once the upstream takes, while the connection is open.
    fn told(&self) -> Option<usize> {
        let opened = self.opened.get()?.as_ref().ok()?;
        (!opened.sender.requests.is_closed()).then(|| opened.sender.takes.get())
    }

    /// True where there is room for one more; an upstream that has not said how many it takes, takes `untold`.
    fn takes(&self, limits: Limits, untold: usize) -> bool {
        if self.limits.is_too_old(Instant::now()) {
            return false;
        }
        let told = match self.opened.get() {
            None => Some(untold),
            Some(_) => self.told(),
        };
        let own = limits.streams.map_or(STREAMS, |streams| streams as usize);
        let most = limits.requests_per_connection.unwrap_or(u32::MAX);
        told.is_some_and(|told| self.streams.get() < told.min(own)) && self.served.get() < most
    }

    /// True where it carries requests, or may be `kept` for further ones.
    fn is_of_use(&self, kept: bool, now: Instant) -> bool {
        let whole = !self.opened.initialized() || self.told().is_some();
        let in_time = self.limits.end(self.used.get()).is_none_or(|end| now < end);
        whole && (self.streams.get() > 0 || kept && in_time)
    }

    /// Everybody who wanted it opened has left: it holds no share of the cluster's connections for nobody.
    fn give_up(&self) {
        drop(self.share.take());
        let why = Why::Dial(DialError::Refused(io::ErrorKind::Interrupted.into()));
        // Nobody is left who could have opened it meanwhile.
        let _ = self.opened.set(Err(Failed { address: None, why }));
    }
}

impl Place {
    fn on(connection: Rc<Connection>) -> Self {
        connection.streams.set(connection.streams.get() + 1);
        connection.served.set(connection.served.get() + 1);
        Self(connection)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.used.set(Instant::now());
        if self.0.streams.get() == 0 && !self.0.opened.initialized() {
            self.0.give_up();
        }
    }
}

impl Stream {
    fn new(opened: &Opened<ManySender>, place: Place) -> Self {
        Self {
            sender: opened.sender.clone(),
            local: opened.local,
            _place: place,
        }
    }

    /// Sends the request and waits for the head of the response.
    pub async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        self.sender.requests.try_send_request(request).await
    }
}

/// A place for a request, and whether the connection was open before: on a connection that has room, also one that others
/// wait for; on a new one as soon as the cluster's limits allow it.
pub async fn stream(
    worker: &Rc<Worker>,
    cluster: &Cluster,
    breaker: Option<&Breaker>,
    key: &Key,
) -> Result<(Stream, bool), Lost> {
    let limits = cluster.settings.limits;
    let found = worker.multiplexed.borrow().find(key, limits).map(Place::on);
    let found = match found {
        Some(place) => match place.0.clone().opened.get() {
            Some(Ok(opened)) => return Ok((Stream::new(opened, place), true)),
            _ => Some(place),
        },
        None => None,
    };
    let _waiting = breaker.map(Breaker::pending).transpose()?;
    let place = match (found, breaker) {
        (Some(place), _) => place,
        (None, None) => Place::on(worker.multiplexed.borrow_mut().add(cluster, key, None)),
        (None, Some(breaker)) => room(worker, cluster, breaker, key).await,
    };
    let connection = place.0.clone();
    let opening = || speak::open(worker, cluster, key, Http2(&connection.share));
    match connection.opened.get_or_init(opening).await {
        Ok(opened) => {
            pool::sweep(worker, connection.limits.next_look(Instant::now()));
            Ok((Stream::new(opened, place), false))
        }
        Err(failed) => {
            drop(connection.share.take());
            Err(Lost::Connect(again(failed)))
        }
    }
}

/// Waits until a connection has room or may be opened.
async fn room(worker: &Worker, cluster: &Cluster, breaker: &Breaker, key: &Key) -> Place {
    loop {
        let mut freed = pin!(breaker.freed());
        // From here on nothing that is freed is missed.
        freed.as_mut().enable();
        if let Some(place) = vacancy(worker, cluster, breaker, key) {
            return place;
        }
        freed.await;
    }
}

fn vacancy(worker: &Worker, cluster: &Cluster, breaker: &Breaker, key: &Key) -> Option<Place> {
    let mut connections = worker.multiplexed.borrow_mut();
    let connection = connections.find(key, cluster.settings.limits).or_else(|| {
        let share = breaker.connection(key).ok()?;
        Some(connections.add(cluster, key, Some(share)))
    });
    connection.map(Place::on)
}

/// All who wait for a connection are told why there is none.
fn again(failed: &Failed) -> Failed {
    let told = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
    let why = match &failed.why {
        Why::Dial(DialError::Refused(error)) => Why::Dial(DialError::Refused(told(error))),
        Why::Dial(DialError::Tls(error)) => Why::Dial(DialError::Tls(told(error))),
        Why::Dial(DialError::Proxy(status)) => Why::Dial(DialError::Proxy(*status)),
        Why::Dial(DialError::TimedOut(limit)) => Why::Dial(DialError::TimedOut(*limit)),
        Why::NoEndpoint => Why::NoEndpoint,
        Why::Unresolvable(why) => Why::Unresolvable(why),
        Why::Overflow => Why::Overflow,
    };
    Failed {
        address: failed.address,
        why,
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        flow::breaker::Breaking,
        policy::{ClusterSettings, Endpoints, UpstreamHttp},
    };

    #[test]
    fn an_opening_that_everybody_has_left_holds_no_share_of_the_clusters_connections() {
        let limits = Limits {
            connections: Some(1),
            ..Limits::default()
        };
        let cluster = Cluster {
            name: "outbound|80||a.com".into(),
            host: "a.com".into(),
            endpoints: Endpoints::OriginalDst(None),
            settings: Arc::new(ClusterSettings {
                limits,
                ..ClusterSettings::plain(UpstreamHttp::Http2, Duration::from_secs(1))
            }),
            object: None,
            rule: None,
        };
        let breaker = Breaking::default().of(&cluster).expect("the cluster has limits");
        let key = Key {
            address: SocketAddr::from(([10, 0, 0, 1], 80)),
            server: None,
            header: None,
        };
        let share = breaker.connection(&key).expect("it is the first");
        let mut connections = Connections::default();
        let first = Place::on(connections.add(&cluster, &key, Some(share)));
        let second = Place::on(connections.find(&key, limits).expect("it has room"));
        drop(first);
        assert!(breaker.connection(&key).is_err(), "somebody waits for it still");
        drop(second);
        assert!(breaker.connection(&key).is_ok());
        assert!(connections.find(&key, limits).is_none());
    }
}
