//! The endpoints of clusters as all workers know them: how busy each one is, how often it failed, and which are ejected.
//! What is known of an endpoint lasts for as long as some worker has it among its cluster's.

use std::{
    cell::Cell,
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use super::outlier::{Ejection, Outcome, Streaks};
use crate::policy::Outlier;

/// The endpoints of all clusters that were met.
#[derive(Debug)]
pub struct Hosts {
    clusters: Mutex<HashMap<Arc<str>, Weak<ClusterHosts>>>,
    started: Instant,
}

/// An endpoint that is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EjectedHost {
    /// The cluster.
    pub cluster: String,
    /// The endpoint.
    pub address: SocketAddr,
    /// For how long it is out so far.
    pub for_ms: u64,
    /// How often it was ejected of late.
    pub times: u32,
}

/// Ejections of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ejections {
    /// The cluster.
    pub cluster: Arc<str>,
    /// Endpoints that are out now.
    pub active: usize,
    /// How many were ejected so far.
    pub total: u64,
}

/// The endpoints of one cluster.
#[derive(Debug)]
pub(super) struct ClusterHosts {
    started: Instant,
    known: Mutex<Known>,
    /// Grows with each ejection and return, so that workers choose anew.
    epoch: AtomicU64,
    /// When to look next who may return, in milliseconds since the start.
    next_look: AtomicU64,
    total: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    hosts: Vec<(Weak<Host>, Ejection)>,
    /// The time of the last look.
    looked: Duration,
}

/// One endpoint.
#[derive(Debug)]
pub(super) struct Host {
    pub address: SocketAddr,
    /// When it was first known.
    since: Instant,
    active: AtomicU32,
    streaks: Streaks,
    ejected: AtomicBool,
}

impl Host {
    /// Calls that are under way.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// How long it has been among its cluster's.
    pub fn known_for(&self) -> Duration {
        self.since.elapsed()
    }

    /// True while it is left out.
    pub fn is_ejected(&self) -> bool {
        self.ejected.load(Ordering::Acquire)
    }
}

impl Default for Hosts {
    fn default() -> Self {
        Self {
            clusters: Mutex::default(),
            started: Instant::now(),
        }
    }
}

/// A panic elsewhere leaves whole lists behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hosts {
    /// The endpoints of the cluster `name`.
    pub(super) fn cluster(&self, name: &Arc<str>) -> Arc<ClusterHosts> {
        let mut clusters = lock(&self.clusters);
        if let Some(known) = clusters.get(name).and_then(Weak::upgrade) {
            return known;
        }
        clusters.retain(|_, hosts| hosts.strong_count() > 0);
        let hosts = Arc::new(ClusterHosts {
            started: self.started,
            known: Mutex::default(),
            epoch: AtomicU64::new(0),
            next_look: AtomicU64::new(0),
            total: AtomicU64::new(0),
        });
        clusters.insert(name.clone(), Arc::downgrade(&hosts));
        hosts
    }

    fn living(&self) -> Vec<(Arc<str>, Arc<ClusterHosts>)> {
        let clusters = lock(&self.clusters);
        let mut living: Vec<_> = clusters
            .iter()
            .filter_map(|(name, hosts)| Some((name.clone(), hosts.upgrade()?)))
            .collect();
        living.sort_by(|one, other| one.0.cmp(&other.0));
        living
    }

    /// Who is left out now, by cluster and address.
    pub fn ejected(&self) -> Vec<EjectedHost> {
        let now = self.started.elapsed();
        let of_cluster = |(name, hosts): (Arc<str>, Arc<ClusterHosts>)| {
            let known = lock(&hosts.known);
            let ejected = known.hosts.iter().filter_map(|(host, ejection)| {
                Some(EjectedHost {
                    cluster: name.to_string(),
                    address: host.upgrade()?.address,
                    for_ms: now.saturating_sub(ejection.since?).as_millis() as u64,
                    times: ejection.times,
                })
            });
            let mut ejected: Vec<_> = ejected.collect();
            ejected.sort_by_key(|host| host.address);
            ejected
        };
        self.living().into_iter().flat_map(of_cluster).collect()
    }

    /// The ejections of each cluster that had any.
    pub fn ejections(&self) -> Vec<Ejections> {
        let of_cluster = |(cluster, hosts): (Arc<str>, Arc<ClusterHosts>)| {
            let known = lock(&hosts.known);
            let out = known.hosts.iter().filter(|(_, ejection)| ejection.since.is_some());
            Ejections {
                cluster,
                active: out.count(),
                total: hosts.total.load(Ordering::Relaxed),
            }
        };
        let all = self.living().into_iter().map(of_cluster);
        all.filter(|cluster| cluster.total > 0).collect()
    }
}

