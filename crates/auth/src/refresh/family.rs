use chrono::{DateTime, TimeDelta, Utc};

use crate::pepper;

/// The state of a family of refresh tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// How often it has been rotated.
    pub generation: i64,
    /// The digest of the live token.
    pub current_hash: [u8; 32],
    /// When the live token was issued.
    pub rotated_at: DateTime<Utc>,
    /// When the family ends, however often it is used.
    pub expires_at: DateTime<Utc>,
}

/// A token of ours that somebody presents; its session names the family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// The generation it belongs to.
    pub generation: i64,
    /// Its digest.
    pub hash: [u8; 32],
    /// Whether it came with the `Idempotency-Key` of the request that made the live token: the key that opens the
    /// answer kept with the family.
    pub is_repeat: bool,
}

/// What a presented token does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshStep {
    /// It is the live one: replace it by a token of this generation, unless somebody else has in the meantime.
    Rotate {
        /// The generation of the token that follows.
        generation: i64,
    },
    /// The request that redeemed it is sent again, and its successor is unused: give the same answer again.
    Repeat,
    /// It has just been redeemed and its successor has not: whoever holds that one should use it.
    InProgress,
    /// It was redeemed before: one of two holders is a thief. The family and its session end.
    Reuse,
    /// The family is over.
    Expired,
    /// It belongs to no family, or was never handed out.
    Unknown,
}

impl Family {
    /// How long a repeat of the token before the live one is taken for a double request. Long enough for a client's
    /// retry, short enough that a thief who comes later is noticed.
    pub const OVERLAP: TimeDelta = TimeDelta::seconds(10);

    /// How long a request that names itself by an `Idempotency-Key` may be sent again: a few tries over a network that
    /// comes and goes. The key proves that the same client asks, so it may be longer than [`OVERLAP`](Self::OVERLAP).
    pub const REPEAT: TimeDelta = TimeDelta::seconds(30);

    /// Decides what `presented` does to the family with the session it names; `None` when there is none.
    ///
    /// With g the generation of the live token, of the first row that fits:
    ///
    /// | family | presented | step | family afterwards |
    /// |---|---|---|---|
    /// | none | anything | [`Unknown`](RefreshStep::Unknown) | none |
    /// | at its absolute limit | anything | [`Expired`](RefreshStep::Expired) | the same |
    /// | live | generation g, the live digest | [`Rotate`](RefreshStep::Rotate) | generation g + 1 |
    /// | live | generation g, another digest | [`Unknown`](RefreshStep::Unknown) | the same |
    /// | rotated under 30 s ago | generation g - 1 with the key of that rotation | [`Repeat`](RefreshStep::Repeat) | the same |
    /// | rotated under 10 s ago | generation g - 1 | [`InProgress`](RefreshStep::InProgress) | the same |
    /// | live | generation g - 1 or before | [`Reuse`](RefreshStep::Reuse) | none, the session has ended |
    /// | live | a generation after g | [`Unknown`](RefreshStep::Unknown) | the same |
    ///
    /// A generation below g - 1 is never a repeat: its successor has been used.
    #[must_use]
    pub fn judge(family: Option<&Self>, presented: &Presented, now: DateTime<Utc>) -> RefreshStep {
        let Some(family) = family else { return RefreshStep::Unknown };
        if family.expires_at <= now {
            return RefreshStep::Expired;
        }
        let age = now.signed_duration_since(family.rotated_at);
        match family.generation - presented.generation {
            0 if pepper::equal(&family.current_hash, &presented.hash) => {
                RefreshStep::Rotate { generation: family.generation + 1 }
            }
            // A token that was made for this generation by a request that then lost: nobody was given it.
            0 => RefreshStep::Unknown,
            1 if presented.is_repeat && age < Self::REPEAT => RefreshStep::Repeat,
            1 if age < Self::OVERLAP => RefreshStep::InProgress,
            1.. => RefreshStep::Reuse,
            // From a time that this database does not know: a backup was restored.
            _ => RefreshStep::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_366_400 + seconds, 0).unwrap()
    }

    fn token(generation: i64, attempt: u8) -> Presented {
        let mut hash = [attempt; 32];
        hash[..8].copy_from_slice(&generation.to_be_bytes());
        Presented { generation, hash, is_repeat: false }
    }

    fn repeat(generation: i64) -> Presented {
        Presented { is_repeat: true, ..token(generation, 0) }
    }

    fn family(generation: i64) -> Family {
        let current_hash = token(generation, 0).hash;
        Family { generation, current_hash, rotated_at: at(0), expires_at: at(1_000) }
    }

    #[test]
    fn the_live_token_rotates_until_the_absolute_limit() {
        let family = family(3);
        assert_eq!(
            Family::judge(Some(&family), &token(3, 0), at(999)),
            RefreshStep::Rotate { generation: 4 }
        );
        assert_eq!(Family::judge(Some(&family), &token(3, 0), at(1_000)), RefreshStep::Expired);
    }

