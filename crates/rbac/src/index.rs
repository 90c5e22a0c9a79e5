use std::hash::{BuildHasher, Hasher as _};

use crate::Assignee;

/// Hashes with a seed of its own per process, so that names chosen by tenants cannot be aimed at one place.
pub(crate) type Seed = foldhash::quality::RandomState;

/// An immutable hash table without gaps: entries in the order of their buckets, and where each bucket begins.
///
/// It takes four to eight bytes beside each entry, and a find touches two places of memory.
#[derive(Debug, Clone)]
pub(crate) struct Index<T> {
    starts: Box<[u32]>,
    entries: Box<[T]>,
    bits: u32,
}

impl<T> Index<T> {
    /// Entries beyond the 32-bit numbers that places have are left out: nothing is ever found of them.
    pub(crate) fn new(mut entries: Vec<T>, hash: impl Fn(&T) -> u64) -> Self {
        entries.truncate(usize::try_from(u32::MAX).unwrap_or(usize::MAX));
        let bits = usize::BITS - entries.len().leading_zeros();
        entries.sort_by_cached_key(|entry| bucket(hash(entry), bits));
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        for (entry, place) in entries.iter().zip(0_u32..) {
            let own = bucket(hash(entry), bits);
            while starts.len() <= own {
                starts.push(place);
            }
        }
        let end = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        starts.resize((1 << bits) + 1, end);
        Self { starts: starts.into_boxed_slice(), entries: entries.into_boxed_slice(), bits }
    }

    /// The place of the entry with this hash that `is` says yes to.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<u32> {
        let bucket = bucket(hash, self.bits);
        let (&start, &end) = (self.starts.get(bucket)?, self.starts.get(bucket + 1)?);
        let found =
            self.entries.get(wide(start)..wide(end))?.iter().zip(start..).find(|(entry, _)| is(entry));
        found.map(|(_, place)| place)
    }

    #[inline]
    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        self.entries.get(wide(place))
    }

    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.entries.get_mut(wide(place))
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.entries.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The leading bits of the hash, so that the order of buckets is the order of hashes.
#[inline]
fn bucket(hash: u64, bits: u32) -> usize {
    let leading = hash.checked_shr(u64::BITS - bits).unwrap_or(0);
    usize::try_from(leading).unwrap_or(usize::MAX)
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
