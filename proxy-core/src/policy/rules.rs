//! DestinationRules as a sidecar takes them: which rule holds for a service, and what several rules for one host in one
//! namespace come to. Istio: `destinationRuleIndex`.

use std::collections::{BTreeSet, HashMap};

use super::{
    Workload,
    hosts::{self, HostMap},
    registry::{self, RegistryService},
};
use crate::model::{DestinationRule, Labels, MeshConfig, Object, ObjectRef, PolicySet, Subset, World};

/// One or several rules for one host.
#[derive(Debug, Clone)]
pub(super) struct Rule<'w> {
    /// Those that it is of, the first to hold first.
    objects: Vec<&'w Object<DestinationRule>>,
    pub policy: Option<&'w PolicySet>,
    pub subsets: Vec<&'w Subset>,
    pub selector: Option<&'w Labels>,
    namespace: &'w str,
    export_to: BTreeSet<&'w str>,
}

/// The rules of one namespace, or those of it that are exported.
#[derive(Debug, Default)]
struct Consolidated<'w> {
    by_host: HostMap<usize>,
    rules: Vec<Vec<Rule<'w>>>,
}

/// All rules.
#[derive(Debug, Default)]
pub(super) struct Rules<'w> {
    local: HashMap<&'w str, Consolidated<'w>>,
    exported: HashMap<&'w str, Consolidated<'w>>,
    private_to_root: Consolidated<'w>,
    root: String,
}

impl<'w> Rules<'w> {
    pub fn new(world: &'w World, mesh: &'w MeshConfig) -> Self {
        let mut sorted: Vec<&'w Object<DestinationRule>> = world.destination_rules.iter().map(|rule| &**rule).collect();
        // Those with a selector first, then the older.
        sorted.sort_by_key(|rule| {
            (
                rule.spec.workload_selector.is_none(),
                registry::age(rule, &rule.meta.name),
            )
        });
        let mut rules = Self {
            root: mesh.root_namespace.clone(),
            ..Self::default()
        };
        for object in sorted {
            let namespace = &*object.meta.namespace;
            let rule = Rule::of(object);
            let list = &rule.export_to;
            let is_own = |entry: &str| entry == "." || entry == namespace;
            if list.is_empty() || list.contains("*") || list.iter().any(|entry| is_own(entry)) {
                rules.local.entry(namespace).or_default().add(object, rule.clone());
            }
            let default_is_private = mesh.default_destination_rule_export_to.iter().any(|entry| entry == ".");
            let private = match rule.export_to.len() {
                0 => default_is_private,
                1 => rule.export_to.iter().any(|entry| is_own(entry)),
                _ => false,
            };
            if !private {
                rules.exported.entry(namespace).or_default().add(object, rule);
            } else if namespace == mesh.root_namespace {
                rules.private_to_root.add(object, rule);
            }
        }
        rules
    }

    /// The rule that holds for calls of `workload` to `service`: of the caller's namespace, else what the service's
    /// exports, else what the root namespace exports. For a caller in the root namespace its own rules are only first
    /// where they are private to it.
    pub fn for_service(&self, service: &RegistryService, workload: &Workload) -> Option<&Rule<'w>> {
        let own = &*workload.namespace;
        let local = if own == self.root {
            Some(&self.private_to_root)
        } else {
            self.local.get(own)
        };
        let exported = |namespace: &str| {
            let rules = self.exported.get(namespace)?.get(&service.host)?;
            let seen = |rule: &&Rule<'_>| {
                rule.export_to.is_empty() || rule.export_to.contains("*") || rule.export_to.contains(own)
            };
            let rules: Vec<&Rule<'_>> = rules.iter().filter(seen).collect();
            (!rules.is_empty()).then_some(rules)
        };
        let rules: Vec<&Rule<'_>> = local
            .and_then(|local| local.get(&service.host))
            .map(|rules| rules.iter().collect())
            .or_else(|| exported(service.namespace()))
            .or_else(|| exported(&self.root))?;
        let selects = |rule: &&&Rule<'_>| {
            rule.namespace == own
                && rule.selector.is_some_and(|labels| {
                    labels
                        .iter()
                        .all(|(key, value)| workload.labels.get(key) == Some(value))
                })
        };
        let selected = rules.iter().find(selects);
        selected
            .or_else(|| rules.iter().rev().find(|rule| rule.selector.is_none()))
            .copied()
    }
}

impl<'w> Rule<'w> {
    fn of(object: &'w Object<DestinationRule>) -> Self {
        let spec = &object.spec;
        let selector = spec.workload_selector.as_ref();
        Self {
            objects: vec![object],
            policy: spec.policy.as_ref(),
            subsets: spec.subsets.iter().collect(),
            selector,
            namespace: &object.meta.namespace,
            // A rule for some callers is its namespace's own.
            export_to: match selector {
                Some(_) => ["."].into(),
                None => spec.export_to.iter().map(String::as_str).collect(),
            },
        }
    }

    /// Takes over what `younger` has and this has not.
    fn join(&mut self, younger: &Self) {
        for subset in &younger.subsets {
            if !self.subsets.iter().any(|known| known.name == subset.name) {
                self.subsets.push(subset);
            }
        }
        self.policy = self.policy.or(younger.policy);
        self.objects.extend(&younger.objects);
    }

    /// Where the policy is written that a service has, or its `subset`.
    pub fn reference(&self, subset: Option<&Subset>) -> Option<ObjectRef> {
        let own = |subset: &'_ Subset| {
            let policy = subset.policy.as_ref()?;
            let has_it = |object: &&&Object<DestinationRule>| {
                let mut subsets = object.spec.subsets.iter();
                subsets.any(|known| std::ptr::eq(known, subset))
            };
            Some((*self.objects.iter().find(has_it)?, policy.line))
        };
        let of_rule = || {
            let mut policies = self.objects.iter();
            policies.find_map(|object| Some((*object, object.spec.policy.as_ref()?.line)))
        };
        let (object, line) = subset.and_then(own).or_else(of_rule)?;
        Some(object.reference("DestinationRule", line))
    }
}

impl<'w> Consolidated<'w> {
    /// The rules for the most specific host that covers `host`.
    fn get(&self, host: &str) -> Option<&[Rule<'w>]> {
        self.by_host.get(host).map(|index| &*self.rules[*index])
    }

    /// Adds a rule: joined with those for the same host that are exported alike and select alike, else beside them.
    fn add(&mut self, object: &Object<DestinationRule>, rule: Rule<'w>) {
        let host = hosts::qualify(&object.spec.host, rule.namespace);
        let Some(index) = self.by_host.exactly(&host).copied() else {
            self.by_host.insert(host, self.rules.len());
            self.rules.push(vec![rule]);
            return;
        };
        let mut beside = true;
        for known in &mut self.rules[index] {
            let same = rule.export_to == known.export_to;
            // Where the newcomer is exported further it is joined and stands beside the known ones too.
            let wider = !known.export_to.is_empty() && rule.export_to.is_superset(&known.export_to);
            beside = !same;
            if !same && !wider {
                continue;
            }
            match (known.selector, rule.selector) {
                (Some(known), Some(own)) if known != own => {
                    beside = true;
                    continue;
                }
                (Some(_), Some(_)) | (None, None) => beside = false,
                _ => {}
            }
            known.join(&rule);
        }
        if beside {
            self.rules[index].push(rule);
        }
    }
}
