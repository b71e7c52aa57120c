//! The choice beside a real Envoy 1.40's, and what must hold for all choices.

mod hashes;
mod places;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    Balance, Balancer, Group, Locality, Member, Members, Place, SlowStart, Spread,
    levels::{Health, Load, loads},
};

fn address(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Five endpoints with these weights, in these groups.
fn five(weights: [u32; 5], groups: [usize; 5]) -> Vec<Member> {
    let all = weights.into_iter().zip(groups).zip(21001..);
    all.map(|((weight, group), port)| Member {
        address: address(port),
        weight,
        group,
        is_healthy: true,
        warmth: 1.0,
    })
    .collect()
}

fn group(priority: u32, locality: &str, weight: u32) -> Group {
    Group {
        priority,
        locality: Locality::parse(locality),
        weight,
    }
}

#[test]
fn priorities_give_traffic_away_as_they_lose_endpoints() {
    let health = |all, healthy| Health { all, healthy };
    let load = |percent, panics| Load { percent, panics };
    for (levels, threshold, expected) in [
        (vec![health(10, 10)], 0, vec![load(100, false)]),
        // 1.4 times 5 of 10 is 70 %.
        (
            vec![health(10, 5), health(5, 5)],
            0,
            vec![load(70, false), load(30, false)],
        ),
        (
            vec![health(10, 8), health(5, 5)],
            0,
            vec![load(100, false), load(0, false)],
        ),
        (
            vec![health(10, 0), health(5, 5)],
            0,
            vec![load(0, false), load(100, false)],
        ),
        // Envoy's own example: together they have 30 %, which is made 100.
        (
            vec![health(100, 5), health(100, 15)],
            0,
            vec![load(25, false), load(75, false)],
        ),
        // Nobody is left, and nobody panics: who is asked has none.
        (
            vec![health(3, 0), health(2, 0)],
            0,
            vec![load(100, false), load(0, false)],
        ),
        // All panic: by their size.
        (
            vec![health(3, 0), health(1, 0)],
            50,
            vec![load(75, true), load(25, true)],
        ),
        (vec![health(3, 1)], 50, vec![load(100, true)]),
        (vec![health(3, 2)], 50, vec![load(100, false)]),
        (vec![], 0, vec![]),
    ] {
        assert_eq!(loads(&levels, threshold), expected, "{levels:?} at {threshold} %");
    }
}

#[test]
fn turns_go_by_weight_and_the_less_busy_of_two_is_called() {
    let called = |balancer, weights: [u32; 3], active: [u32; 3], expected: [f64; 3]| {
        let members = &five([weights[0], weights[1], weights[2], 1, 1], [0; 5])[..3];
        let balance = Balance {
            balancer,
            ..Balance::default()
        };
        let mut choice = Members::new(&balance, members, 7);
        let mut state = 88_172_645_463_325_252u64;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut counts = [0.0; 3];
        for _ in 0..6000 {
            let chosen = choice.choose(None, 0, |index| active[index], |_| 1.0, &mut draw);
            counts[chosen.expect("all are healthy")] += 1.0 / 6000.0;
        }
        let near = counts
            .iter()
            .zip(expected)
            .all(|(count, expected)| (count - expected).abs() < 0.04);
        assert!(
            near,
            "{balancer} of {weights:?} busy with {active:?}: {counts:?}, not {expected:?}"
        );
    };
    let alike = [1.0 / 3.0; 3];
    called(Balancer::RoundRobin, [1, 1, 1], [0; 3], alike);
    called(Balancer::RoundRobin, [1, 4, 5], [0; 3], [0.1, 0.4, 0.5]);
    // Envoy 1.40 draws without regard to weights.
    called(Balancer::Random, [1, 2, 3], [0; 3], alike);
    called(Balancer::LeastRequest, [1, 1, 1], [0; 3], alike);
    // The busiest is only called where it is drawn twice: one time in nine.
    called(Balancer::LeastRequest, [1, 1, 1], [9, 0, 0], [0.11, 0.44, 0.44]);
    // A weight counts for less the busier its endpoint is: 1 to 8/4 to 1.
    called(Balancer::LeastRequest, [1, 8, 1], [0, 3, 0], [0.25, 0.5, 0.25]);
}

#[test]
fn who_is_new_gets_its_share_little_by_little() {
    let slow = SlowStart {
        window: Duration::from_secs(10),
        aggression: 1.0,
        minimum_percent: 10.0,
    };
    let part = |slow: SlowStart, seconds: f64| slow.part(Duration::from_secs_f64(seconds));
    assert_eq!(
        [0.0, 0.5, 5.0, 10.0, 11.0].map(|time| part(slow, time)),
        [0.1, 0.1, 0.5, 1.0, 1.0]
    );
    // Envoy: the part of the time to the power of one by the aggression.
    let fast = SlowStart {
        aggression: 2.0,
        ..slow
    };
    assert_eq!([0.4, 2.5].map(|time| part(fast, time)), [0.2, 0.5]);

    for balancer in [Balancer::RoundRobin, Balancer::LeastRequest] {
        let balance = Balance {
            balancer,
            ..Balance::default()
        };
        let mut members = five([1; 5], [0; 5])[..2].to_vec();
        members[1].warmth = 0.25;
        let mut choice = Members::new(&balance, &members, 7);
        let mut counts = [0; 2];
        for _ in 0..500 {
            let chosen = choice.choose(None, 0, |_| 0, |index| members[index].warmth, || 3);
            counts[chosen.expect("all are healthy")] += 1;
        }
        assert_eq!(counts, [400, 100], "{balancer}");
    }
}

fn balancer() -> impl Strategy<Value = Balancer> {
    prop_oneof![
        Just(Balancer::LeastRequest),
        Just(Balancer::RoundRobin),
        Just(Balancer::Random),
        (1u64..200).prop_map(|minimum| Balancer::Ring { minimum }),
        prop_oneof![Just(7), Just(101), Just(1009)].prop_map(|size| Balancer::Maglev { size }),
    ]
}

/// Members in three groups, of which two are called first.
fn members() -> impl Strategy<Value = Vec<Member>> {
    let one = (1u32..9, 0usize..3, any::<bool>());
    prop::collection::vec(one, 0..6).prop_map(|all| {
        let all = all.into_iter().zip(1..);
        all.map(|((weight, group, is_healthy), port)| Member {
            address: address(port),
            weight,
            group,
            is_healthy,
            warmth: 1.0,
        })
        .collect()
    })
}

fn spread(by_locality: bool) -> Spread {
    Spread {
        places: vec![Place { weight: 1, group: 0 }],
        groups: vec![group(0, "a", 3), group(0, "b", 1), group(1, "c", 1)],
        by_locality,
    }
}

proptest! {
    #[test]
    fn loads_always_sum_up_to_100(levels in prop::collection::vec((0usize..9, 0usize..9), 1..5), threshold in 0u32..=100) {
        let levels: Vec<Health> = levels.into_iter().map(|(all, out)| Health { all, healthy: all.saturating_sub(out) }).collect();
        let sum: u32 = loads(&levels, threshold).iter().map(|load| load.percent).sum();
        prop_assert_eq!(sum, 100);
    }

    #[test]
    fn nobody_is_called_who_is_ejected_unless_it_panics(
        balancer in balancer(), members in members(), by_locality: bool, threshold in prop_oneof![Just(0u32), 1u32..=100], seed: u64,
    ) {
        let balance = Balance { balancer, panic_percent: threshold, spread: Some(spread(by_locality)), outlier: None, warmup: None };
        let mut choice = Members::new(&balance, &members, seed);
        let mut draws = seed;
        for attempt in 0..8 {
            draws = draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (hash, draw) = (draws, draws >> 7);
            let chosen = choice.choose(Some(hash), attempt, |_| 0, |_| 1.0, || draw);
            match chosen {
                Some(index) => prop_assert!(threshold > 0 || members[index].is_healthy),
                None => prop_assert!(members.iter().all(|member| !member.is_healthy) || threshold > 0),
            }
        }
    }

    #[test]
    fn a_hash_leads_to_the_same_endpoint_in_whatever_order_they_stand(
        weights in prop::collection::vec(1u32..5, 2..6), hash: u64, maglev: bool,
    ) {
        let balancer = if maglev { Balancer::Maglev { size: 1009 } } else { Balancer::Ring { minimum: 64 } };
        let balance = Balance { balancer, ..Balance::default() };
        let all = weights.iter().zip(1..);
        let mut members: Vec<Member> = all
            .map(|(weight, port)| Member { address: address(port), weight: *weight, group: 0, is_healthy: true, warmth: 1.0 })
            .collect();
        let called = |members: &[Member]| {
            let chosen = Members::new(&balance, members, 0).choose(Some(hash), 0, |_| 0, |_| 1.0, || 0);
            chosen.map(|index| members[index].address)
        };
        let first = called(&members);
        members.rotate_left(1);
        // Points of a ring are shared out by a running sum: with equal weights its order does not count.
        if maglev || weights.windows(2).all(|two| two[0] == two[1]) {
            prop_assert_eq!(called(&members), first);
        }
    }
}
