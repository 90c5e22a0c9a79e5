use chrono::{DateTime, Utc};

/// The times that decide whether a session is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLife {
    /// When it ends by idling; `None` when it does not.
    pub idle_expires_at: Option<DateTime<Utc>>,
    /// When it ends in any case.
    pub expires_at: DateTime<Utc>,
    /// When it was ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Whether a session is alive, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// It is.
    Live,
    /// It was ended: by a logout, an administrator, a password change.
    Ended,
    /// It reached its absolute limit.
    Expired,
    /// Nobody used it for too long.
    Idle,
}

impl SessionLife {
    /// How the session stands at `now`. A limit counts as reached at its very moment.
    #[must_use]
    pub fn state(&self, now: DateTime<Utc>) -> SessionState {
        if self.ended_at.is_some() {
            SessionState::Ended
        } else if self.expires_at <= now {
            SessionState::Expired
        } else if self.idle_expires_at.is_some_and(|at| at <= now) {
            SessionState::Idle
        } else {
            SessionState::Live
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

    #[test]
    fn a_limit_counts_at_its_very_moment() {
        let life = SessionLife { idle_expires_at: Some(at(10)), expires_at: at(20), ended_at: None };
        assert_eq!(life.state(at(9)), SessionState::Live);
        assert_eq!(life.state(at(10)), SessionState::Idle);
        assert_eq!(life.state(at(20)), SessionState::Expired);
        assert_eq!(SessionLife { ended_at: Some(at(1)), ..life }.state(at(9)), SessionState::Ended);
    }

    proptest! {
        #[test]
        fn a_session_never_comes_back(idle in prop::option::of(0_i64..100), absolute in 0_i64..100, first in 0_i64..100, later in 0_i64..100) {
            let life = SessionLife { idle_expires_at: idle.map(at), expires_at: at(absolute), ended_at: None };
            if life.state(at(first)) != SessionState::Live {
                prop_assert_ne!(life.state(at(first + later)), SessionState::Live);
            }
        }
    }
}
