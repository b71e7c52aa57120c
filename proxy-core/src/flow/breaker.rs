//! Circuit breakers: how much may go on at once with a cluster, counted over all workers. Source: Envoy's resource manager of
//! a cluster, and Istio's `connectionPool`.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::pool::Key;
use crate::{model::Limits, policy::Cluster};

/// The counters of all clusters with limits, shared by the workers. They outlive a policy: what was begun under one still
/// counts under the next.
#[derive(Debug, Default)]
pub struct Breakers(Mutex<HashMap<Arc<str>, Arc<Counters>>>);

/// What goes on with one cluster.
#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU32,
    pending: AtomicU32,
    requests: AtomicU32,
    retries: AtomicU32,
    /// When requests have begun, where a budget of retries asks for it.
    begun: Mutex<Begun>,
    /// A connection became free, or ended.
    freed: Notify,
}

/// How many requests have begun of late: counts of short times, the oldest first.
#[derive(Debug, Default)]
struct Begun(VecDeque<(Instant, u32)>);

/// The parts of a budget's interval in which requests are counted together: what is kept stays small however many come.
const PARTS: u32 = 256;

impl Begun {
    fn add(&mut self, now: Instant, interval: Duration) {
        self.forget(now, interval);
        match self.0.back_mut() {
            Some((since, count)) if now.duration_since(*since) < interval / PARTS => *count = count.saturating_add(1),
            _ => self.0.push_back((now, 1)),
        }
    }

    fn count(&mut self, now: Instant, interval: Duration) -> u32 {
        self.forget(now, interval);
        self.0.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    fn forget(&mut self, now: Instant, interval: Duration) {
        while self
            .0
            .front()
            .is_some_and(|(since, _)| now.duration_since(*since) >= interval)
        {
            self.0.pop_front();
        }
    }
}

/// One worker's view: the shared counters that it has met, and its own connections.
#[derive(Debug, Default)]
pub(super) struct Breaking {
    shared: Arc<Breakers>,
    met: RefCell<HashMap<Arc<str>, Met>>,
}

#[derive(Debug, Clone, Default)]
struct Met {
    counters: Arc<Counters>,
    own: Rc<RefCell<HashMap<Key, u32>>>,
}

/// The breaker of one cluster with limits.
#[derive(Debug)]
pub(super) struct Breaker {
    limits: Limits,
    met: Met,
}

/// A share of a limit, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    counters: Arc<Counters>,
    of: fn(&Counters) -> &AtomicU32,
}

/// The share that a connection has, for as long as it lives.
#[derive(Debug)]
pub(super) struct ConnectionShare {
    _share: Share,
    own: Rc<RefCell<HashMap<Key, u32>>>,
    key: Key,
}

/// A limit is reached.
#[derive(Debug)]
pub(super) struct Overflow;

impl Breaking {
    pub fn new(shared: Arc<Breakers>) -> Self {
        Self {
            shared,
            met: RefCell::default(),
        }
    }

    /// The breaker of a cluster; `None` where it has no limits, which is the common case.
    pub fn of(&self, cluster: &Cluster) -> Option<Breaker> {
        if cluster.settings.limits == Limits::default() {
            return None;
        }
        let known = self.met.borrow().get(&cluster.name).cloned();
        let met = known.unwrap_or_else(|| {
            // Once for each cluster and worker; a worker that panicked left whole counters behind.
            let mut shared = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
            let met = Met {
                counters: shared.entry(cluster.name.clone()).or_default().clone(),
                own: Rc::default(),
            };
            self.met.borrow_mut().insert(cluster.name.clone(), met.clone());
            met
        });
        Some(Breaker {
            limits: cluster.settings.limits,
            met,
        })
    }
}

impl Breaker {
    /// A request begins.
    pub fn request(&self) -> Result<Share, Overflow> {
        let share = self.share(|counters| &counters.requests, self.limits.requests)?;
        let interval = self.limits.retry_budget.map(|budget| budget.interval);
        if let Some(interval) = interval.filter(|interval| !interval.is_zero()) {
            self.begun(|begun| begun.add(Instant::now(), interval));
        }
        Ok(share)
    }

    /// A request waits for a connection.
    pub fn pending(&self) -> Result<Share, Overflow> {
        self.share(|counters| &counters.pending, self.limits.pending)
    }

    /// A retry begins. Envoy, with a `budget_interval` (seen of 1.40): what is under way for longer than that counts no more,
    /// what has ended within it does.
    pub fn retry(&self) -> Result<Share, Overflow> {
        let limit = match self.limits.retry_budget {
            Some(budget) => Some(budget.allows(match budget.interval.is_zero() {
                true => self.met.counters.requests.load(Ordering::Acquire),
                false => self.begun(|begun| begun.count(Instant::now(), budget.interval)),
            })),
            None => self.limits.retries,
        };
        self.share(|counters| &counters.retries, limit)
    }

    /// A byte stream's connection.
    pub fn stream(&self) -> Result<Share, Overflow> {
        self.share(|counters| &counters.connections, self.limits.connections)
    }

    /// A connection for requests. Envoy: a worker without any that serves the same requests may always open one, so that none
    /// starves (`ConnPoolImplBase::tryCreateNewConnection`).
    pub fn connection(&self, key: &Key) -> Result<ConnectionShare, Overflow> {
        let own = &self.met.own;
        let limit = self.limits.connections.filter(|_| own.borrow().contains_key(key));
        let share = self.share(|counters| &counters.connections, limit)?;
        *own.borrow_mut().entry(key.clone()).or_default() += 1;
        Ok(ConnectionShare {
            _share: share,
            own: own.clone(),
            key: key.clone(),
        })
    }

