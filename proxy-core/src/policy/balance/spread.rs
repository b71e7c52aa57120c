//! Where a cluster's endpoints are, and what that means to a caller: who is called first, and who gets how much. Source:
//! Istio's `loadbalancer` package.

use std::{cmp::Reverse, collections::BTreeMap, fmt};

use crate::model::{Labels, LocalitySetting};

/// Endpoints that are not all alike, in the order of the cluster's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// Of each endpoint.
    pub places: Vec<Place>,
    /// What the endpoints of one place share.
    pub groups: Vec<Group>,
    /// A locality is chosen first, by the groups' weights.
    pub by_locality: bool,
}

/// Weight and group of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its weight, 1 or more.
    pub weight: u32,
    /// Its group, by index.
    pub group: usize,
}

/// Endpoints of one locality that are called at the same time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// Who is called first; 0 is before all others.
    pub priority: u32,
    /// Where it is.
    pub locality: Locality,
    /// Its weight among those of its priority.
    pub weight: u32,
}

/// Region, zone and subzone; what is not known is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Locality([String; 3]);

pub(crate) const TOPOLOGY: [&str; 3] = [
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
];

impl Locality {
    /// A locality as an endpoint or a rule names it: `region/zone/subzone`.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split('/').map(str::to_string);
        Self([(); 3].map(|()| parts.next().unwrap_or_default()))
    }

    /// That of an endpoint: what it says, else its labels.
    pub fn of_endpoint(written: &str, labels: &Labels) -> Self {
        if written.is_empty() {
            Self::of_label(labels)
        } else {
            Self::parse(written)
        }
    }

    /// That of a workload: the topology that its labels say, else the label for the whole of it.
    pub fn of_workload(labels: &Labels) -> Self {
        let parts = TOPOLOGY.map(|label| labels.get(label));
        if parts.iter().all(Option::is_none) {
            return Self::of_label(labels);
        }
        Self(parts.map(|part| part.cloned().unwrap_or_default()))
    }

    /// Labels have no slashes; points stand for them.
    fn of_label(labels: &Labels) -> Self {
        let label = ["topology.istio.io/locality", "istio-locality"]
            .into_iter()
            .find_map(|label| labels.get(label));
        match label {
            Some(label) if label.contains('/') => Self::parse(label),
            Some(label) => Self::parse(&label.replace('.', "/")),
            None => Self::default(),
        }
    }

    /// True where a rule's locality means this one.
    fn is_meant(&self, rule: &Self) -> bool {
        let mut parts = self.0.iter().zip(&rule.0).enumerate();
        parts.all(|(at, (own, rule))| rule == "*" || rule == own || at > 0 && rule.is_empty())
    }

    /// How far an endpoint is: 0 in the same subzone, 1 zone, 2 region, 3 elsewhere.
    fn distance(&self, endpoint: &Self) -> u32 {
        let same = self.0.iter().zip(&endpoint.0).take_while(|(own, other)| own == other);
        3 - same.count() as u32
    }

    fn region(&self) -> &str {
        &self.0[0]
    }

    /// The value that a label has, where this says more than the labels themselves.
    fn label<'l>(&'l self, labels: &'l Labels, name: &str) -> &'l str {
        let part = TOPOLOGY.iter().position(|label| *label == name);
        let part = part.map(|part| self.0[part].as_str()).filter(|part| !part.is_empty());
        part.or_else(|| labels.get(name).map(String::as_str))
            .unwrap_or_default()
    }
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.iter().take_while(|part| !part.is_empty());
        let known: Vec<&str> = known.map(String::as_str).collect();
        f.write_str(if known.is_empty() { "no locality" } else { "" })?;
        f.write_str(&known.join("/"))
    }
}

