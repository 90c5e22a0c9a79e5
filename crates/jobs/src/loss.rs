use std::time::Duration;

use crate::{Backoff, State, Step};

/// How often in a row a job may be lost beside others beyond the attempts it has: by then its back-off has set it apart from
/// all that came to an end meanwhile.
const LOST_BESIDE_OTHERS: i64 = 20;

/// A leased job whose worker is not heard of any more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loss {
    /// Which attempt it was; those that were handed back are not counted.
    pub(crate) attempt: i64,
    pub(crate) attempts_max: i64,
    /// How often it was lost before this, without any other end between.
    pub(crate) losses: i64,
    pub(crate) is_cancelled: bool,
    /// Whether its worker lost no other job at that time.
    pub(crate) is_alone: bool,
    pub(crate) silence: Duration,
}

/// What becomes of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AfterLoss {
    pub(crate) to: State,
    /// How long its next attempt waits.
    pub(crate) wait: Option<Duration>,
    /// Whether the attempt counts for nothing.
    pub(crate) is_handed_back: bool,
}

impl Loss {
    /// A worker that dies takes all it runs with it, and one of them may have killed it. So that this one does not take the
    /// same others along again and again, jobs that are lost a second time in a row wait for a while, each its own; and a job
    /// that was lost beside others is not given up for that, unless it has been very often: whoever kills its worker is alone
    /// some day.
    pub(crate) fn outcome(self, seed: u64) -> AfterLoss {
        let has_attempts = self.attempt < self.attempts_max;
        // Who may be tried once is not tried again.
        let is_excused = !self.is_alone
            && self.attempts_max > 1
            && self.losses < self.attempts_max.saturating_add(LOST_BESIDE_OTHERS);
        let to = match State::Leased.after(Step::LoseWorker, has_attempts || is_excused) {
            _ if self.is_cancelled => State::Cancelled,
            Some(to) => to,
            None => State::Discarded,
        };
        let is_tried_again = to == State::Retryable;
        // The first time at once: the wait was the lease.
        let wait = (is_tried_again && self.losses > 0).then(|| {
            let backoff = Backoff { base: self.silence.max(Duration::from_millis(100)), ..Backoff::DEFAULT };
            backoff.wait(u32::try_from(self.losses).unwrap_or(u32::MAX), seed)
        });
        // Its last attempt is made once more.
        AfterLoss { to, wait, is_handed_back: is_tried_again && !has_attempts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Loss = Loss {
        attempt: 1,
        attempts_max: 3,
        losses: 0,
        is_cancelled: false,
        is_alone: true,
        silence: Duration::from_secs(30),
    };

    fn outcome(loss: Loss) -> (State, bool, bool) {
        let after = loss.outcome(7);
        (after.to, after.wait.is_some(), after.is_handed_back)
    }

    #[test]
    fn a_job_lost_alone_is_given_up_after_its_attempts() {
        assert_eq!(outcome(FIRST), (State::Retryable, false, false));
        assert_eq!(outcome(Loss { attempt: 2, losses: 1, ..FIRST }), (State::Retryable, true, false));
        assert_eq!(outcome(Loss { attempt: 3, losses: 2, ..FIRST }), (State::Discarded, false, false));
    }

    #[test]
    fn a_job_lost_beside_others_makes_its_last_attempt_again_but_not_for_ever() {
        let last = Loss { attempt: 3, is_alone: false, ..FIRST };
        assert_eq!(outcome(last), (State::Retryable, false, true));
        assert_eq!(outcome(Loss { losses: 22, ..last }), (State::Retryable, true, true));
        assert_eq!(outcome(Loss { losses: 23, ..last }), (State::Discarded, false, false));
        // Who may be tried once is not tried again.
        let once = Loss { attempt: 1, attempts_max: 1, is_alone: false, ..FIRST };
        assert_eq!(outcome(once), (State::Discarded, false, false));
    }

    #[test]
    fn a_job_that_was_called_off_is_cancelled() {
        let cancelled = Loss { is_cancelled: true, ..FIRST };
        assert_eq!(outcome(cancelled), (State::Cancelled, false, false));
        assert_eq!(outcome(Loss { attempt: 3, ..cancelled }), (State::Cancelled, false, false));
    }

    #[test]
    fn waits_grow_from_the_silence_on() {
        let wait = |losses| Loss { attempt: 1, losses, ..FIRST }.outcome(7).wait.unwrap().as_secs_f64();
        assert!((22.0..=38.0).contains(&wait(1)), "{}", wait(1));
        assert!((45.0..=75.0).contains(&wait(2)), "{}", wait(2));
        assert!(wait(i64::MAX) >= 2_700.0);
    }
}
