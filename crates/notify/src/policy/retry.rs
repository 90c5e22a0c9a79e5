use std::time::Duration;

use crate::FailureClass;

/// The waits after attempts that failed for now: about 15 hours in all. The first attempt follows at once.
const WAITS: [Duration; 8] = {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    [
        Duration::from_secs(10),
        Duration::from_secs(MINUTE),
        Duration::from_secs(5 * MINUTE),
        Duration::from_secs(15 * MINUTE),
        Duration::from_secs(HOUR),
        Duration::from_secs(2 * HOUR),
        Duration::from_secs(4 * HOUR),
        Duration::from_secs(8 * HOUR),
    ]
};

/// How often a delivery is tried before it is given up. What fails because nothing can be sent at all is no attempt at it.
#[expect(clippy::cast_possible_truncation, reason = "a handful")]
pub const ATTEMPTS_MAX: u32 = WAITS.len() as u32 + 1;

/// The longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// How long an outage is waited for.
pub(crate) const OUTAGE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How long to wait during an outage, by how long the message has waited already. Close together at first, so that what was put off
/// goes out within seconds of the end of a short outage; a long one costs little.
const OUTAGE_WAITS: [(Duration, Duration); 3] = [
    (Duration::from_secs(3 * 60), Duration::from_secs(5)),
    (Duration::from_secs(30 * 60), Duration::from_secs(30)),
    (OUTAGE_MAX, Duration::from_secs(5 * 60)),
];

/// The wait after the last of `attempts` failed with `class`, at something that is `age` old; `None` when it is given up. `jitter`
/// is a random number: what failed together does not come back together.
pub(crate) fn wait(class: FailureClass, attempts: u32, age: Duration, jitter: u64) -> Option<Duration> {
    match class {
        FailureClass::Permanent | FailureClass::BadRecipient => None,
        FailureClass::Transient { retry_after } => {
            let nth = usize::try_from(attempts.checked_sub(1)?).ok()?;
            let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
            Some(shaken(*WAITS.get(nth)?, jitter).max(asked))
        }
        FailureClass::Outage => {
            let (_, wait) = OUTAGE_WAITS.iter().find(|(until, _)| age < *until)?;
            Some(shaken(*wait, jitter))
        }
    }
}

/// Up to a fifth longer.
fn shaken(wait: Duration, jitter: u64) -> Duration {
    let fifth = u64::try_from(wait.as_millis() / 5).unwrap_or(u64::MAX).max(1);
    wait + Duration::from_millis(jitter % fifth)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn transient(retry_after: Option<u64>) -> FailureClass {
        FailureClass::Transient { retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn attempts_span_half_a_day_and_end() {
        let waits: Vec<_> =
            (1..=ATTEMPTS_MAX).map(|attempts| wait(transient(None), attempts, NOW, 0)).collect();
        assert_eq!((waits.len(), waits[0], waits[8]), (9, Some(Duration::from_secs(10)), None));
        let whole: Duration = waits.into_iter().flatten().sum();
        assert!(whole > Duration::from_secs(15 * 3_600) && whole < Duration::from_secs(16 * 3_600));
        assert_eq!(wait(transient(None), 0, NOW, 0), None);
        assert_eq!(wait(transient(Some(5)), u32::MAX, NOW, 0), None);
    }

    #[test]
    fn what_a_receiver_asks_for_counts_up_to_an_hour() {
        let asked = |seconds, attempts| wait(transient(Some(seconds)), attempts, NOW, 0).unwrap().as_secs();
        assert_eq!((asked(0, 1), asked(11, 1), asked(3_600, 1)), (10, 11, 3_600));
        assert_eq!((asked(u64::MAX, 1), asked(3_601, 2), asked(60, 4)), (3_600, 3_600, 900));
    }

    #[test]
    fn what_will_not_work_is_not_tried_again() {
        for class in [FailureClass::Permanent, FailureClass::BadRecipient] {
            assert_eq!(wait(class, 1, NOW, 0), None);
        }
    }

    #[test]
    fn an_outage_is_waited_for_a_day_however_often_it_was_met() {
        let outage = |age| wait(FailureClass::Outage, u32::MAX, Duration::from_secs(age), 0);
        let seconds = |age| outage(age).unwrap().as_secs();
        assert_eq!((seconds(0), seconds(179), seconds(180), seconds(1_800)), (5, 5, 30, 300));
        assert_eq!((outage(86_399).is_some(), outage(86_400)), (true, None));
    }

    proptest! {
        #[test]
        fn a_wait_is_short_enough_and_never_none_at_all(
            attempts: u32, age in 0_u64..100_000, asked: Option<u64>, jitter: u64, is_outage: bool,
        ) {
            let class = if is_outage { FailureClass::Outage } else { transient(asked) };
            if let Some(wait) = wait(class, attempts, Duration::from_secs(age), jitter) {
                prop_assert!(wait >= Duration::from_secs(5) && wait <= Duration::from_secs(8 * 3_600 * 6 / 5));
            }
        }
    }
}
