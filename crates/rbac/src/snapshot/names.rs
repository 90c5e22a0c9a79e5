use std::{num::NonZeroU8, ops::Range};

use crate::index::{Index, Seed, hash_of_texts, narrow, wide};

/// The permissions that only rows know.
#[derive(Debug)]
pub(super) struct Names {
    /// The number of the first.
    pub(super) first: u32,
    /// All of them, sorted, one after the other.
    pub(super) text: Box<str>,
    /// Where each begins, and at last where the text ends.
    pub(super) starts: Box<[u32]>,
    pub(super) index: Index<Name>,
}

/// A name where its hash points to. Most fit in here, so that telling them apart needs no look at the text.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub(super) struct Name {
    pub(super) number: u32,
    pub(super) at: u32,
    /// Never 0, so that an empty place of the index needs no room to say so.
    pub(super) bytes: NonZeroU8,
    pub(super) text: [u8; NAME_INLINE],
}

/// Makes an entry 32 bytes, an empty place of the index as well: two to a cache line.
pub(super) const NAME_INLINE: usize = 23;

impl Names {
    pub(super) fn number(&self, seed: &Seed, name: &str) -> Option<u32> {
        if self.index.is_empty() {
            return None;
        }
        let is = |one: &Name| {
            let (at, bytes) = (wide(one.at), usize::from(one.bytes.get()));
            let held = one.text.get(..bytes).or_else(|| self.text.as_bytes().get(at..at + bytes));
            held == Some(name.as_bytes())
        };
        self.index.get(self.index.find(hash_of_texts(seed, [name]), is)?).map(|one| one.number)
    }

    pub(super) fn len(&self) -> u32 {
        narrow(self.starts.len().saturating_sub(1))
    }

    pub(super) fn nth(&self, n: u32) -> Option<&str> {
        let (start, end) = (self.starts.get(wide(n))?, self.starts.get(wide(n) + 1)?);
        self.text.get(wide(*start)..wide(*end))
    }

    /// The numbers of the names that a pattern covers: they stand together.
    pub(super) fn covered_by(&self, pattern: &str) -> Range<u32> {
        let prefix = pattern.trim_end_matches('*');
        let before = |is_before: &dyn Fn(&str) -> bool| {
            let (mut low, mut high) = (0, self.len());
            while low < high {
                let middle = low + (high - low) / 2;
                if self.nth(middle).is_some_and(is_before) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            low
        };
        let start = before(&|name| name < prefix);
        let end = before(&|name| name < prefix || name.starts_with(prefix));
        self.first + start..self.first + end
    }

    pub(super) fn name(&self, number: u32) -> Option<&str> {
        self.nth(number.checked_sub(self.first)?)
    }
}
