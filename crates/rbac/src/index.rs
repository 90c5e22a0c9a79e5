use std::hash::{BuildHasher, Hasher as _};

use crate::Assignee;

/// Hashes with a seed of its own per process, so that names chosen by tenants cannot be aimed at one place.
pub(crate) type Seed = foldhash::quality::RandomState;

/// An immutable hash table: entries in the order of their hashes, each at the place its hash points to or soon behind.
///
/// It takes half as much memory again as the entries, and a find reads one stretch of memory: at a million entries, the
/// time of a check is the number of places it has to wait for.
#[derive(Debug, Clone)]
pub(crate) struct Index<T> {
    slots: Box<[Option<T>]>,
    /// How many places hashes point to.
    homes: u32,
}

impl<T> Index<T> {
    /// Entries beyond the 32-bit numbers that places have are left out: nothing is ever found of them.
    pub(crate) fn new(mut entries: Vec<T>, hash: impl Fn(&T) -> u64) -> Self {
        entries.truncate(wide(u32::MAX / 2));
        let homes = narrow(entries.len() + entries.len() / 2);
        entries.sort_by_cached_key(&hash);
        let mut slots = Vec::with_capacity(wide(homes) + 1);
        for entry in entries {
            let home = home(hash(&entry), homes);
            while slots.len() < home {
                slots.push(None);
            }
            slots.push(Some(entry));
        }
        Self { slots: slots.into_boxed_slice(), homes }
    }

    /// The place of the entry with this hash that `is` says yes to.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<u32> {
        let home = home(hash, self.homes);
        let stretch = self.slots.get(home..)?.iter().map_while(Option::as_ref);
        stretch.zip(narrow(home)..).find(|(entry, _)| is(entry)).map(|(_, place)| place)
    }

    #[inline]
    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        self.slots.get(wide(place))?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.slots.get_mut(wide(place))?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

/// Where in a table of `homes` a hash points to: higher hashes never before lower ones.
#[inline]
fn home(hash: u64, homes: u32) -> usize {
    let scaled = (u128::from(hash) * u128::from(homes)) >> u64::BITS;
    usize::try_from(scaled).unwrap_or(usize::MAX)
}

/// A place as what slices are indexed by.
#[inline]
pub(crate) fn wide(place: u32) -> usize {
    // A 32-bit number fits the pointers of every platform that runs a server.
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// A length as a place; one that does not fit is beyond every place.
pub(crate) fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[inline]
pub(crate) fn hash_of_assignee(seed: &Seed, assignee: Assignee) -> u64 {
    let mut hasher = seed.build_hasher();
    hasher.write_u128(assignee.id.as_u128());
    hasher.write_u8(assignee.kind as u8);
    hasher.finish()
}

#[inline]
pub(crate) fn hash_of_texts<const N: usize>(seed: &Seed, texts: [&str; N]) -> u64 {
    let mut hasher = seed.build_hasher();
    for text in texts {
        hasher.write(text.as_bytes());
        // Keeps `ab` + `c` apart from `a` + `bc`.
        hasher.write_u8(0xff);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_in_it_is_found_and_nothing_else(entries in prop::collection::btree_set(any::<u16>(), 0..200), asked: u16) {
            // A poor hash, so that buckets collide and some stay empty.
            let hash = |n: &u16| u64::from(*n % 32) << 58;
            let index = Index::new(entries.iter().copied().collect(), hash);
            for &entry in entries.iter().chain([&asked]) {
                let found = index.find(hash(&entry), |one| *one == entry);
                prop_assert_eq!(found.and_then(|place| index.get(place)).copied(), entries.get(&entry).copied());
            }
        }
    }
}
