use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its time and for a worker.
    Available,
    /// A worker has it.
    Leased,
    /// An attempt failed or its worker was lost; it waits for the next.
    Retryable,
    /// It succeeded.
    Completed,
    /// It failed for good: a dead letter, kept to be read, edited and retried.
    Discarded,
    /// Somebody called it off.
    Cancelled,
}

/// A text that names no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a state of a job")]
pub struct StateInvalid;

/// What can happen to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A worker takes it; this is an attempt.
    Claim,
    /// The attempt succeeded.
    Succeed,
    /// The attempt failed, and another may succeed.
    Fail,
    /// The attempt failed, and no other will succeed.
    GiveUp,
    /// The worker stops or does not know the job, and hands it back.
    Release,
    /// The worker is gone.
    LoseWorker,
    /// Somebody calls it off.
    Cancel,
    /// The attempt ended because somebody called it off.
    EndCancelled,
    /// Somebody asks for it once more.
    Retry,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Available, Self::Leased, Self::Retryable, Self::Completed, Self::Discarded, Self::Cancelled];

    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Leased => "leased",
            Self::Retryable => "retryable",
            Self::Completed => "completed",
            Self::Discarded => "discarded",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing happens to it by itself any more.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Discarded | Self::Cancelled)
    }

    /// Whether workers look for it.
    #[must_use]
    pub const fn is_waiting(self) -> bool {
        matches!(self, Self::Available | Self::Retryable)
    }

    /// The state after `step`, if that can happen to a job in this one; `attempts_left` is whether another attempt is
    /// allowed. A leased job that is called off stays leased until its worker says that it has stopped.
    ///
    /// Every statement that changes the state of a row names in its `WHERE` the states from which this function leads.
    #[must_use]
    pub const fn after(self, step: Step, attempts_left: bool) -> Option<Self> {
        match (self, step) {
            (Self::Available | Self::Retryable, Step::Claim) => Some(Self::Leased),
            (Self::Available | Self::Retryable, Step::Cancel) => Some(Self::Cancelled),
            (Self::Leased, Step::Cancel) => Some(Self::Leased),
            (Self::Leased, Step::Succeed) => Some(Self::Completed),
            (Self::Leased, Step::Fail | Step::LoseWorker) => {
                Some(if attempts_left { Self::Retryable } else { Self::Discarded })
            }
            (Self::Leased, Step::GiveUp) => Some(Self::Discarded),
            (Self::Leased, Step::Release) => Some(Self::Retryable),
            (Self::Leased, Step::EndCancelled) => Some(Self::Cancelled),
            (Self::Completed | Self::Discarded | Self::Cancelled | Self::Retryable, Step::Retry) => {
                Some(Self::Available)
            }
            _ => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = StateInvalid;

    fn from_str(text: &str) -> Result<Self, StateInvalid> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(StateInvalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 9] = [
        Step::Claim,
        Step::Succeed,
        Step::Fail,
        Step::GiveUp,
        Step::Release,
        Step::LoseWorker,
        Step::Cancel,
        Step::EndCancelled,
        Step::Retry,
    ];

    #[test]
    fn what_is_finished_moves_only_when_somebody_asks_for_it_once_more() {
        for state in State::ALL.into_iter().filter(|state| state.is_finished()) {
            for step in STEPS {
                let after = state.after(step, true);
                assert_eq!(after.is_some(), step == Step::Retry, "{state} {step:?}");
            }
        }
    }

    #[test]
    fn only_a_claim_makes_a_job_leased_and_only_from_waiting() {
        for state in State::ALL {
            let claimed = state.after(Step::Claim, true);
            assert_eq!(claimed, state.is_waiting().then_some(State::Leased));
        }
    }

    #[test]
    fn a_failure_without_attempts_left_is_a_dead_letter() {
        assert_eq!(State::Leased.after(Step::Fail, false), Some(State::Discarded));
        assert_eq!(State::Leased.after(Step::LoseWorker, false), Some(State::Discarded));
        assert_eq!(State::Leased.after(Step::Fail, true), Some(State::Retryable));
    }
}
