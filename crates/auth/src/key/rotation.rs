use chrono::{DateTime, TimeDelta, Utc};

/// When a key of the ring is good for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyTimes {
    /// It signs from here on, and verifies before.
    pub not_before: DateTime<Utc>,
    /// From here on it only verifies.
    pub retired_at: Option<DateTime<Utc>>,
    /// From here on it is good for nothing, whatever else is said.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What a key of the ring is good for at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPhase {
    /// Verifies; signs later. Consumers learn of a key before they meet its first token.
    Published,
    /// May sign; of several the newest does.
    Active,
    /// Verifies what it has signed.
    Retiring,
    /// Its last token is over.
    Over,
    /// Withdrawn: none of its tokens is good any more.
    Revoked,
}

impl KeyPhase {
    /// The word for it, as commands print it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Over => "over",
            Self::Revoked => "revoked",
        }
    }

    /// Whether tokens of such a key are accepted.
    #[must_use]
    pub fn verifies(self) -> bool {
        matches!(self, Self::Published | Self::Active | Self::Retiring)
    }
}

impl KeyTimes {
    /// Whether there is a time at which it signs: a key that was replaced or withdrawn before its turn never does.
    #[must_use]
    pub fn ever_signs(&self) -> bool {
        let is_after_its_turn = |at: DateTime<Utc>| at > self.not_before;
        self.retired_at.is_none_or(is_after_its_turn) && self.revoked_at.is_none_or(is_after_its_turn)
    }

    /// What the key is good for at `now`, when what it signed last lives for `overlap`.
    ///
    /// ```text
    /// not_before        retired_at      retired_at + overlap
    /// Published | Active        | Retiring        | Over        Revoked from revoked_at on
    /// ```
    #[must_use]
    pub fn phase(&self, now: DateTime<Utc>, overlap: TimeDelta) -> KeyPhase {
        if self.revoked_at.is_some_and(|at| at <= now) {
            return KeyPhase::Revoked;
        }
        match self.retired_at {
            Some(at) if now.signed_duration_since(at) >= overlap => KeyPhase::Over,
            Some(at) if at <= now => KeyPhase::Retiring,
            _ if self.not_before > now => KeyPhase::Published,
            _ => KeyPhase::Active,
        }
    }
}

/// Which of the keys signs, oldest first: the newest that may. When none has come of age, the oldest that will: it is one
/// that another process made a moment ago by a clock ahead of ours.
pub(super) fn signing(phases: &[KeyPhase]) -> Option<usize> {
    let newest = phases.iter().rposition(|phase| *phase == KeyPhase::Active);
    newest.or_else(|| phases.iter().position(|phase| *phase == KeyPhase::Published))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_366_400 + minute * 60, 0).unwrap()
    }

    #[test]
    fn a_key_is_published_then_active_then_retiring_then_over() {
        let overlap = TimeDelta::minutes(16);
        let times = KeyTimes { not_before: at(10), retired_at: Some(at(20)), revoked_at: None };
        for (minute, phase) in [
            (0, KeyPhase::Published),
            (9, KeyPhase::Published),
            (10, KeyPhase::Active),
            (19, KeyPhase::Active),
            (20, KeyPhase::Retiring),
            (35, KeyPhase::Retiring),
            (36, KeyPhase::Over),
        ] {
            assert_eq!(times.phase(at(minute), overlap), phase, "{minute}");
        }
    }

    #[test]
    fn a_key_that_was_replaced_before_its_turn_never_signs() {
        let times = KeyTimes { not_before: at(10), retired_at: None, revoked_at: None };
        assert!(times.ever_signs());
        for (minute, ever_signs) in [(1, false), (10, false), (11, true)] {
            let ended = Some(at(minute));
            assert_eq!(KeyTimes { retired_at: ended, ..times }.ever_signs(), ever_signs, "{minute}");
            assert_eq!(KeyTimes { revoked_at: ended, ..times }.ever_signs(), ever_signs, "{minute}");
        }
    }

    #[test]
    fn a_revoked_key_is_good_for_nothing_in_any_phase() {
        let overlap = TimeDelta::minutes(16);
        for retired_at in [None, Some(at(-5)), Some(at(30))] {
            let times = KeyTimes { not_before: at(0), retired_at, revoked_at: Some(at(10)) };
            assert_ne!(times.phase(at(9), overlap), KeyPhase::Revoked);
            assert_eq!(times.phase(at(10), overlap), KeyPhase::Revoked);
            assert!(!times.phase(at(10), overlap).verifies());
        }
    }

    #[test]
    fn the_newest_that_may_sign_does() {
        use KeyPhase::{Active, Over, Published, Retiring, Revoked};

        assert_eq!(signing(&[Retiring, Active, Active, Published]), Some(2));
        assert_eq!(signing(&[Over, Retiring, Published, Published]), Some(2));
        assert_eq!(signing(&[Retiring, Revoked, Over]), None);
        assert_eq!(signing(&[]), None);
    }
}
