//! How the watches of one kind stand. Where its objects may not be listed as a whole, those of single namespaces are
//! followed instead, for as long as that is so.

use std::{collections::BTreeMap, time::Instant};

use super::connect::FORBIDDEN;
use crate::fault::Fault;

/// How one watch stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    /// All objects were listed once.
    pub synced: bool,
    /// Objects of the newest list, so far.
    pub listed: usize,
    /// What cut it off, and when; the mirror keeps what it had.
    pub lost: Option<(Fault, Instant)>,
}

/// How the watches of one kind stand.
#[derive(Debug, Clone, Default)]
pub(super) struct KindWatch {
    /// Of all objects that matter.
    pub whole: Watch,
    /// That is not allowed; it is asked for again now and then.
    pub refused: bool,
    /// Of single namespaces, once it is known which of them may be listed.
    pub singly: Option<BTreeMap<String, Watch>>,
}

impl Watch {
    /// The API server has said no to it.
    pub fn is_refused(&self) -> bool {
        self.lost.as_ref().is_some_and(|(fault, _)| fault.code == FORBIDDEN)
    }

    /// It has listed everything, or cannot.
    pub fn is_settled(&self) -> bool {
        self.synced || self.lost.is_some()
    }
}

impl KindWatch {
    /// Notes how the watch of everything stands.
    pub fn note_whole(&mut self, watch: &Watch) {
        self.whole = watch.clone();
        if watch.is_refused() {
            self.refused = true;
        } else if watch.synced && watch.lost.is_none() {
            self.refused = false;
            self.singly = None;
        }
    }

    /// Notes how the watch of a single namespace stands.
    pub fn note_single(&mut self, namespace: &str, watch: &Watch) {
        // Once everything is seen again, a watch of a part may still have something to say.
        if self.refused {
            let singly = self.singly.get_or_insert_default();
            singly.insert(namespace.to_string(), watch.clone());
        }
    }

    /// All that can be listed was.
    pub fn is_settled(&self) -> bool {
        match &self.singly {
            Some(singly) if self.refused => singly.values().all(Watch::is_settled),
            None if self.refused => false,
            _ => self.whole.is_settled(),
        }
    }

    /// Something of it was listed.
    pub fn is_seen(&self) -> bool {
        match self.refused {
            false => self.whole.synced,
            true => self.seen_in().next().is_some() || self.whole.synced,
        }
    }

    /// The namespaces in which it is seen, where it is not seen as a whole.
    pub fn seen_in(&self) -> impl Iterator<Item = &str> {
        let singly = self.singly.iter().flatten().filter(|_| self.refused);
        singly
            .filter(|(_, watch)| watch.synced)
            .map(|(namespace, _)| namespace.as_str())
    }

    /// What is cut off of what was seen, with the reason; of the whole, where nothing else is followed.
    pub fn lost(&self) -> Option<&(Fault, Instant)> {
        if self.seen_in().next().is_none() {
            return self.whole.lost.as_ref();
        }
        let singly = self.singly.iter().flat_map(BTreeMap::values);
        let lost = singly.filter(|watch| watch.synced || !watch.is_refused());
        lost.filter_map(|watch| watch.lost.as_ref())
            .min_by_key(|(_, since)| *since)
    }

    /// Objects of the newest lists, so far.
    pub fn listed(&self) -> usize {
        let singly = self.singly.iter().flat_map(BTreeMap::values);
        self.whole.listed + singly.map(|watch| watch.listed).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(synced: bool, lost: Option<&str>) -> Watch {
        Watch {
            synced,
            listed: 0,
            lost: lost.map(|code| (Fault::new(code, ""), Instant::now())),
        }
    }

    fn code(kind: &KindWatch) -> Option<&str> {
        kind.lost().map(|(fault, _)| fault.code.as_str())
    }

    #[test]
    fn a_kind_that_is_refused_is_settled_once_its_single_namespaces_are() {
        let mut kind = KindWatch::default();
        kind.note_whole(&watch(false, Some(FORBIDDEN)));
        assert!(!kind.is_settled(), "which namespaces there are is not known yet");
        kind.singly = Some(BTreeMap::new());
        assert!(kind.is_settled() && !kind.is_seen());
        kind.note_single("a", &watch(false, None));
        assert!(!kind.is_settled());
        kind.note_single("a", &watch(true, None));
        assert!(kind.is_settled() && kind.is_seen());
        assert_eq!(kind.seen_in().collect::<Vec<_>>(), ["a"]);
        kind.note_whole(&watch(true, None));
        kind.note_single("a", &watch(true, None));
        assert_eq!((kind.seen_in().count(), kind.is_seen()), (0, true));
    }

    #[test]
    fn what_is_lost_is_told_of_what_was_seen_and_not_of_what_never_may_be() {
        let mut kind = KindWatch::default();
        kind.note_whole(&watch(false, Some(FORBIDDEN)));
        assert_eq!(code(&kind), Some(FORBIDDEN));
        kind.note_single("a", &watch(true, None));
        kind.note_single("b", &watch(false, Some(FORBIDDEN)));
        assert_eq!(code(&kind), None);
        // The network goes: the whole says so too, and is still refused.
        kind.note_whole(&watch(false, Some("unreachable")));
        kind.note_single("a", &watch(true, Some("unreachable")));
        assert_eq!(code(&kind), Some("unreachable"));
        assert_eq!(kind.seen_in().count(), 1);
    }
}
