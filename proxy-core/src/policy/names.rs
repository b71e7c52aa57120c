//! Named values, of which there may be very many. Copies share all but the parts in which they differ, so that a policy
//! that was changed in one place is made without copying the rest.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use hashbrown::HashTable;

/// Names in a part when there is just room for all: a table of 128 places holds 112, and parts are not filled evenly.
const IN_A_PART: usize = 88;
/// Names in a part on average at which there are to be more parts.
const FULL: usize = 112;

/// What a value is found by.
pub(super) trait Named {
    fn name(&self) -> &str;
}

/// A hash table of named values in parts that copies share.
#[derive(Clone)]
pub(super) struct NameMap<T> {
    parts: Vec<Arc<HashTable<T>>>,
    length: usize,
    hasher: RandomState,
}

impl<T> Default for NameMap<T> {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            length: 0,
            hasher: RandomState::new(),
        }
    }
}

/// In the order of the names, so that equal maps read alike.
impl<T: Named + fmt::Debug> fmt::Debug for NameMap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all: Vec<&T> = self.iter().collect();
        all.sort_by_key(|value| value.name());
        f.debug_list().entries(all).finish()
    }
}

impl<T> NameMap<T> {
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// All values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// The part for a hash. A table itself takes its lowest and its highest bits.
    fn part_of(&self, hash: u64) -> usize {
        let middle = (hash >> 16) & u64::from(u32::MAX);
        ((middle * self.parts.len() as u64) >> 32) as usize
    }
}

impl<T: Named + Clone> NameMap<T> {
    /// The value of this name. Does not allocate.
    pub fn get(&self, name: &str) -> Option<&T> {
        if self.is_empty() {
            return None;
        }
        let hash = self.hasher.hash_one(name);
        self.parts[self.part_of(hash)].find(hash, |value| value.name() == name)
    }

    /// Adds a value; false where there is one of its name, which stays.
    pub fn add(&mut self, value: T) -> bool {
        let is_new = self.get(value.name()).is_none();
        if is_new {
            self.put(value);
        }
        is_new
    }

    /// Adds a value in the place of the one of its name.
    pub fn put(&mut self, value: T) {
        if self.length >= self.parts.len() * FULL {
            self.divide((2 * self.parts.len()).max(1));
        }
        let hash = self.hasher.hash_one(value.name());
        let part = self.part_of(hash);
        let part = Arc::make_mut(&mut self.parts[part]);
        match part.find_mut(hash, |known| known.name() == value.name()) {
            Some(known) => *known = value,
            None => {
                part.insert_unique(hash, value, |known| self.hasher.hash_one(known.name()));
                self.length += 1;
            }
        }
    }

    /// Takes the value of this name out.
    pub fn remove(&mut self, name: &str) -> Option<T> {
        // A part that has it not stays shared.
        self.get(name)?;
        let hash = self.hasher.hash_one(name);
        let part = self.part_of(hash);
        let found = Arc::make_mut(&mut self.parts[part]).find_entry(hash, |value| value.name() == name);
        let (value, _) = found.ok()?.remove();
        self.length -= 1;
        Some(value)
    }

    /// Makes room for this many more.
    pub fn reserve(&mut self, more: usize) {
        let parts = (self.length + more).div_ceil(IN_A_PART);
        if parts > self.parts.len() {
            self.divide(parts);
        }
    }

    /// Shares the values out among this many parts.
    fn divide(&mut self, parts: usize) {
        let before = std::mem::take(&mut self.parts);
        self.parts.resize_with(parts, Arc::default);
        for value in before.iter().flat_map(|part| part.iter()) {
            let hash = self.hasher.hash_one(value.name());
            let part = self.part_of(hash);
            Arc::make_mut(&mut self.parts[part])
                .insert_unique(hash, value.clone(), |known| self.hasher.hash_one(known.name()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Named for (Arc<str>, usize) {
        fn name(&self) -> &str {
            &self.0
        }
    }

    fn numbered(count: usize) -> NameMap<(Arc<str>, usize)> {
        let mut map = NameMap::default();
        for number in 0..count {
            assert!(map.add((format!("h{number}").into(), number)));
        }
        map
    }

    #[test]
    fn every_name_is_found_however_many_there_are() {
        for count in [0, 1, 100, 5_000] {
            let map = numbered(count);
            assert_eq!((map.length, map.iter().count()), (count, count));
            for number in 0..count {
                assert_eq!(map.get(&format!("h{number}")).map(|value| value.1), Some(number));
            }
            assert_eq!(map.get("other"), None);
        }
    }

    #[test]
    fn the_first_of_a_name_stays_where_it_is_added_and_goes_where_another_is_put() {
        let mut map = numbered(1);
        assert!(!map.add(("h0".into(), 7)));
        assert_eq!(map.get("h0").map(|value| value.1), Some(0));
        map.put(("h0".into(), 7));
        assert_eq!((map.get("h0").map(|value| value.1), map.length), (Some(7), 1));
    }

    #[test]
    fn a_copy_keeps_what_is_taken_out_or_put_in_elsewhere_and_shares_the_rest() {
        let before = numbered(5_000);
        let mut after = before.clone();
        assert_eq!(after.remove("h7").map(|value| value.1), Some(7));
        assert_eq!(after.remove("h7"), None);
        after.put(("h8".into(), 0));
        assert_eq!((before.length, after.length), (5_000, 4_999));
        assert_eq!(before.get("h7").map(|value| value.1), Some(7));
        assert_eq!(before.get("h8").map(|value| value.1), Some(8));
        assert_eq!((after.get("h7"), after.get("h8").map(|value| value.1)), (None, Some(0)));
        let both = before.parts.iter().zip(&after.parts);
        assert!(both.filter(|(before, after)| !Arc::ptr_eq(before, after)).count() <= 2);
    }

    #[test]
    fn room_that_is_made_beforehand_is_enough() {
        let mut map: NameMap<(Arc<str>, usize)> = NameMap::default();
        map.reserve(10_000);
        let parts = map.parts.len();
        for number in 0..10_000 {
            map.put((format!("h{number}").into(), number));
        }
        assert_eq!(map.parts.len(), parts);
    }
}