    /// Waits until a share is given back.
    pub fn freed(&self) -> tokio::sync::futures::Notified<'_> {
        self.met.counters.freed.notified()
    }

    fn begun<T>(&self, look: impl FnOnce(&mut Begun) -> T) -> T {
        // A worker that panicked left whole counts behind.
        look(&mut self.met.counters.begun.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn share(&self, of: fn(&Counters) -> &AtomicU32, limit: Option<u32>) -> Result<Share, Overflow> {
        let counters = self.met.counters.clone();
        let more = |count| (count < limit.unwrap_or(u32::MAX)).then_some(count + 1);
        match of(&counters).fetch_update(Ordering::AcqRel, Ordering::Acquire, more) {
            Ok(_) => Ok(Share { counters, of }),
            Err(_) => Err(Overflow),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        (self.of)(&self.counters).fetch_sub(1, Ordering::AcqRel);
        self.counters.freed.notify_waiters();
    }
}

impl Drop for ConnectionShare {
    fn drop(&mut self) {
        let mut own = self.own.borrow_mut();
        if let Some(count) = own.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                own.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Percentage, RetryBudget},
        policy::{ClusterSettings, UpstreamHttp},
    };

    fn breaker(shared: &Arc<Breakers>, limits: Limits) -> Breaker {
        let breaking = Breaking::new(shared.clone());
        let cluster = Cluster {
            name: "outbound|80||a.com".into(),
            host: "a.com".into(),
            endpoints: crate::policy::Endpoints::OriginalDst(None),
            settings: Arc::new(ClusterSettings {
                limits,
                ..ClusterSettings::plain(UpstreamHttp::Http1, std::time::Duration::from_secs(1))
            }),
            object: None,
            rule: None,
        };
        breaking.of(&cluster).expect("the cluster has limits")
    }

    #[test]
    fn a_limit_counts_over_all_workers_and_what_ends_gives_its_share_back() {
        let (shared, one) = (Arc::default(), Some(1));
        let limits = Limits {
            pending: one,
            requests: one,
            retries: one,
            ..Limits::default()
        };
        let (here, there) = (breaker(&shared, limits), breaker(&shared, limits));
        for share in [Breaker::request, Breaker::pending, Breaker::retry] {
            let held = share(&here);
            assert!(held.is_ok() && share(&there).is_err());
            drop(held);
            assert!(share(&there).is_ok());
        }
        assert!(here.stream().is_ok() && here.stream().is_ok(), "no limit, no end");
    }

    #[test]
    fn a_worker_without_a_connection_that_serves_a_request_may_always_open_one() {
        let shared = Arc::default();
        let limits = Limits {
            connections: Some(1),
            ..Limits::default()
        };
        let (here, there) = (breaker(&shared, limits), breaker(&shared, limits));
        let key = |last| Key {
            address: ([10, 0, 0, last], 80).into(),
            server: None,
            header: None,
        };
        let held = here.connection(&key(1));
        assert!(held.is_ok() && here.connection(&key(1)).is_err());
        let beside = [there.connection(&key(1)), here.connection(&key(2))];
        assert!(beside.iter().all(Result::is_ok), "{beside:?}");
        drop(held);
        assert!(here.connection(&key(1)).is_ok());
    }

    #[test]
    fn a_budget_allows_retries_by_the_requests_that_are_under_way_and_never_less_than_its_minimum() {
        let limits = Limits {
            retries: Some(0),
            retry_budget: Some(RetryBudget {
                share: Percentage::of(20.0),
                minimum: 1,
                interval: Duration::ZERO,
            }),
            ..Limits::default()
        };
        let breaker = breaker(&Arc::default(), limits);
        let first = breaker.retry();
        assert!(
            first.is_ok() && breaker.retry().is_err(),
            "the minimum, without any request"
        );
        let requests: Vec<_> = (0..14).map(|_| breaker.request()).collect();
        let second = breaker.retry();
        assert!(second.is_ok() && breaker.retry().is_err(), "a fifth of 14");
        drop(requests);
        drop(second);
        assert!(breaker.retry().is_err(), "the requests have ended");
        drop(first);
        assert!(breaker.retry().is_ok());
    }

    #[test]
    fn a_budget_with_an_interval_counts_what_has_begun_within_it_and_nothing_else() {
        let limits = Limits {
            retry_budget: Some(RetryBudget {
                share: Percentage::of(20.0),
                minimum: 1,
                interval: Duration::from_secs(3600),
            }),
            ..Limits::default()
        };
        let breaker = breaker(&Arc::default(), limits);
        drop((0..100).map(|_| breaker.request()).collect::<Vec<_>>());
        let retries: Vec<_> = (0..100).map_while(|_| breaker.retry().ok()).collect();
        assert_eq!(retries.len(), 20, "of requests that have ended");

        let (start, interval) = (Instant::now(), Duration::from_secs(2));
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut begun = Begun::default();
        (0..100).for_each(|_| begun.add(at(0), interval));
        (0..50).for_each(|_| begun.add(at(1), interval));
        assert_eq!(begun.0.len(), 2, "what has begun together is counted together");
        assert_eq!([1, 2, 3].map(|second| begun.count(at(second), interval)), [150, 50, 0]);
    }
}
