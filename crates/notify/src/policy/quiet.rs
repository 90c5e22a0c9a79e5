use chrono::{DateTime, Days, LocalResult, NaiveTime, TimeDelta, TimeZone as _, Timelike as _, Utc};
use chrono_tz::Tz;

/// The minutes of a day.
pub(crate) const DAY_MIN: u16 = 24 * 60;

/// When somebody is not to be disturbed, in minutes after midnight where they are: from `from_min` until just before `to_min`,
/// over midnight when that is smaller. Equal ones are no time at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct QuietHours {
    /// The first minute, 0 to 1439.
    pub from_min: u16,
    /// The minute after the last one, 0 to 1439.
    pub to_min: u16,
}

impl QuietHours {
    pub(crate) fn is_sound(&self) -> bool {
        self.from_min < DAY_MIN && self.to_min < DAY_MIN
    }

    fn has(&self, minute: u16) -> bool {
        if self.from_min <= self.to_min {
            (self.from_min..self.to_min).contains(&minute)
        } else {
            minute >= self.from_min || minute < self.to_min
        }
    }

    /// When the quiet hours that `now` falls into end; `None` when it falls into none.
    pub(crate) fn end(&self, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let local = now.with_timezone(&zone);
        if !self.is_sound() || !self.has(minute_of(local.time())) {
            return None;
        }
        let end = NaiveTime::from_hms_opt(u32::from(self.to_min / 60), u32::from(self.to_min % 60), 0)?;
        // Where the clocks are put on or back, the end of today may not exist, may lie behind, or may come twice.
        for days in 0..3 {
            let date = local.date_naive().checked_add_days(Days::new(days))?;
            let found = match zone.from_local_datetime(&date.and_time(end)) {
                LocalResult::Single(one) => Some(one),
                // Of the two, the first that is to come: quiet hours end once.
                LocalResult::Ambiguous(first, second) => Some(if first > local { first } else { second }),
                LocalResult::None => after_gap(date.and_time(end), zone),
            };
            if let Some(found) = found.filter(|found| *found > local) {
                return Some(found.with_timezone(&Utc));
            }
        }
        None
    }
}

fn minute_of(time: NaiveTime) -> u16 {
    u16::try_from(time.hour() * 60 + time.minute()).unwrap_or(0)
}

/// The first moment after a time of day that the clocks leave out.
fn after_gap(time: chrono::NaiveDateTime, zone: Tz) -> Option<DateTime<Tz>> {
    // No gap is known that is longer than a day: Samoa left out one.
    (1..=2 * 24 * 4).find_map(|quarters| {
        let later = time.checked_add_signed(TimeDelta::minutes(15 * quarters))?;
        zone.from_local_datetime(&later).earliest()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NIGHT: QuietHours = QuietHours { from_min: 22 * 60, to_min: 7 * 60 };

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn end(quiet: QuietHours, now: &str, zone: Tz) -> Option<DateTime<Utc>> {
        quiet.end(utc(now), zone)
    }

    #[test]
    fn a_night_ends_in_the_morning() {
        let berlin = Tz::Europe__Berlin;
        assert_eq!(end(NIGHT, "2026-01-10T20:59:59Z", berlin), None);
        assert_eq!(end(NIGHT, "2026-01-10T21:00:00Z", berlin), Some(utc("2026-01-11T06:00:00Z")));
        assert_eq!(end(NIGHT, "2026-01-11T05:59:59Z", berlin), Some(utc("2026-01-11T06:00:00Z")));
        assert_eq!(end(NIGHT, "2026-01-11T06:00:00Z", berlin), None);
        // The same moment is day elsewhere.
        assert_eq!(end(NIGHT, "2026-01-11T03:00:00Z", Tz::Asia__Tokyo), None);
        let noon = QuietHours { from_min: 12 * 60, to_min: 13 * 60 };
        assert_eq!(end(noon, "2026-07-01T10:30:00Z", berlin), Some(utc("2026-07-01T11:00:00Z")));
    }

    #[test]
    fn clocks_that_are_put_on_or_back_end_it_once() {
        let berlin = Tz::Europe__Berlin;
        // 02:00 to 03:00 does not exist on 29 March 2026.
        let in_the_gap = QuietHours { from_min: 60, to_min: 2 * 60 + 30 };
        assert_eq!(end(in_the_gap, "2026-03-29T00:30:00Z", berlin), Some(utc("2026-03-29T01:00:00Z")));
        // It comes twice on 25 October 2026: at 00:30 and at 01:30 UTC.
        assert_eq!(end(in_the_gap, "2026-10-25T00:15:00Z", berlin), Some(utc("2026-10-25T00:30:00Z")));
        assert_eq!(end(in_the_gap, "2026-10-25T01:15:00Z", berlin), Some(utc("2026-10-25T01:30:00Z")));
        assert_eq!(end(NIGHT, "2026-03-28T23:00:00Z", berlin), Some(utc("2026-03-29T05:00:00Z")));
    }

    #[test]
    fn no_hours_are_no_quiet_hours() {
        for (from_min, to_min) in [(0, 0), (600, 600), (DAY_MIN, 10), (10, DAY_MIN), (u16::MAX, u16::MAX)] {
            for minute in (0..i64::from(DAY_MIN)).step_by(7) {
                let now = utc("2026-01-10T00:00:00Z") + TimeDelta::minutes(minute);
                assert_eq!(QuietHours { from_min, to_min }.end(now, Tz::UTC), None);
            }
        }
    }

    proptest! {
        #[test]
        fn whoever_waits_is_not_disturbed_and_does_not_wait_for_ever(
            from_min in 0..DAY_MIN, to_min in 0..DAY_MIN, seconds in 0_i64..4_000_000_000, zone in 0..chrono_tz::TZ_VARIANTS.len(),
        ) {
            let quiet = QuietHours { from_min, to_min };
            let (now, zone) = (DateTime::from_timestamp(seconds, 0).unwrap(), chrono_tz::TZ_VARIANTS[zone]);
            match quiet.end(now, zone) {
                None => prop_assert!(!quiet.has(minute_of(now.with_timezone(&zone).time()))),
                Some(end) => {
                    prop_assert!(end > now && end - now <= TimeDelta::hours(50), "{} {}", now, end);
                    let local = minute_of(end.with_timezone(&zone).time());
                    // At its end it is over, but where the clocks went over it.
                    prop_assert!(local == to_min || zone.from_local_datetime(
                        &end.with_timezone(&zone).date_naive().and_hms_opt(u32::from(to_min / 60), u32::from(to_min % 60), 0).unwrap()
                    ).earliest().is_none() || end.with_timezone(&zone).date_naive() > now.with_timezone(&zone).date_naive());
                }
            }
        }
    }
}
