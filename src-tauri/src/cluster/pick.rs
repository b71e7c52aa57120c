//! Which pods' logs are followed: those of the workloads that a person chose, else all, up to a bound.

use std::collections::{BTreeMap, BTreeSet};

/// Most workloads and namespaces that can be chosen.
pub const MAX_CHOSEN: usize = 200;

/// Workloads as `namespace/name`, and whole namespaces by their name; empty takes all.
pub type Chosen = BTreeSet<String>;

/// A pod with a running sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// `namespace/name` of its workload.
    pub workload: String,
    /// Its log is followed now.
    pub followed: bool,
}

/// The pods to follow, at most `bound`: what is followed already stays, so that no line is read twice for nothing.
pub(super) fn pick(pods: &BTreeMap<String, Candidate>, chosen: &Chosen, bound: usize) -> BTreeSet<String> {
    let mut wanted: Vec<_> = pods
        .iter()
        .filter(|(_, pod)| is_chosen(chosen, &pod.workload))
        .collect();
    wanted.sort_by_key(|(_, pod)| !pod.followed);
    wanted.into_iter().take(bound).map(|(key, _)| key.clone()).collect()
}

/// True for a workload that a person chose, itself or with its namespace.
pub(super) fn is_chosen(chosen: &Chosen, workload: &str) -> bool {
    let namespace = workload.split_once('/').map_or(workload, |(namespace, _)| namespace);
    chosen.is_empty() || chosen.contains(workload) || chosen.contains(namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(all: &[(&str, &str, bool)]) -> BTreeMap<String, Candidate> {
        let candidate = |(key, workload, followed): &(&str, &str, bool)| {
            let (workload, followed) = (workload.to_string(), *followed);
            (key.to_string(), Candidate { workload, followed })
        };
        all.iter().map(candidate).collect()
    }

    fn picked(pods: &BTreeMap<String, Candidate>, chosen: &[&str], bound: usize) -> Vec<String> {
        let chosen = chosen.iter().map(ToString::to_string).collect();
        pick(pods, &chosen, bound).into_iter().collect()
    }

    #[test]
    fn the_selection_goes_before_the_bound_and_what_is_followed_stays() {
        let pods = pods(&[
            ("a/1", "a/x", false),
            ("a/2", "a/x", true),
            ("a/3", "a/y", false),
            ("b/1", "b/x", true),
            ("b/2", "b/x", false),
        ]);
        assert_eq!(picked(&pods, &[], 2), ["a/2", "b/1"], "what is followed stays");
        assert_eq!(picked(&pods, &[], 9).len(), 5);
        assert_eq!(
            picked(&pods, &["a/y"], 2),
            ["a/3"],
            "only what was chosen, though others are followed"
        );
        assert_eq!(
            picked(&pods, &["b", "a/y"], 9),
            ["a/3", "b/1", "b/2"],
            "a namespace is all its workloads"
        );
        assert_eq!(
            picked(&pods, &["a"], 2),
            ["a/1", "a/2"],
            "the bound holds for a selection too"
        );
        assert_eq!(picked(&pods, &["c"], 2), Vec::<String>::new());
    }
}
