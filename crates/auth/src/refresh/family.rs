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
}

/// What a presented token does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshStep {
    /// It is the live one: replace it by a token of this generation, unless somebody else has in the meantime.
    Rotate {
        /// The generation of the token that follows.
        generation: i64,
    },
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

    /// Decides what `presented` does to the family with the session it names; `None` when there is none.
    #[must_use]
    pub fn judge(family: Option<&Self>, presented: &Presented, now: DateTime<Utc>) -> RefreshStep {
        let Some(family) = family else { return RefreshStep::Unknown };
        if family.expires_at <= now {
            return RefreshStep::Expired;
        }
        match family.generation - presented.generation {
            0 if pepper::equal(&family.current_hash, &presented.hash) => {
                RefreshStep::Rotate { generation: family.generation + 1 }
            }
            // A token that was made for this generation by a request that then lost: nobody was given it.
            0 => RefreshStep::Unknown,
            1 if now.signed_duration_since(family.rotated_at) < Self::OVERLAP => RefreshStep::InProgress,
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
        Presented { generation, hash }
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
    fn what_was_never_handed_out_changes_nothing() {
        assert_eq!(Family::judge(None, &token(0, 0), at(0)), RefreshStep::Unknown);
        assert_eq!(Family::judge(Some(&family(3)), &token(3, 1), at(0)), RefreshStep::Unknown);
        assert_eq!(Family::judge(Some(&family(3)), &token(4, 0), at(0)), RefreshStep::Unknown);
    }

    #[derive(Debug, Clone)]
    enum Act {
        /// Presents the n-th token from the newest.
        Present(usize),
        /// Lets seconds pass.
        Wait(i64),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        prop::collection::vec(
            prop_oneof![4 => (0_usize..4).prop_map(Act::Present), 1 => (0_i64..40).prop_map(Act::Wait)],
            1..60,
        )
    }

    proptest! {
        /// The model knows every token that was handed out and whether it was redeemed: at any time at most one of
        /// them redeems, a redeemed one never does again, and after a reuse none does. // A6
        #[test]
        fn a_family_never_has_two_live_tokens(acts in acts()) {
            let mut family = Some(family(0));
            let mut handed_out = vec![(token(0, 0), false)];
            let (mut now, mut is_over) = (at(0), false);
            for act in acts {
                let back = match act {
                    Act::Wait(seconds) => {
                        now += TimeDelta::seconds(seconds);
                        continue;
                    }
                    Act::Present(back) => back,
                };
                let live: Vec<_> = handed_out
                    .iter()
                    .filter(|(t, _)| matches!(Family::judge(family.as_ref(), t, now), RefreshStep::Rotate { .. }))
                    .collect();
                prop_assert!(live.len() <= 1, "two live tokens");
                prop_assert!(live.iter().all(|(_, redeemed)| !redeemed), "a redeemed token is live");
                prop_assert!(!is_over || live.is_empty(), "a family lives after its end");

                let Some(index) = handed_out.len().checked_sub(1 + back) else { continue };
                let presented = handed_out[index].0.clone();
                match Family::judge(family.as_ref(), &presented, now) {
                    RefreshStep::Rotate { generation } => {
                        handed_out[index].1 = true;
                        let next = token(generation, 0);
                        let state = family.as_mut().unwrap();
                        (state.generation, state.current_hash, state.rotated_at) = (generation, next.hash, now);
                        handed_out.push((next, false));
                    }
                    RefreshStep::Reuse => {
                        prop_assert!(handed_out[index].1, "a token that was never redeemed counts as reused");
                        (family, is_over) = (None, true);
                    }
                    RefreshStep::InProgress => prop_assert!(handed_out[index].1 && back == 1),
                    RefreshStep::Expired => prop_assert!(now >= at(1_000)),
                    RefreshStep::Unknown => prop_assert!(is_over),
                }
            }
        }
    }
}