    #[test]
    fn a_repeat_is_in_progress_for_ten_seconds_and_reuse_after() {
        let family = family(3);
        assert_eq!(Family::judge(Some(&family), &token(2, 0), at(9)), RefreshStep::InProgress);
        assert_eq!(Family::judge(Some(&family), &token(2, 0), at(10)), RefreshStep::Reuse);
        // Once the successor has been used, the same token is reuse at once.
        assert_eq!(Family::judge(Some(&family), &token(1, 0), at(0)), RefreshStep::Reuse);
    }

    #[test]
    fn a_repeat_with_its_key_is_answered_again_for_thirty_seconds_and_reuse_after() {
        let family = family(3);
        for seconds in [0, 9, 10, 29] {
            assert_eq!(Family::judge(Some(&family), &repeat(2), at(seconds)), RefreshStep::Repeat);
        }
        assert_eq!(Family::judge(Some(&family), &repeat(2), at(30)), RefreshStep::Reuse);
        assert_eq!(Family::judge(Some(&family), &repeat(1), at(0)), RefreshStep::Reuse);
        assert_eq!(Family::judge(Some(&family), &repeat(3), at(0)), RefreshStep::Rotate { generation: 4 });
    }

    #[test]
    fn what_was_never_handed_out_changes_nothing() {
        assert_eq!(Family::judge(None, &token(0, 0), at(0)), RefreshStep::Unknown);
        assert_eq!(Family::judge(Some(&family(3)), &token(3, 1), at(0)), RefreshStep::Unknown);
        assert_eq!(Family::judge(Some(&family(3)), &token(4, 0), at(0)), RefreshStep::Unknown);
    }

    #[derive(Debug, Clone)]
    enum Act {
        /// Presents the n-th token from the newest, with an idempotency key or without.
        Present(usize, Option<u8>),
        /// Lets seconds pass.
        Wait(i64),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let present = (0_usize..4, prop::option::of(0_u8..2)).prop_map(|(back, key)| Act::Present(back, key));
        prop::collection::vec(prop_oneof![4 => present, 1 => (0_i64..40).prop_map(Act::Wait)], 1..60)
    }

    proptest! {
        /// The model knows every token that was handed out, whether it was redeemed, and under which key its answer is
        /// kept: at any time at most one token redeems, a redeemed one never does again, a repeat is given the one live
        /// token and only under its key, and after a reuse nothing is given. // A6
        #[test]
        fn a_family_never_has_two_live_tokens(acts in acts()) {
            let mut family = Some(family(0));
            let mut handed_out = vec![(token(0, 0), false)];
            // The key under which the latest rotation was asked for.
            let mut kept = None;
            let (mut now, mut is_over) = (at(0), false);
            for act in acts {
                let (back, key) = match act {
                    Act::Wait(seconds) => {
                        now += TimeDelta::seconds(seconds);
                        continue;
                    }
                    Act::Present(back, key) => (back, key),
                };
                let live: Vec<_> = handed_out
                    .iter()
                    .filter(|(t, _)| matches!(Family::judge(family.as_ref(), t, now), RefreshStep::Rotate { .. }))
                    .collect();
                prop_assert!(live.len() <= 1, "two live tokens");
                prop_assert!(live.iter().all(|(_, redeemed)| !redeemed), "a redeemed token is live");
                prop_assert!(!is_over || live.is_empty(), "a family lives after its end");

                let Some(index) = handed_out.len().checked_sub(1 + back) else { continue };
                // The store opens the kept answer with the key and the presented token, so only that token's key fits.
                let opens = key.is_some() && key == kept && back == 1;
                let presented = Presented { is_repeat: opens, ..handed_out[index].0.clone() };
                match Family::judge(family.as_ref(), &presented, now) {
                    RefreshStep::Rotate { generation } => {
                        handed_out[index].1 = true;
                        let next = token(generation, 0);
                        let state = family.as_mut().unwrap();
                        (state.generation, state.current_hash, state.rotated_at) = (generation, next.hash, now);
                        handed_out.push((next, false));
                        kept = key;
                    }
                    RefreshStep::Repeat => {
                        prop_assert!(opens && handed_out[index].1 && !is_over);
                        let (successor, redeemed) = &handed_out[index + 1];
                        prop_assert!(!redeemed, "a used successor is given again");
                        prop_assert_eq!(successor.hash, family.as_ref().unwrap().current_hash);
                    }
                    RefreshStep::Reuse => {
                        prop_assert!(handed_out[index].1, "a token that was never redeemed counts as reused");
                        (family, is_over) = (None, true);
                    }
                    RefreshStep::InProgress => prop_assert!(handed_out[index].1 && back == 1 && !opens),
                    RefreshStep::Expired => prop_assert!(now >= at(1_000)),
                    RefreshStep::Unknown => prop_assert!(is_over),
                }
            }
        }
    }
}
