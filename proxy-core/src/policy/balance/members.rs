//! The choice among endpoints. Source: Envoy's load balancers (`source/extensions/load_balancing_policies`).

use std::net::SocketAddr;

use super::{
    Balance, Balancer,
    levels::{self, Health},
    table::{Share, Table},
};

/// An endpoint that may be chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// Its address.
    pub address: SocketAddr,
    /// Its weight, 1 or more.
    pub weight: u32,
    /// Its group, by the index in the cluster's `Spread`.
    pub group: usize,
    /// False while it is ejected.
    pub is_healthy: bool,
    /// The part of its weight that counts while it is new; else 1.
    pub warmth: f64,
}

/// The endpoints of a cluster as they are chosen from, made again whenever one comes, goes, is ejected or returns.
#[derive(Debug, Default)]
pub struct Members {
    levels: Vec<Level>,
}

/// One priority.
#[derive(Debug)]
struct Level {
    /// Share of the traffic in percent.
    load: u32,
    pick: Pick,
}

/// How one of several is chosen.
#[derive(Debug)]
enum Pick {
    /// By the hash.
    Table(Table),
    /// A locality, then one of it.
    Localities(Turns, Vec<Few>),
    /// One of all.
    All(Few),
}

/// Endpoints that are chosen among without regard to where they are.
#[derive(Debug)]
struct Few {
    way: Way,
    /// Their indices.
    of: Vec<usize>,
    /// Whose turn is next.
    next: usize,
    /// Where weights differ.
    turns: Option<Turns>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    RoundRobin,
    LeastRequest,
    Random,
}

/// Turns by weight: who was served least for its weight is next. Envoy: `EdfScheduler`.
#[derive(Debug)]
struct Turns {
    weights: Vec<f64>,
    deadlines: Vec<f64>,
}

impl Turns {
    /// `scale` is that of the first turns.
    fn new(weights: Vec<f64>, scale: impl Fn(usize) -> f64) -> Self {
        let first = |(at, weight): (usize, &f64)| (weight * scale(at)).recip();
        let deadlines = weights.iter().enumerate().map(first).collect();
        Self { weights, deadlines }
    }

    /// Whose turn it is; `scale` makes a weight smaller for who is busy, or new.
    fn next(&mut self, scale: impl Fn(usize) -> f64) -> Option<usize> {
        let order = |one: &(usize, &f64), other: &(usize, &f64)| one.1.total_cmp(other.1);
        let (next, now) = self.deadlines.iter().enumerate().min_by(order)?;
        self.deadlines[next] = now + (self.weights[next] * scale(next)).recip();
        Some(next)
    }
}

impl Members {
    /// The endpoints, in the order by whose indices they are chosen. `seed` is a random number.
    pub fn new(balance: &Balance, members: &[Member], seed: u64) -> Self {
        let by_locality = balance.spread.as_ref().filter(|spread| spread.by_locality);
        let priority = |member: &Member| match &balance.spread {
            Some(spread) => spread.groups[member.group].priority as usize,
            None => 0,
        };
        let count = members.iter().map(|member| priority(member) + 1).max().unwrap_or(0);
        let of_level = |level: usize| -> Vec<usize> {
            let all = members.iter().enumerate();
            let own = all.filter(|(_, member)| priority(member) == level);
            own.map(|(index, _)| index).collect()
        };
        let levels: Vec<Vec<usize>> = (0..count).map(of_level).collect();
        let of_levels: Vec<Health> = levels.iter().map(|own| health(members, own)).collect();
        let loads = levels::loads(&of_levels, balance.panic_percent);
        let made = levels.into_iter().zip(loads).map(|(all, load)| {
            let eligible = |index: &usize| load.panics || members[*index].is_healthy;
            let of: Vec<usize> = all.iter().copied().filter(eligible).collect();
            let localities = by_locality.map(|spread| {
                let groups = 0..spread.groups.len();
                let parts = groups.map(|group| {
                    let own = |list: &[usize]| -> Vec<usize> {
                        let own = list.iter().copied();
                        own.filter(|index| members[*index].group == group).collect()
                    };
                    let health = health(members, &own(&all));
                    // In panic all endpoints count, and with them the whole weight.
                    let health = if load.panics {
                        Health {
                            healthy: health.all,
                            ..health
                        }
                    } else {
                        health
                    };
                    (levels::locality_weight(spread.groups[group].weight, health), own(&of))
                });
                parts.filter(|(weight, of)| *weight > 0.0 && !of.is_empty()).collect()
            });
            Level {
                load: load.percent,
                pick: Pick::new(balance.balancer, members, of, localities, seed),
            }
        });
        Self { levels: made.collect() }
    }