/// A setting that holds.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) enum Holding<'s> {
    /// `localityLbSetting`: regions, zones and subzones come one after the other.
    Localities(&'s LocalitySetting),
    /// `zoneAwareLbSetting`: regions do. Within one, Envoy prefers the caller's zone only where a sidecar discovers its own
    /// service, which Istio has it do when it is told to (`ISTIO_META_ENABLE_SELF_DISCOVERY`).
    Zones(&'s LocalitySetting),
}

/// What decides about places: who calls, and what is set.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Spreading<'s> {
    /// Labels of the caller.
    pub labels: &'s Labels,
    /// The setting that holds, unless it is switched off.
    pub setting: Option<Holding<'s>>,
    /// Who fails is ejected; only then is there anything to fall back from.
    pub ejects: bool,
    /// `failoverPriority` counts: Istio forgets it for subsets of services whose endpoints are names.
    pub by_labels: bool,
}

/// One endpoint on its way to its place.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Placed<'e> {
    /// What its entry says of its weight; 0 is nothing.
    pub weight: u32,
    /// What its entry says of its locality.
    pub locality: &'e str,
    /// Its labels.
    pub labels: &'e Labels,
}

impl<'s> Holding<'s> {
    pub(in crate::policy) fn setting(self) -> &'s LocalitySetting {
        match self {
            Self::Localities(setting) | Self::Zones(setting) => setting,
        }
    }
}

impl Spreading<'_> {
    /// The places of `endpoints`, and which of them there are to this caller; `None` where all are alike.
    pub(in crate::policy) fn places(&self, endpoints: &[Placed<'_>]) -> (Option<Spread>, Vec<bool>) {
        let own = Locality::of_workload(self.labels);
        let localities: Vec<Locality> = endpoints
            .iter()
            .map(|endpoint| Locality::of_endpoint(endpoint.locality, endpoint.labels))
            .collect();
        let setting = self.setting.map(Holding::setting);
        let of_zones = matches!(self.setting, Some(Holding::Zones(_)));
        let distribute = setting.map(|setting| &*setting.distribute).unwrap_or_default();
        let failover = setting.map(|setting| &*setting.failover).unwrap_or_default();
        let by_labels = setting.map(|setting| &*setting.failover_priority).unwrap_or_default();
        let mut priorities: Vec<u32> = vec![0; endpoints.len()];
        let fails_over = distribute.is_empty() && setting.is_some() && (self.ejects || of_zones);
        if fails_over && self.by_labels && !by_labels.is_empty() {
            let steps = endpoints.iter().zip(&localities);
            let steps =
                steps.map(|(endpoint, locality)| rank(by_labels, (&own, self.labels), (locality, endpoint.labels)));
            priorities = steps.collect();
        }
        if fails_over && (of_zones || by_labels.is_empty() || !failover.is_empty()) {
            let to = failover.iter().find(|(from, _)| from == own.region()).map(|(_, to)| to);
            for (priority, locality) in priorities.iter_mut().zip(&localities) {
                let distance = match (own.distance(locality), to) {
                    (3, Some(to)) if to != locality.region() => 4,
                    (distance, _) if of_zones => distance.max(2),
                    (distance, _) => distance,
                };
                *priority = *priority * 5 + distance;
            }
        }
        compact(&mut priorities);
        let weight = |endpoint: &Placed<'_>| endpoint.weight.max(1);
        let mut weights: BTreeMap<(u32, &Locality), u32> = BTreeMap::new();
        for (at, endpoint) in endpoints.iter().enumerate() {
            let sum = weights.entry((priorities[at], &localities[at])).or_default();
            *sum = sum.saturating_add(weight(endpoint));
        }
        let shares = distribute
            .iter()
            .find(|distribution| own.is_meant(&Locality::parse(&distribution.from)));
        if let Some(distribution) = shares {
            weights = distributed(&weights, &distribution.to);
        }
        let is_there: Vec<bool> = (0..endpoints.len())
            .map(|at| weights.contains_key(&(priorities[at], &localities[at])))
            .collect();
        let index: BTreeMap<(u32, &Locality), usize> =
            weights.keys().enumerate().map(|(index, key)| (*key, index)).collect();
        let spread = Spread {
            places: endpoints
                .iter()
                .enumerate()
                .filter_map(|(at, endpoint)| {
                    Some(Place {
                        weight: weight(endpoint),
                        group: *index.get(&(priorities[at], &localities[at]))?,
                    })
                })
                .collect(),
            groups: weights
                .into_iter()
                .map(|((priority, locality), weight)| Group {
                    priority,
                    locality: locality.clone(),
                    weight,
                })
                .collect(),
            by_locality: !distribute.is_empty()
                || fails_over && !of_zones && !(failover.is_empty() && by_labels.is_empty()),
        };
        (spread.says_something().then_some(spread), is_there)
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.groups.iter().enumerate() {
            let own = self.places.iter().filter(|place| place.group == index).count();
            let before = match index {
                0 => "",
                _ if self.groups[index - 1].priority < group.priority => ", then ",
                _ => ", ",
            };
            write!(f, "{before}{own} in {}", group.locality)?;
            if self.groups.len() > 1 && self.by_locality {
                write!(f, " (weight {})", group.weight)?;
            }
        }
        Ok(())
    }
}

