use std::time::Duration;

use chrono::{DateTime, Utc};
use stylobate_egress::{Answer, Error, http::StatusCode};

/// The waits between attempts: about a day in all. The first attempt follows at once.
const WAITS: [Duration; 9] = {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    [
        Duration::from_secs(5),
        Duration::from_secs(MINUTE),
        Duration::from_secs(5 * MINUTE),
        Duration::from_secs(30 * MINUTE),
        Duration::from_secs(HOUR),
        Duration::from_secs(2 * HOUR),
        Duration::from_secs(4 * HOUR),
        Duration::from_secs(8 * HOUR),
        Duration::from_secs(8 * HOUR),
    ]
};

/// How often a delivery is tried before it is given up.
#[expect(clippy::cast_possible_truncation, reason = "a handful")]
pub const ATTEMPTS_MAX: u32 = WAITS.len() as u32 + 1;

/// The longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// How much of an answer is kept.
pub(super) const EXCERPT_BYTES_MAX: usize = 1_024;

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: Option<u16>,
    pub(super) excerpt: Option<String>,
    /// Why it failed; `None` when it did not.
    pub(super) error: Option<&'static str>,
    /// The wait that the receiver asked for.
    pub(super) retry_after: Option<Duration>,
}

impl Outcome {
    pub(super) fn of(answered: Result<Answer, Error>, now: DateTime<Utc>) -> Self {
        let answer = match answered {
            Ok(answer) => answer,
            Err(error) => return Self::failed(error.code()),
        };
        let error = match answer.status {
            status if status.is_success() => None,
            StatusCode::GONE => Some("webhook_gone"),
            status if status.is_redirection() => Some("webhook_redirect"),
            _ => Some("webhook_status"),
        };
        let may_ask =
            matches!(answer.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        Self {
            status: Some(answer.status.as_u16()),
            excerpt: Some(answer.excerpt(EXCERPT_BYTES_MAX)).filter(|excerpt| !excerpt.is_empty()),
            error,
            retry_after: answer.retry_after(now).filter(|_| may_ask),
        }
    }

    /// An attempt without an answer.
    pub(super) fn failed(error: &'static str) -> Self {
        Self { status: None, excerpt: None, error: Some(error), retry_after: None }
    }

    /// The receiver wants nothing more, ever (RFC 9110 §15.5.11).
    pub(super) fn is_gone(&self) -> bool {
        self.status == Some(StatusCode::GONE.as_u16())
    }

    /// The wait after `attempts` that failed, this the last; `None` when it is given up. `jitter` is a random number: what failed
    /// together does not come back together.
    pub(super) fn wait(&self, attempts: u32, jitter: u64) -> Option<Duration> {
        let nth = usize::try_from(attempts.checked_sub(1)?).ok()?;
        let wait = WAITS.get(nth).filter(|_| !self.is_gone())?;
        let fifth = u64::try_from(wait.as_millis() / 5).unwrap_or(u64::MAX).max(1);
        let asked = self.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        Some((*wait + Duration::from_millis(jitter % fifth)).max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(retry_after: Option<u64>) -> Outcome {
        Outcome { retry_after: retry_after.map(Duration::from_secs), ..Outcome::failed("webhook_status") }
    }

    #[test]
    fn attempts_span_about_a_day() {
        let waits: Vec<_> = (1..=ATTEMPTS_MAX).map(|attempts| asking(None).wait(attempts, 0)).collect();
        assert_eq!((waits.len(), waits[0], waits[9]), (10, Some(Duration::from_secs(5)), None));
        let whole: Duration = waits.into_iter().flatten().sum();
        assert!(
            whole > Duration::from_secs(23 * 3_600) && whole < Duration::from_secs(25 * 3_600),
            "{whole:?}"
        );
        assert_eq!((asking(None).wait(0, 0), asking(None).wait(u32::MAX, 0)), (None, None));
        let late = asking(None).wait(1, u64::MAX).unwrap();
        assert!(late >= Duration::from_secs(5) && late < Duration::from_secs(6), "{late:?}");
    }

    #[test]
    fn what_a_receiver_asks_for_counts_up_to_an_hour() {
        let wait = |asked, attempts| asking(Some(asked)).wait(attempts, 0).unwrap().as_secs();
        assert_eq!((wait(0, 1), wait(3, 1), wait(120, 1)), (5, 5, 120));
        assert_eq!((wait(u64::MAX, 1), wait(3_601, 1), wait(60, 4)), (3_600, 3_600, 1_800));
    }
}