    /// The index of one, or `None` where nobody may be called. A hash leads to the same one for as long as nothing changes;
    /// without one, it is `draw`. `attempt` counts those that were found to be tried already; `active` are the calls that
    /// are under way to one, `warmth` is the part of its weight that counts by now.
    pub fn choose(
        &mut self,
        hash: Option<u64>,
        attempt: u64,
        active: impl Fn(usize) -> u32,
        warmth: impl Fn(usize) -> f64,
        mut draw: impl FnMut() -> u64,
    ) -> Option<usize> {
        let hash = hash.unwrap_or_else(&mut draw);
        // Envoy: loads are added up until they reach what was drawn, from 1 to 100.
        let drawn = (hash % 100) as u32 + 1;
        let mut sum = 0;
        let level = self.levels.iter_mut().find(|level| {
            sum += level.load;
            drawn <= sum
        })?;
        match &mut level.pick {
            Pick::Table(table) => table.get(hash, attempt),
            Pick::Localities(turns, parts) => {
                let part = turns.next(|_| 1.0)?;
                parts[part].choose(active, warmth, draw)
            }
            Pick::All(few) => few.choose(active, warmth, draw),
        }
    }
}

fn health(members: &[Member], of: &[usize]) -> Health {
    Health {
        all: of.len(),
        healthy: of.iter().filter(|index| members[**index].is_healthy).count(),
    }
}

impl Pick {
    /// `of` are those that may be called; `localities` their parts with a weight each, where localities are weighted.
    fn new(
        balancer: Balancer,
        members: &[Member],
        of: Vec<usize>,
        localities: Option<Vec<(f64, Vec<usize>)>>,
        seed: u64,
    ) -> Self {
        let way = match balancer {
            Balancer::RoundRobin => Way::RoundRobin,
            Balancer::LeastRequest => Way::LeastRequest,
            Balancer::Random => Way::Random,
            Balancer::Ring { minimum } => return Self::Table(Table::ring(&shares(members, of, localities), minimum)),
            Balancer::Maglev { size } => return Self::Table(Table::maglev(&shares(members, of, localities), size)),
        };
        match localities {
            Some(parts) if !parts.is_empty() => {
                let (weights, parts): (Vec<f64>, Vec<_>) = parts.into_iter().unzip();
                let few = parts.into_iter().map(|of| Few::new(way, members, of, seed));
                Self::Localities(Turns::new(weights, |_| 1.0), few.collect())
            }
            _ => Self::All(Few::new(way, members, of, seed)),
        }
    }
}

/// The part of the whole that each endpoint has in a table: its weight's of its locality's.
fn shares(members: &[Member], of: Vec<usize>, localities: Option<Vec<(f64, Vec<usize>)>>) -> Vec<Share> {
    let parts = localities.unwrap_or_else(|| vec![(1.0, of)]);
    let whole: f64 = parts.iter().map(|(weight, _)| weight).sum();
    let of_part = |(weight, of): (f64, Vec<usize>)| {
        let sum: f64 = of.iter().map(|index| f64::from(members[*index].weight)).sum();
        of.into_iter().map(move |index| {
            let member = members[index];
            (
                index as u32,
                member.address,
                weight / whole * (f64::from(member.weight) / sum),
            )
        })
    };
    parts.into_iter().flat_map(of_part).collect()
}

impl Few {
    fn new(way: Way, members: &[Member], of: Vec<usize>, seed: u64) -> Self {
        let weight = |index: &usize| members[*index].weight;
        let alike = of.windows(2).all(|two| weight(&two[0]) == weight(&two[1]));
        // Envoy draws without regard to weights.
        let is_new = |index: &usize| members[*index].warmth < 1.0;
        let weighted = (!alike || of.iter().any(is_new)) && way != Way::Random;
        let weights = || of.iter().map(|index| f64::from(weight(index))).collect();
        Self {
            way,
            turns: weighted.then(|| Turns::new(weights(), |at| members[of[at]].warmth)),
            next: seed as usize,
            of,
        }
    }

    fn choose(
        &mut self,
        active: impl Fn(usize) -> u32,
        warmth: impl Fn(usize) -> f64,
        mut draw: impl FnMut() -> u64,
    ) -> Option<usize> {
        let Self { way, of, next, turns } = self;
        if of.is_empty() {
            return None;
        }
        let mut drawn = || of[(draw() % of.len() as u64) as usize];
        Some(match (way, turns) {
            (Way::RoundRobin, Some(turns)) => of[turns.next(|at| warmth(of[at]))?],
            (Way::LeastRequest, Some(turns)) => {
                of[turns.next(|at| warmth(of[at]) / (f64::from(active(of[at])) + 1.0))?]
            }
            (Way::RoundRobin, None) => {
                *next = next.wrapping_add(1);
                of[*next % of.len()]
            }
            (Way::LeastRequest, None) => {
                let (one, other) = (drawn(), drawn());
                if active(other) < active(one) { other } else { one }
            }
            (Way::Random, _) => drawn(),
        })
    }
}
