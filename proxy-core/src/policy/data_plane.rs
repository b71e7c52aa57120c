//! What carries a workload's traffic: the sidecar that a revision injects, ambient's node proxy, or nothing of Istio.
//!
//! The selectors of Istio's injection webhooks decide (`istio-discovery/templates/mutatingwebhook.yaml`): the namespace's
//! `istio-injection` before its `istio.io/rev`, a pod's own labels only where the namespace has neither. A pod with a
//! sidecar is never taken by ambient.

use super::Workload;
use crate::model::{Labels, World};

/// Label of a namespace that says whether its pods get a sidecar.
pub(crate) const INJECTION: &str = "istio-injection";
/// Label that names the revision which injects it.
pub(crate) const REVISION: &str = "istio.io/rev";
/// A pod's own label, and annotation, for the same.
pub(crate) const INJECT: &str = "sidecar.istio.io/inject";
/// Label that says whether ambient carries the traffic.
pub(crate) const MODE: &str = "istio.io/dataplane-mode";
/// Kubernetes' own namespaces, whose pods the injector always leaves alone (`pkg/kube/inject/inject.go`, `IgnoredNamespaces`).
pub(crate) const OF_KUBERNETES: [&str; 4] = ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// What carries a workload's traffic, as labels say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataPlane<'w> {
    /// A sidecar of this revision (empty for the default one).
    Sidecar {
        /// The revision that injects it.
        revision: &'w str,
    },
    /// Ambient's ztunnel: it passes on what nothing names, whatever the outbound mode and the Sidecars say.
    Ambient {
        /// The label that says so, and whose it is.
        because: &'static str,
    },
    /// Nothing of Istio: no policy holds.
    Nothing {
        /// Why.
        because: &'static str,
    },
    /// The namespace is not declared: nothing says which.
    Undeclared,
}

impl<'w> DataPlane<'w> {
    /// Of a workload's pods; `host_network` as their template says.
    pub fn of(world: &'w World, workload: &'w Workload, host_network: bool) -> Self {
        let mut namespaces = world.namespaces.iter();
        let found = namespaces.find(|object| object.meta.name == workload.namespace);
        Self::within(world, found.map(|object| &*object.meta.labels), workload, host_network)
    }

    /// The same where the labels of the workload's namespace were looked up already; `None` where it is not declared.
    pub fn within(world: &'w World, namespace: Option<&'w Labels>, workload: &'w Workload, host_network: bool) -> Self {
        let Some(namespace) = namespace else {
            return Self::Undeclared;
        };
        if host_network {
            let because = "hostNetwork: true";
            return Self::Nothing { because };
        }
        match injection(world, &workload.namespace, namespace, workload) {
            Ok(revision) => Self::Sidecar { revision },
            Err(because) => match (mode(&workload.labels), mode(namespace)) {
                (Some("ambient"), _) => Self::Ambient {
                    because: "istio.io/dataplane-mode: ambient of its pods",
                },
                (Some("none"), Some("ambient")) => Self::Nothing {
                    because: "istio.io/dataplane-mode: none of its pods, in an ambient namespace",
                },
                (_, Some("ambient")) => Self::Ambient {
                    because: "istio.io/dataplane-mode: ambient of the namespace",
                },
                _ => Self::Nothing { because },
            },
        }
    }

    /// The revision whose settings hold, or would hold where a sidecar were injected.
    pub fn revision(self, world: &'w World) -> &'w str {
        match self {
            Self::Sidecar { revision } => revision,
            _ => world.revision_called("default"),
        }
    }
}

/// The revision that injects, or why none does.
fn injection<'w>(
    world: &'w World,
    name: &str,
    namespace: &'w Labels,
    workload: &'w Workload,
) -> Result<&'w str, &'static str> {
    if OF_KUBERNETES.contains(&name) {
        return Err("a namespace of Kubernetes itself");
    }
    let pod = &workload.labels;
    let own = pod.get(INJECT).or_else(|| workload.annotations.get(INJECT));
    if own.is_some_and(|inject| inject == "false") {
        return Err("sidecar.istio.io/inject: false of its pods");
    }
    let default = || world.revision_called("default");
    match (namespace.get(INJECTION).map(String::as_str), namespace.get(REVISION)) {
        (Some("enabled"), _) => Ok(default()),
        (Some(_), _) => Err("istio-injection of the namespace is not enabled"),
        (None, Some(revision)) => Ok(world.revision_called(revision)),
        (None, None) => match (pod.get(REVISION), pod.get(INJECT).map(String::as_str)) {
            (Some(revision), _) => Ok(world.revision_called(revision)),
            (None, Some("true")) => Ok(default()),
            (None, _) => Err("no label asks for a sidecar"),
        },
    }
}