impl Spread {
    fn says_something(&self) -> bool {
        let differ = |two: &[Place]| two[0].weight != two[1].weight;
        let priorities = self.groups.iter().any(|group| group.priority > 0);
        self.places.windows(2).any(differ) || priorities || self.by_locality && self.groups.len() > 1
    }
}

/// Istio: the first label that differs decides; the later it stands, the nearer. A network that differs comes after all
/// else where it stands first.
fn rank(labels: &[String], own: (&Locality, &Labels), endpoint: (&Locality, &Labels)) -> u32 {
    let count = labels.len() as u32;
    let with_network = labels.first().is_some_and(|first| first == NETWORK);
    let mut other_network = 0;
    for (at, label) in labels.iter().enumerate() {
        let (name, wanted) = match label.split_once('=') {
            Some((name, value)) if !value.contains('=') => (name, Some(value)),
            _ => (label.split('=').next().unwrap_or_default(), None),
        };
        let wanted = wanted.unwrap_or_else(|| own.0.label(own.1, name));
        if wanted != endpoint.0.label(endpoint.1, name) {
            if at == 0 && with_network {
                other_network = count;
                continue;
            }
            return count - at as u32 + other_network;
        }
    }
    other_network
}

const NETWORK: &str = "topology.istio.io/network";

/// Priorities are numbered without gaps.
fn compact(priorities: &mut [u32]) {
    let mut known: Vec<u32> = priorities.to_vec();
    known.sort_unstable();
    known.dedup();
    for priority in priorities {
        *priority = known.iter().take_while(|one| **one < *priority).count() as u32;
    }
}

/// The weights of localities that get a share; the others get nothing, and so their endpoints are none.
fn distributed<'l>(
    weights: &BTreeMap<(u32, &'l Locality), u32>,
    to: &BTreeMap<String, u32>,
) -> BTreeMap<(u32, &'l Locality), u32> {
    let mut shared = BTreeMap::new();
    // Istio leaves it to chance who comes first where a locality is meant twice: the one that says more does.
    let mut to: Vec<(&String, &u32)> = to.iter().collect();
    to.sort_by_key(|(locality, _)| (locality.contains('*'), Reverse(locality.len())));
    for (meant, share) in to {
        let meant = Locality::parse(meant);
        let own: Vec<_> = weights
            .iter()
            .filter(|((_, locality), _)| locality.is_meant(&meant))
            .filter(|(key, _)| !shared.contains_key(*key))
            .map(|(key, weight)| (*key, *weight))
            .collect();
        let sum: f64 = own.iter().map(|(_, weight)| f64::from(*weight)).sum();
        for (key, weight) in own {
            let part = f64::from(weight) * f64::from(*share) / sum;
            shared.insert(key, if part > 0.0 { part.ceil() as u32 } else { weight });
        }
    }
    shared
}
