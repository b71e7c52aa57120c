//! What differs between two worlds: the entries, routes and rules that were added and removed.

use std::{collections::HashMap, sync::Arc};

use crate::model::{DestinationRule, Object, ServiceEntry, VirtualService, World};

type List<T> = [Arc<Object<T>>];

/// The differences between two lists of objects. What is in both stands in both in the same order.
pub(super) struct Edit<'w, T> {
    /// What both begin with.
    begin: &'w List<T>,
    was: &'w List<T>,
    now: &'w List<T>,
    /// What both end with.
    end: &'w List<T>,
    /// Those that are in one of them alone: the removed and the added.
    pub changed: Vec<&'w Arc<Object<T>>>,
}

/// The differences between two worlds that differ in nothing else.
pub(super) struct Edits<'w> {
    pub service_entries: Edit<'w, ServiceEntry>,
    pub virtual_services: Edit<'w, VirtualService>,
    pub destination_rules: Edit<'w, DestinationRule>,
}

impl<'w> Edits<'w> {
    /// `None` where the worlds differ in objects that more depends on: the mesh's settings, Sidecars, namespaces, revisions,
    /// Kubernetes Services, workloads, or the release of Istio.
    pub fn between(was: &'w World, now: &'w World) -> Option<Self> {
        let same = was.version == now.version
            && same(&was.mesh_configs, &now.mesh_configs)
            && same(&was.injectors, &now.injectors)
            && same(&was.tags, &now.tags)
            && same(&was.namespaces, &now.namespaces)
            && same(&was.services, &now.services)
            && same(&was.workloads, &now.workloads)
            && same(&was.sidecars, &now.sidecars);
        if !same {
            return None;
        }
        Some(Self {
            service_entries: Edit::between(&was.service_entries, &now.service_entries)?,
            virtual_services: Edit::between(&was.virtual_services, &now.virtual_services)?,
            destination_rules: Edit::between(&was.destination_rules, &now.destination_rules)?,
        })
    }
}

impl<'w, T: PartialEq> Edit<'w, T> {
    /// `None` where objects that are in both have changed places: of objects of one age the first counts.
    fn between(was: &'w List<T>, now: &'w List<T>) -> Option<Self> {
        let is_one = |(was, now): &(&Arc<Object<T>>, &Arc<Object<T>>)| Arc::ptr_eq(was, now);
        let begin = was.iter().zip(now).take_while(is_one).count();
        let (begin, was) = was.split_at(begin);
        let now = &now[begin.len()..];
        let end = was.iter().rev().zip(now.iter().rev()).take_while(is_one).count();
        let (was, end) = was.split_at(was.len() - end);
        let now = &now[..now.len() - end.len()];

        // A file that is read again makes all its objects anew, most of them as they were.
        let by_digest: HashMap<u64, usize> = was
            .iter()
            .enumerate()
            .map(|(at, object)| (object.digest(), at))
            .collect();
        let (mut kept, mut next, mut added) = (vec![false; was.len()], 0, Vec::new());
        for object in now {
            match by_digest.get(&object.digest()).filter(|at| was[**at] == *object) {
                Some(at) if *at < next => return None,
                Some(at) => {
                    kept[*at] = true;
                    next = at + 1;
                }
                None => added.push(object),
            }
        }
        let removed = was.iter().zip(kept).filter(|(_, kept)| !kept).map(|(object, _)| object);
        Some(Self {
            changed: removed.chain(added).collect(),
            begin,
            was,
            now,
            end,
        })
    }

    /// Those of each list that `is_wanted`, in their order; what is in both is looked at once.
    pub fn wanted(&self, is_wanted: impl Fn(&Object<T>) -> bool) -> [Vec<Arc<Object<T>>>; 2] {
        let pick = |list: &List<T>| -> Vec<Arc<Object<T>>> {
            let wanted = list.iter().filter(|object| is_wanted(object));
            wanted.cloned().collect()
        };
        let (begin, end) = (pick(self.begin), pick(self.end));
        [self.was, self.now].map(|own| [&*begin, &*pick(own), &*end].concat())
    }

    /// All objects of either list.
    pub fn all(&self) -> impl Iterator<Item = &'w Arc<Object<T>>> + use<'w, T> {
        self.begin.iter().chain(self.was).chain(self.now).chain(self.end)
    }
}

/// True where both lists say the same in the same order.
fn same<T: PartialEq>(was: &List<T>, now: &List<T>) -> bool {
    let is_same = |(was, now): (&Arc<Object<T>>, &Arc<Object<T>>)| Arc::ptr_eq(was, now) || was == now;
    was.len() == now.len() && was.iter().zip(now).all(is_same)
}
