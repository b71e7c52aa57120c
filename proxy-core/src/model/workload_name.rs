//! A workload as kubectl names it: `deploy/cart`, `sts/db`, `ds/agent`, `pod/shell`, or the name alone.

use std::{fmt, str::FromStr, sync::Arc};

use super::{Object, WorkloadManifest, World};

/// Names that an error proposes at the most.
const PROPOSED: usize = 5;
/// How alike a name must be to be proposed; of 1, by Jaro and Winkler, who weigh the beginning of a name.
const ALIKE: f64 = 0.7;

/// The kinds with what kubectl takes for them; the first is the shortest.
const KINDS: [(&str, &[&str]); 4] = [
    (
        "Deployment",
        &["deploy", "deployment", "deployments", "deployments.apps"],
    ),
    (
        "StatefulSet",
        &["sts", "statefulset", "statefulsets", "statefulsets.apps"],
    ),
    ("DaemonSet", &["ds", "daemonset", "daemonsets", "daemonsets.apps"]),
    ("Pod", &["pod", "po", "pods"]),
];

/// A workload's name, with its kind where that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadName {
    kind: Option<&'static str>,
    name: String,
}

/// A text that names no workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no workload; expected deploy/NAME, sts/NAME, ds/NAME, pod/NAME or NAME")]
pub struct NotAName(String);

/// A workload that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no workload {name} in the namespace {namespace}{}", self.proposal())]
pub struct UnknownWorkload {
    name: WorkloadName,
    namespace: String,
    /// What may have been meant, the likeliest first.
    near: Vec<String>,
}

impl WorkloadName {
    /// The name alone.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a workload of this kind can be meant.
    pub fn may_be(&self, kind: &str) -> bool {
        self.kind.is_none_or(|own| own == kind)
    }

    /// The workload of `namespace` that is called so, the first in the order of the files.
    pub fn find<'w>(
        &self,
        world: &'w World,
        namespace: &str,
    ) -> Result<&'w Arc<Object<WorkloadManifest>>, UnknownWorkload> {
        let found = world.workloads.iter().find(|workload| {
            *workload.meta.namespace == *namespace
                && *workload.meta.name == *self.name
                && self.may_be(workload.spec.kind)
        });
        found.ok_or_else(|| UnknownWorkload {
            name: self.clone(),
            namespace: namespace.into(),
            near: self.near(world, namespace),
        })
    }

    fn near(&self, world: &World, namespace: &str) -> Vec<String> {
        let mut rated: Vec<(f64, String)> = world
            .workloads
            .iter()
            .filter_map(|workload| {
                let own = &workload.meta.name;
                let alike = strsim::jaro_winkler(own, &self.name);
                let here = *workload.meta.namespace == *namespace;
                // In another namespace only the name itself can have been meant.
                let proposed = if here { alike >= ALIKE } else { **own == *self.name };
                let text = format!("{}/{own}", short(workload.spec.kind));
                let text = if here {
                    text
                } else {
                    format!("{text} -n {}", workload.meta.namespace)
                };
                proposed.then_some((alike, text))
            })
            .collect();
        rated.sort_by(|(alike, text), (other, other_text)| other.total_cmp(alike).then(text.cmp(other_text)));
        rated.truncate(PROPOSED);
        rated.into_iter().map(|(_, text)| text).collect()
    }
}

impl UnknownWorkload {
    fn proposal(&self) -> String {
        match self.near.as_slice() {
            [] => String::new(),
            near => format!("; near to it: {}", near.join(", ")),
        }
    }
}

impl FromStr for WorkloadName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let wrong = || NotAName(text.to_string());
        let (kind, name) = match text.split_once('/') {
            None => (None, text),
            Some((kind, name)) => {
                let kind = kind.to_ascii_lowercase();
                let known = KINDS.iter().find(|(_, words)| words.contains(&kind.as_str()));
                (Some(known.ok_or_else(wrong)?.0), name)
            }
        };
        if name.is_empty() || name.contains('/') {
            return Err(wrong());
        }
        Ok(Self {
            kind,
            name: name.to_string(),
        })
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "{}/{}", short(kind), self.name),
            None => f.write_str(&self.name),
        }
    }
}

fn short(kind: &str) -> &'static str {
    let known = KINDS.iter().find(|(own, _)| *own == kind);
    known.map_or("pod", |(_, words)| words[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Meta, Place};

    fn world(workloads: &[(&'static str, &str, &str)]) -> World {
        let object = |(kind, namespace, name): &(&'static str, &str, &str)| {
            let meta = Meta {
                namespace: (*namespace).into(),
                name: (*name).into(),
                ..Meta::default()
            };
            let place = Place {
                file: "w.yaml".into(),
                line: 1,
                column: 1,
            };
            let spec = WorkloadManifest {
                kind,
                ..WorkloadManifest::default()
            };
            Arc::new(Object::new(meta, place, spec))
        };
        World {
            workloads: workloads.iter().map(object).collect(),
            ..World::default()
        }
    }

    fn named(text: &str) -> WorkloadName {
        text.parse().unwrap()
    }

    #[test]
    fn a_workload_is_found_by_kubectls_short_forms_and_by_its_name_alone() {
        let world = world(&[
            ("StatefulSet", "shop", "cart"),
            ("Deployment", "shop", "cart"),
            ("Deployment", "store", "cart"),
        ]);
        for (text, kind) in [
            ("deploy/cart", "Deployment"),
            ("Deployment/cart", "Deployment"),
            ("deployments.apps/cart", "Deployment"),
            ("sts/cart", "StatefulSet"),
            ("cart", "StatefulSet"),
        ] {
            let found = named(text).find(&world, "shop").unwrap();
            assert_eq!((found.spec.kind, &*found.meta.namespace), (kind, "shop"), "{text}");
        }
        for wrong in ["", "deploy/", "job/cart", "deploy/a/b"] {
            assert!(wrong.parse::<WorkloadName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unknown_workload_is_told_with_what_is_near_to_it() {
        let world = world(&[
            ("Deployment", "shop", "card"),
            ("DaemonSet", "shop", "unlike"),
            ("Pod", "store", "cart"),
            ("Pod", "store", "carts"),
        ]);
        let error = named("deploy/cart").find(&world, "shop").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no workload deploy/cart in the namespace shop; near to it: pod/cart -n store, deploy/card"
        );
        let error = named("zzz").find(&world, "shop").unwrap_err();
        assert_eq!(error.to_string(), "there is no workload zzz in the namespace shop");
    }
}
