/// An immutable set of small numbers, kept in whichever form is smallest: in place, a sorted list or a bit field.
#[derive(Debug, Clone)]
pub(crate) enum Bits {
    /// The first `count` of these, which saves a check the way to the heap.
    Few { count: u8, members: [u32; FEW] },
    /// Sorted, without repetition. A role of five permissions in a catalogue of ten thousand takes 20 bytes.
    Sparse(Box<[u32]>),
    /// Bit `n % 64` of word `n / 64`.
    Dense(Box<[u64]>),
}

/// As many as make a role one cache line.
const FEW: usize = 9;

impl Default for Bits {
    fn default() -> Self {
        Self::empty()
    }
}

impl Bits {
    pub(crate) fn new(mut members: Vec<u32>) -> Self {
        members.sort_unstable();
        members.dedup();
        let words = members.last().map_or(0, |&last| word(last) + 1);
        if let Ok(count @ 0..=9) = u8::try_from(members.len()) {
            let mut few = [0; FEW];
            few.iter_mut().zip(members).for_each(|(slot, member)| *slot = member);
            return Self::Few { count, members: few };
        }
        if members.len() * size_of::<u32>() < words * size_of::<u64>() {
            return Self::Sparse(members.into_boxed_slice());
        }
        let mut field = vec![0_u64; words];
        for member in members {
            if let Some(slot) = field.get_mut(word(member)) {
                *slot |= bit(member);
            }
        }
        Self::Dense(field.into_boxed_slice())
    }

    /// The set without members, which takes no memory.
    pub(crate) fn empty() -> Self {
        Self::Few { count: 0, members: [0; FEW] }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Few { count: 0, .. })
    }

    /// How much work walking through it is.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Few { count, .. } => usize::from(*count),
            Self::Sparse(members) => members.len(),
            Self::Dense(field) => field.len() * 64,
        }
    }

    /// The members in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (list, field): (&[u32], &[u64]) = match self {
            Self::Few { count, members } => (members.get(..usize::from(*count)).unwrap_or_default(), &[]),
            Self::Sparse(members) => (members, &[]),
            Self::Dense(field) => (&[], field),
        };
        let of_word = |(&slot, n): (&u64, u32)| {
            (0..64_u32).filter(move |bit| slot & (1 << bit) != 0).map(move |bit| n * 64 + bit)
        };
        list.iter().copied().chain(field.iter().zip(0_u32..).flat_map(of_word))
    }

    #[inline]
    pub(crate) fn has(&self, member: u32) -> bool {
        match self {
            Self::Few { count, members } => {
                members.iter().take(usize::from(*count)).any(|one| *one == member)
            }
            Self::Sparse(members) => members.binary_search(&member).is_ok(),
            Self::Dense(field) => field.get(word(member)).is_some_and(|slot| slot & bit(member) != 0),
        }
    }
}

fn word(member: u32) -> usize {
    // A 32-bit number fits the pointers of every platform that runs a server.
    usize::try_from(member / 64).unwrap_or(usize::MAX)
}

fn bit(member: u32) -> u64 {
    1 << (member % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_forms_hold_what_was_put_in(members in prop::collection::vec(0_u32..2_000, 0..300), asked in 0_u32..2_100) {
            let expected: BTreeSet<u32> = members.iter().copied().collect();
            let bits = Bits::new(members);
            prop_assert_eq!(bits.has(asked), expected.contains(&asked));
            prop_assert_eq!(bits.is_empty(), expected.is_empty());
            prop_assert_eq!(bits.iter().collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_smaller_form_is_chosen() {
        assert!(matches!(Bits::new((0..100).collect()), Bits::Dense(_)));
        assert!(matches!(Bits::new((0..10).map(|n| n * 9_000).collect()), Bits::Sparse(_)));
        assert!(matches!(Bits::new(vec![9_000; 9]), Bits::Few { count: 1, .. }));
        assert_eq!(size_of::<Bits>(), 40);
        assert!(!Bits::new(Vec::new()).has(0));
    }
}
