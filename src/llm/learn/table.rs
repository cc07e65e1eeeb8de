use crate::base::{FastMap, FastSeed};
use std::hash::BuildHasher;

/// The most bytes of a name; longer ones are not learned.
pub const NAME_BYTES_MAX: usize = 256;

/// Values by `N` names, at most so many: a new one takes the place of the one that was touched the longest ago.
///
/// Looking up allocates nothing. The index is by digest, whose seed is unknown outside; two keys with one digest push
/// each other out, and a slot is looked at only under its whole name.
#[derive(Debug)]
pub(super) struct Table<const N: usize, V> {
    /// Slot by digest of the names.
    index: FastMap<u64, usize>,
    slots: Vec<Slot<N, V>>,
    /// The ends of the list of slots in the order in which they were touched; equal and dangling when there is none.
    newest: usize,
    oldest: usize,
    seed: FastSeed,
    max: usize,
}

#[derive(Debug)]
struct Slot<const N: usize, V> {
    names: [Box<str>; N],
    digest: u64,
    /// Neighbours in the order of touching; an end's neighbour outwards is meaningless.
    newer: usize,
    older: usize,
    value: V,
}

impl<const N: usize, V: Default> Table<N, V> {
    pub(super) fn new(max: usize) -> Table<N, V> {
        let (index, slots, seed) = (FastMap::default(), Vec::new(), FastSeed::default());
        Table { index, slots, newest: 0, oldest: 0, seed, max }
    }

    /// The value under these names.
    pub(super) fn get(&self, names: [&str; N]) -> Option<&V> {
        let slot = self.slots.get(*self.index.get(&self.seed.hash_one(names))?)?;
        slot.is_named(names).then_some(&slot.value)
    }

    /// The value under these names, made if need be, and from now on the one touched last. `None` when a name is too
    /// long or the table may hold nothing.
    pub(super) fn touch(&mut self, names: [&str; N]) -> Option<&mut V> {
        let digest = self.seed.hash_one(names);
        if let Some(&at) = self.index.get(&digest) {
            self.move_to_front(at);
            let slot = self.slots.get_mut(at)?;
            if !slot.is_named(names) {
                *slot = Slot { newer: slot.newer, older: slot.older, ..Slot::new(names, digest) };
            }
            return Some(&mut slot.value);
        }
        if self.max == 0 || names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
            return None;
        }
        let at =
            if self.slots.len() < self.max { self.push(names, digest) } else { self.replace(names, digest) };
        self.index.insert(digest, at);
        self.slots.get_mut(at).map(|slot| &mut slot.value)
    }

    /// All names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = ([&str; N], &V)> {
        self.slots.iter().map(|slot| (slot.names.each_ref().map(|name| &**name), &slot.value))
    }

    /// A new slot at the front.
    fn push(&mut self, names: [&str; N], digest: u64) -> usize {
        let at = self.slots.len();
        self.slots.push(Slot { older: self.newest, ..Slot::new(names, digest) });
        if let Some(front) = self.slots.get_mut(self.newest) {
            front.newer = at;
        }
        self.newest = at;
        at
    }

    /// The oldest slot for these names, at the front.
    fn replace(&mut self, names: [&str; N], digest: u64) -> usize {
        let at = self.oldest;
        self.move_to_front(at);
        if let Some(slot) = self.slots.get_mut(at) {
            self.index.remove(&slot.digest);
            *slot = Slot { newer: slot.newer, older: slot.older, ..Slot::new(names, digest) };
        }
        at
    }

    fn move_to_front(&mut self, at: usize) {
        if at == self.newest {
            return;
        }
        let front = self.newest;
        let Some(slot) = self.slots.get_mut(at) else { return };
        let (newer, older) = (slot.newer, slot.older);
        slot.older = front;
        if let Some(slot) = self.slots.get_mut(newer) {
            slot.older = older;
        }
        if at == self.oldest {
            self.oldest = newer;
        } else if let Some(slot) = self.slots.get_mut(older) {
            slot.newer = newer;
        }
        if let Some(slot) = self.slots.get_mut(front) {
            slot.newer = at;
        }
        self.newest = at;
    }
}

impl<const N: usize, V: Default> Slot<N, V> {
    fn new(names: [&str; N], digest: u64) -> Slot<N, V> {
        Slot { names: names.map(Box::from), digest, newer: 0, older: 0, value: V::default() }
    }
}

impl<const N: usize, V> Slot<N, V> {
    fn is_named(&self, names: [&str; N]) -> bool {
        self.names.iter().zip(names).all(|(ours, theirs)| **ours == *theirs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_told_apart_and_bounded() {
        let mut table: Table<2, u32> = Table::new(4);
        *table.touch(["a", "bc"]).unwrap() = 1;
        *table.touch(["ab", "c"]).unwrap() = 2;
        assert_eq!((table.get(["a", "bc"]), table.get(["ab", "c"])), (Some(&1), Some(&2)));
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        assert_eq!(table.touch([&long, ""]), None);
        assert_eq!(table.touch(["", &long[1..]]), Some(&mut 0));
        assert_eq!(Table::<1, u32>::new(0).touch(["a"]), None);
    }

    proptest! {
        /// As a vector in the order of touching does it.
        #[test]
        fn the_one_touched_the_longest_ago_makes_room(max in 0..6usize, touched in prop::collection::vec(0..9u32, 0..60)) {
            let mut table: Table<1, u32> = Table::new(max);
            let mut naive: Vec<(String, u32)> = Vec::new();
            for name in touched.iter().map(u32::to_string) {
                if let Some(count) = table.touch([&name]) {
                    *count += 1;
                }
                let known = naive.iter().position(|(known, _)| *known == name).map(|at| naive.remove(at));
                naive.push((name, known.map_or(0, |(_, count)| count) + 1));
                if naive.len() > max {
                    naive.remove(0);
                }
                let mut held: Vec<_> = table.iter().map(|([name], count)| (name.to_owned(), *count)).collect();
                let mut expect = naive.clone();
                held.sort();
                expect.sort();
                prop_assert_eq!(held, expect);
                prop_assert_eq!(table.index.len(), table.slots.len());
                for (name, count) in &naive {
                    prop_assert_eq!(table.get([name]), Some(count));
                }
            }
        }
    }
}
