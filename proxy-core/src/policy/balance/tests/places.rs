//! Which endpoints are called first, by where they and the caller are.

use super::super::{Holding, Locality, Placed, Spreading};
use crate::model::{Distribution, Labels, LocalitySetting};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
    pairs.iter().map(owned).collect()
}

/// Locality, priority and weight of each group, and which endpoints there are.
fn placed(setting: Holding<'_>, caller: &[(&str, &str)], ejects: bool, endpoints: &[(&str, u32)]) -> String {
    let (caller, none) = (labels(caller), Labels::new());
    let endpoints: Vec<Placed<'_>> = endpoints
        .iter()
        .map(|(locality, weight)| Placed {
            weight: *weight,
            locality,
            labels: &none,
        })
        .collect();
    let spreading = Spreading {
        labels: &caller,
        setting: Some(setting),
        ejects,
        by_labels: true,
    };
    let (spread, there) = spreading.places(&endpoints);
    let there: String = there.iter().map(|there| if *there { '+' } else { '-' }).collect();
    match spread {
        Some(spread) => format!("{spread} {there}"),
        None => format!("alike {there}"),
    }
}

#[test]
fn endpoints_have_the_places_that_istio_gives_them() {
    let own = [("istio-locality", "a.b.c")];
    let near = [("d/b/c", 0), ("a/b/c", 0), ("a/b/x", 0), ("a/x/c", 0), ("e", 0)];
    let nothing = LocalitySetting::default();
    let failover = LocalitySetting {
        failover: vec![("a".into(), "e".into())],
        ..LocalitySetting::default()
    };
    let share = |from: &str, to: &[(&str, u32)]| LocalitySetting {
        distribute: vec![Distribution {
            from: from.into(),
            to: to.iter().map(|(to, weight)| (to.to_string(), *weight)).collect(),
        }],
        ..LocalitySetting::default()
    };
    let by_label = LocalitySetting {
        failover_priority: vec![
            "topology.kubernetes.io/region".into(),
            "topology.kubernetes.io/zone".into(),
        ],
        ..LocalitySetting::default()
    };
    for (setting, ejects, endpoints, expected) in [
        // Without outlier detection nobody would ever be fallen back to.
        (&nothing, false, &near[..], "alike +++++"),
        (
            &nothing,
            true,
            &near[..],
            "1 in a/b/c, then 1 in a/b/x, then 1 in a/x/c, then 1 in d/b/c, 1 in e +++++",
        ),
        (
            &failover,
            true,
            &near[..],
            "1 in a/b/c (weight 1), then 1 in a/b/x (weight 1), then 1 in a/x/c (weight 1), then 1 in e (weight 1), then \
             1 in d/b/c (weight 1) +++++",
        ),
        (
            &by_label,
            true,
            &near[..],
            "1 in a/b/c (weight 1), 1 in a/b/x (weight 1), then 1 in a/x/c (weight 1), then 1 in d/b/c (weight 1), 1 in e \
             (weight 1) +++++",
        ),
        // The two of region d share what their region gets, by what they weigh.
        (
            &share("a/*", &[("d/*", 80), ("e", 20)]),
            false,
            &[("d/x", 3), ("d/y", 1), ("e", 1), ("f", 1)],
            "1 in d/x (weight 60), 1 in d/y (weight 20), 1 in e (weight 20) +++-",
        ),
        (
            &share("z", &[("d", 100)]),
            false,
            &[("d", 0), ("e", 0)],
            "1 in d (weight 1), 1 in e (weight 1) ++",
        ),
        (&nothing, false, &[("", 3), ("", 1)], "2 in no locality ++"),
        (&nothing, false, &[("", 3), ("", 3)], "alike ++"),
    ] {
        let setting = Holding::Localities(setting);
        assert_eq!(placed(setting, &own, ejects, endpoints), expected, "{setting:?}");
    }
}

#[test]
fn zones_set_regions_apart_whether_anybody_is_ejected_or_not() {
    let own = [("istio-locality", "a.b.c")];
    let near = [("d/b/c", 0), ("a/b/c", 0), ("a/x", 0), ("e", 0)];
    let nothing = LocalitySetting::default();
    let failover = LocalitySetting {
        failover: vec![("a".into(), "e".into())],
        ..LocalitySetting::default()
    };
    for (setting, expected) in [
        (&nothing, "1 in a/b/c, 1 in a/x, then 1 in d/b/c, 1 in e ++++"),
        (&failover, "1 in a/b/c, 1 in a/x, then 1 in e, then 1 in d/b/c ++++"),
    ] {
        assert_eq!(placed(Holding::Zones(setting), &own, false, &near), expected);
    }
}

#[test]
fn a_workload_is_where_its_topology_says_before_where_its_label_says() {
    let cases: [(&[(&str, &str)], &str); 5] = [
        (
            &[("topology.kubernetes.io/region", "r"), ("istio-locality", "a.b.c")],
            "r",
        ),
        (&[("istio-locality", "a.b.c")], "a/b/c"),
        (
            &[("topology.istio.io/locality", "x.y"), ("istio-locality", "a.b.c")],
            "x/y",
        ),
        (&[("istio-locality", "a/b.c")], "a/b.c"),
        (&[], "no locality"),
    ];
    for (own, expected) in cases {
        assert_eq!(Locality::of_workload(&labels(own)).to_string(), expected);
    }
}