fn mode(labels: &Labels) -> Option<&str> {
    labels.get(MODE).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Meta, Namespace, Object, Place, RevisionTag};

    fn labels(text: &str) -> Labels {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.into(), value.into())).collect()
    }

    fn object<T: std::fmt::Debug>(name: &str, labels: Labels, spec: T) -> Arc<Object<T>> {
        let place = Place {
            file: "a.yaml".into(),
            line: 1,
            column: 1,
        };
        let meta = Meta {
            name: name.into(),
            labels: labels.into(),
            ..Meta::default()
        };
        Arc::new(Object::new(meta, place, spec))
    }

    fn told(namespace: &str, pod: &str, tags: &[(&str, &str)]) -> String {
        let tags = tags.iter().map(|(tag, revision)| {
            let spec = RevisionTag {
                tag: (*tag).into(),
                revision: (*revision).into(),
            };
            object(tag, Labels::new(), spec)
        });
        let world = World {
            namespaces: vec![object("shop", labels(namespace), Namespace)],
            tags: tags.collect(),
            ..World::default()
        };
        let workload = Workload {
            namespace: "shop".into(),
            labels: labels(pod),
            ..Workload::default()
        };
        match DataPlane::of(&world, &workload, false) {
            DataPlane::Sidecar { revision } => format!("sidecar {revision}"),
            DataPlane::Ambient { .. } => "ambient".into(),
            DataPlane::Nothing { .. } => "nothing".into(),
            DataPlane::Undeclared => "undeclared".into(),
        }
    }

    #[test]
    fn labels_decide_as_the_injection_webhooks_select() {
        let ambient = "istio.io/dataplane-mode=ambient";
        for (namespace, pod, expected) in [
            ("istio-injection=enabled", "", "sidecar "),
            ("istio-injection=enabled istio.io/rev=1-31", "", "sidecar "),
            ("istio-injection=disabled istio.io/rev=1-31", "", "nothing"),
            ("istio.io/rev=1-31", "istio.io/rev=1-30", "sidecar 1-31"),
            ("istio.io/rev=default", "", "sidecar "),
            ("", "istio.io/rev=1-30", "sidecar 1-30"),
            ("", "sidecar.istio.io/inject=true", "sidecar "),
            ("", "", "nothing"),
            ("istio-injection=enabled", "sidecar.istio.io/inject=false", "nothing"),
            (ambient, "", "ambient"),
            (ambient, "istio.io/dataplane-mode=none", "nothing"),
            (ambient, "sidecar.istio.io/inject=true", "sidecar "),
            (
                "istio-injection=enabled istio.io/dataplane-mode=ambient",
                "",
                "sidecar ",
            ),
            ("", "istio.io/dataplane-mode=ambient", "ambient"),
        ] {
            assert_eq!(told(namespace, pod, &[]), expected, "{namespace}; {pod}");
        }
    }

    #[test]
    fn a_tag_stands_for_its_revision_and_the_default_tag_for_injection_without_one() {
        let tags = [("prod", "1-31"), ("default", "1-30")];
        assert_eq!(told("istio.io/rev=prod", "", &tags), "sidecar 1-31");
        assert_eq!(told("istio-injection=enabled", "", &tags), "sidecar 1-30");
        assert_eq!(told("istio.io/rev=canary", "", &tags), "sidecar canary");
    }

    #[test]
    fn pods_of_the_host_network_and_of_an_undeclared_namespace_are_not_taken_for_injected() {
        let world = World::default();
        let workload = Workload::default();
        assert_eq!(DataPlane::of(&world, &workload, false), DataPlane::Undeclared);
        let world = World {
            namespaces: vec![object("", labels("istio-injection=enabled"), Namespace)],
            ..World::default()
        };
        assert!(matches!(
            DataPlane::of(&world, &workload, true),
            DataPlane::Nothing { .. }
        ));
    }
}
