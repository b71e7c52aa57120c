//! One worker's choice among the endpoints of a cluster: `policy` chooses, and is told who is busy and who is ejected.

use std::{cell::RefCell, collections::HashMap, net::SocketAddr, sync::Arc};

use super::{
    Worker,
    hosts::{Busy, ClusterHosts, Host, Hosts},
};
use crate::policy::{Balance, Cluster, Member, Members};

/// How often Istio has Envoy choose again where it chose an address that was tried before.
const CHOICES: u64 = 5;

/// Clusters that may be met before those are looked for that are gone.
const FEW: usize = 64;

/// The endpoints of a cluster, and for each the place that it has in the cluster's spread.
#[derive(Debug, Clone, Copy)]
pub(super) enum Addresses<'a> {
    /// As they are written.
    Written(&'a [SocketAddr]),
    /// As their names resolve, with the index of the name.
    Found(&'a [(SocketAddr, usize)]),
}

impl Addresses<'_> {
    fn len(self) -> usize {
        match self {
            Self::Written(addresses) => addresses.len(),
            Self::Found(addresses) => addresses.len(),
        }
    }

    fn get(self, index: usize) -> (SocketAddr, usize) {
        match self {
            Self::Written(addresses) => (addresses[index], index),
            Self::Found(addresses) => addresses[index],
        }
    }

    fn iter(self) -> impl Iterator<Item = (SocketAddr, usize)> {
        (0..self.len()).map(move |index| self.get(index))
    }
}

/// What a request or stream has to say of the choice.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wish<'w> {
    /// Its hash, where the route asks for one and it has what is hashed.
    pub hash: Option<u64>,
    /// Addresses that others are preferred to.
    pub tried: &'w [SocketAddr],
}

/// The clusters that one worker has met.
#[derive(Debug)]
pub(super) struct Choosing {
    shared: Arc<Hosts>,
    met: RefCell<HashMap<Arc<str>, Met>>,
}

/// A cluster, as it was when it was last chosen from.
#[derive(Debug)]
struct Met {
    cluster: Arc<ClusterHosts>,
    balance: Option<Box<Balance>>,
    addresses: Vec<(SocketAddr, usize)>,
    hosts: Vec<Arc<Host>>,
    epoch: u64,
    members: Members,
}

impl Choosing {
    pub fn new(shared: Arc<Hosts>) -> Self {
        Self {
            shared,
            met: RefCell::default(),
        }
    }

    /// One of `addresses`; `None` where nobody may be called. Where there is something to choose or to learn, the call counts
    /// for as long as what is returned lives.
    pub fn choose(
        &self,
        worker: &Worker,
        cluster: &Cluster,
        addresses: Addresses<'_>,
        wish: Wish<'_>,
    ) -> Option<(SocketAddr, Option<Busy>)> {
        if addresses.len() == 1 && cluster.settings.balance.is_none() {
            return Some((addresses.get(0).0, None));
        }
        let mut all = self.met.borrow_mut();
        if !all.contains_key(&cluster.name) {
            if all.len() >= FEW && all.len().is_power_of_two() {
                let snapshot = worker.snapshot.load();
                all.retain(|name, _| snapshot.has_cluster(name));
            }
            all.insert(cluster.name.clone(), Met::new(self.shared.cluster(&cluster.name)));
        }
        let met = all.get_mut(&cluster.name)?;
        met.refresh(cluster, addresses, || worker.draw());
        let balance = cluster.settings.balance.as_ref();
        let outlier = balance.and_then(|balance| balance.outlier);
        let warmup = balance.and_then(|balance| balance.warmup);
        let Met { members, hosts, .. } = met;
        let mut choose = |attempt| {
            let active = |index: usize| hosts[index].active();
            let warmth = |index: usize| warmup.map_or(1.0, |warmup| warmup.part(hosts[index].known_for()));
            members.choose(wish.hash, attempt, active, warmth, || worker.draw())
        };
        let mut chosen = choose(0)?;
        for attempt in 1..=CHOICES {
            if !wish.tried.contains(&hosts[chosen].address) {
                break;
            }
            chosen = choose(attempt)?;
        }
        let busy = Busy::new(&met.cluster, &hosts[chosen], outlier);
        Some((hosts[chosen].address, Some(busy)))
    }
}

impl Met {
    fn new(cluster: Arc<ClusterHosts>) -> Self {
        Self {
            cluster,
            balance: None,
            addresses: Vec::new(),
            hosts: Vec::new(),
            epoch: u64::MAX,
            members: Members::default(),
        }
    }

    /// Takes over what has changed since.
    fn refresh(&mut self, cluster: &Cluster, addresses: Addresses<'_>, mut draw: impl FnMut() -> u64) {
        let balance = cluster.settings.balance.as_deref();
        let outlier = balance.and_then(|balance| balance.outlier.as_ref());
        let same = self.balance.as_deref() == balance && addresses.iter().eq(self.addresses.iter().copied());
        if !same {
            self.balance = cluster.settings.balance.clone();
            self.addresses = addresses.iter().collect();
            let hosts = addresses.iter().map(|(address, _)| self.cluster.host(address));
            self.hosts = hosts.collect();
        }
        if let Some(outlier) = outlier {
            self.cluster.look(outlier);
        }
        let epoch = self.cluster.epoch();
        if same && epoch == self.epoch {
            return;
        }
        self.epoch = epoch;
        let alike = Balance::default();
        let balance = balance.unwrap_or(&alike);
        let places = balance.spread.as_ref().map(|spread| &spread.places);
        let member = |(host, (address, place)): (&Arc<Host>, &(SocketAddr, usize))| {
            let place = places.and_then(|places| places.get(*place));
            Member {
                address: *address,
                weight: place.map_or(1, |place| place.weight),
                group: place.map_or(0, |place| place.group),
                // Without outlier detection nobody is out, whoever was before.
                is_healthy: outlier.is_none() || !host.is_ejected(),
                warmth: balance.warmup.map_or(1.0, |warmup| warmup.part(host.known_for())),
            }
        };
        let members: Vec<Member> = self.hosts.iter().zip(&self.addresses).map(member).collect();
        self.members = Members::new(balance, &members, draw());
    }
}