impl ClusterHosts {
    /// The endpoint at `address`.
    pub fn host(&self, address: SocketAddr) -> Arc<Host> {
        let mut known = lock(&self.known);
        let same = |(host, _): &(Weak<Host>, Ejection)| host.upgrade().filter(|host| host.address == address);
        if let Some(host) = known.hosts.iter().find_map(same) {
            return host;
        }
        let host = Arc::new(Host {
            address,
            since: Instant::now(),
            active: AtomicU32::new(0),
            streaks: Streaks::default(),
            ejected: AtomicBool::new(false),
        });
        known.hosts.retain(|(host, _)| host.strong_count() > 0);
        known.hosts.push((Arc::downgrade(&host), Ejection::default()));
        host
    }

    /// What has happened so far; grows.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Lets those return whose time is over. Envoy has a timer for it; here who chooses looks, as often as the timer would
    /// have.
    pub fn look(&self, settings: &Outlier) {
        let now = self.started.elapsed();
        if (now.as_millis() as u64) < self.next_look.load(Ordering::Acquire) {
            return;
        }
        let mut known = lock(&self.known);
        if known.looked.is_zero() {
            known.looked = now;
        }
        while known.looked + settings.interval <= now {
            known.looked += settings.interval;
            let looked = known.looked;
            let mut changes = false;
            for (host, ejection) in &mut known.hosts {
                if ejection.look(settings, looked)
                    && let Some(host) = host.upgrade()
                {
                    host.streaks.reset();
                    host.ejected.store(false, Ordering::Release);
                    changes = true;
                }
            }
            if changes {
                self.epoch.fetch_add(1, Ordering::AcqRel);
            } else if known.hosts.iter().all(|(_, ejection)| *ejection == Ejection::default()) {
                // Further looks find nothing else: they are taken at once.
                let left = (now - known.looked).div_duration_f64(settings.interval).floor();
                known.looked += settings.interval.mul_f64(left);
                break;
            }
        }
        let next = known.looked + settings.interval;
        self.next_look.store(next.as_millis() as u64, Ordering::Release);
    }

    fn eject(&self, host: &Host, settings: &Outlier) {
        let now = self.started.elapsed();
        let mut known = lock(&self.known);
        known.hosts.retain(|(host, _)| host.strong_count() > 0);
        let all = known.hosts.len();
        let ejected = known
            .hosts
            .iter()
            .filter(|(_, ejection)| ejection.since.is_some())
            .count();
        let own = known
            .hosts
            .iter_mut()
            .find(|(known, _)| std::ptr::eq(known.as_ptr(), host));
        if let Some((_, ejection)) = own
            && ejection.eject(settings, now, ejected, all)
        {
            host.ejected.store(true, Ordering::Release);
            self.total.fetch_add(1, Ordering::Relaxed);
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// A call to an endpoint that is under way; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Busy {
    cluster: Arc<ClusterHosts>,
    host: Arc<Host>,
    settings: Option<Outlier>,
    /// It was sent a request, and nothing came of it yet.
    asked: Cell<bool>,
}

impl Busy {
    pub fn new(cluster: &Arc<ClusterHosts>, host: &Arc<Host>, settings: Option<Outlier>) -> Self {
        host.active.fetch_add(1, Ordering::Relaxed);
        Self {
            cluster: cluster.clone(),
            host: host.clone(),
            settings,
            asked: Cell::new(false),
        }
    }

    /// The request is sent.
    pub fn ask(&self) {
        self.asked.set(true);
    }

    /// The time for an answer is over. Who was not asked yet, or has answered, is not to blame.
    pub fn timed_out(&self) {
        if self.asked.get() {
            self.report(Outcome::TimedOut);
        }
    }

    /// What came of it.
    pub fn report(&self, outcome: Outcome) {
        self.asked.set(false);
        if let Some(settings) = &self.settings
            && self.host.streaks.count(outcome, settings)
        {
            self.cluster.eject(&self.host, settings);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.host.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_times_out_once_and_only_where_it_was_made() {
        let settings = Outlier {
            consecutive_5xx: 2,
            consecutive_gateway: 0,
            consecutive_local: None,
            interval: Duration::from_secs(10),
            base_time: Duration::from_secs(30),
            max_time: Duration::from_secs(300),
            max_percent: 100,
        };
        let cluster = Hosts::default().cluster(&"outbound|80||a.com".into());
        let host = cluster.host(SocketAddr::from(([10, 0, 0, 1], 80)));
        let busy = Busy::new(&cluster, &host, Some(settings));
        busy.timed_out();
        busy.ask();
        // An attempt's time is over, and then that of the whole.
        busy.timed_out();
        busy.timed_out();
        assert!(!host.is_ejected());
        busy.ask();
        busy.timed_out();
        assert!(host.is_ejected());
    }
}
