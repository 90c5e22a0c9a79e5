use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use stylobate_core::ApiKeyId;
use uuid::Uuid;

use super::{KeyCount, known::Refusal, usage};

/// What this process has let keys do, and has not written yet.
///
/// Read and counted at every request: split so that requests of different keys rarely meet.
pub(super) struct KeyUses([Mutex<HashMap<Uuid, KeyUse>>; SHARDS]);

const SHARDS: usize = 16;
const HOUR_SECONDS: i64 = 60 * 60;
/// The trail names a refused key this often at most, for each reason: whoever tries wrong secrets hides nothing else.
const REFUSALS_EVERY_MS: i64 = 60_000;

/// What one key has been used for.
#[derive(Default)]
struct KeyUse {
    hour: HourCount,
    last_used_at: Option<DateTime<Utc>>,
    days: Vec<DayCount>,
    /// When a refusal was last recorded, for each reason, in milliseconds since 1970.
    refusals_said_at: [Option<i64>; Refusal::COUNT],
}

/// How often a key has been used in an hour of the clock.
#[derive(Debug, Clone, Copy, Default)]
struct HourCount {
    /// Hours since 1970.
    hour: i64,
    here: u64,
    /// How many of those others have been told.
    told: u64,
    /// How many others had, when they were last asked.
    elsewhere: u64,
}

/// What a key was used for on a day, and is not in its row yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DayCount {
    pub(super) day: i64,
    pub(super) requests: i64,
    pub(super) refused: i64,
}

/// What is to be written of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnwrittenUse {
    pub(super) id: ApiKeyId,
    pub(super) last_used_at: Option<DateTime<Utc>>,
    pub(super) days: Vec<DayCount>,
}

fn hour_of(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(HOUR_SECONDS)
}

impl HourCount {
    /// Goes on to `hour`. A clock that goes back gives nobody another hour.
    fn roll(&mut self, hour: i64) {
        if hour > self.hour {
            *self = Self { hour, ..Self::default() };
        }
    }

    fn is_spent(&self, limit: u32) -> bool {
        self.here.saturating_add(self.elsewhere) >= u64::from(limit)
    }
}

impl KeyUse {
    fn count(&mut self, day: i64, requests: i64, refused: i64) {
        match self.days.last_mut() {
            // Never back, when the clock goes back over midnight.
            Some(last) if last.day >= day => {
                last.requests += requests;
                last.refused += refused;
            }
            _ => self.days.push(DayCount { day, requests, refused }),
        }
    }

    fn is_written(&self) -> bool {
        self.days.is_empty()
    }
}

impl KeyUses {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }

    #[expect(clippy::indexing_slicing, reason = "the index is below the number of shards")]
    fn shard(&self, id: ApiKeyId) -> &Mutex<HashMap<Uuid, KeyUse>> {
        // The last byte of a UUIDv7 is random.
        &self.0[usize::from(id.as_uuid().as_bytes()[15]) % SHARDS]
    }

    fn with<T>(&self, id: ApiKeyId, work: impl FnOnce(&mut KeyUse) -> T) -> T {
        work(self.shard(id).lock().entry(id.as_uuid()).or_default())
    }

    /// Counts a use at `now`, unless the key has been used `limit` times in this hour: then it says how long that lasts.
    pub(super) fn take(&self, id: ApiKeyId, limit: u32, now: DateTime<Utc>) -> Result<(), Duration> {
        self.with(id, |key| {
            key.hour.roll(hour_of(now));
            let day = usage::day_of(now);
            if key.hour.is_spent(limit) {
                key.count(day, 0, 1);
                let left = (key.hour.hour + 1) * HOUR_SECONDS - now.timestamp();
                return Err(Duration::from_secs(u64::try_from(left).unwrap_or(1).max(1)));
            }
            key.hour.here += 1;
            key.count(day, 1, 0);
            key.last_used_at = key.last_used_at.max(Some(now));
            Ok(())
        })
    }

    /// Counts a refusal for another reason. Returns whether it is to be recorded.
    #[expect(clippy::indexing_slicing, reason = "there is a place for each reason")]
    pub(super) fn refuse(&self, id: ApiKeyId, refusal: Refusal, now: DateTime<Utc>) -> bool {
        let now_ms = now.timestamp_millis();
        self.with(id, |key| {
            key.count(usage::day_of(now), 0, 1);
            let said_at = &mut key.refusals_said_at[refusal as usize];
            let is_due = said_at.is_none_or(|at| now_ms.saturating_sub(at) >= REFUSALS_EVERY_MS);
            if is_due {
                *said_at = Some(now_ms);
            }
            is_due
        })
    }

    /// Takes out what is to be written, in the order of the ids, and forgets keys that nobody uses.
    pub(super) fn drain(&self, now: DateTime<Utc>) -> Vec<UnwrittenUse> {
        let (hour, now_ms) = (hour_of(now), now.timestamp_millis());
        let mut unwritten = Vec::new();
        for shard in &self.0 {
            shard.lock().retain(|id, key| {
                if !key.is_written() {
                    unwritten.push(UnwrittenUse {
                        id: ApiKeyId::from_uuid(*id),
                        last_used_at: key.last_used_at.take(),
                        days: std::mem::take(&mut key.days),
                    });
                    return true;
                }
                let mut said = key.refusals_said_at.iter().flatten();
                let is_quiet = said.all(|at| now_ms.saturating_sub(*at) > REFUSALS_EVERY_MS);
                key.hour.hour >= hour || !is_quiet
            });
        }
        unwritten.sort_unstable_by_key(|used| used.id);
        unwritten
    }

    /// Takes back what could not be written.
    pub(super) fn put_back(&self, unwritten: Vec<UnwrittenUse>) {
        for used in unwritten {
            self.with(used.id, |key| {
                key.last_used_at = key.last_used_at.max(used.last_used_at);
                let since = std::mem::replace(&mut key.days, used.days);
                for day in since {
                    key.count(day.day, day.requests, day.refused);
                }
            });
        }
    }

    /// What others have not been told of this hour.
    pub(super) fn untold(&self, now: DateTime<Utc>) -> Vec<KeyCount> {
        let hour = hour_of(now);
        let mut untold = Vec::new();
        for shard in &self.0 {
            let shard = shard.lock();
            let keys = shard.iter().filter(|(_, key)| key.hour.hour == hour && key.hour.here > key.hour.told);
            untold.extend(keys.map(|(id, key)| {
                let count = key.hour.here - key.hour.told;
                KeyCount { key: ApiKeyId::from_uuid(*id), hour, count }
            }));
        }
        untold
    }

    /// Takes in what all processes together had when they were told `told`.
    pub(super) fn told(&self, told: KeyCount, total: u64) {
        self.with(told.key, |key| {
            if key.hour.hour == told.hour {
                key.hour.told = key.hour.told.saturating_add(told.count);
                key.hour.elsewhere = total.saturating_sub(key.hour.told);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    /// Twenty seconds before an hour, and a day, ends.
    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_409_580, 0).unwrap() + TimeDelta::seconds(seconds)
    }

    fn key() -> ApiKeyId {
        ApiKeyId::new(at(0))
    }

    #[test]
    fn a_limit_lasts_until_the_hour_ends() {
        let (uses, key) = (KeyUses::new(), key());
        assert_eq!([0, 1, 2].map(|second| uses.take(key, 2, at(second)).is_ok()), [true, true, false]);
        assert_eq!(uses.take(key, 2, at(5)), Err(Duration::from_secs(15)));
        assert!(uses.take(key, 3, at(5)).is_ok());
        assert!(uses.take(key, 2, at(20)).is_ok());
        // A clock that goes back gives nothing back.
        assert!(uses.take(key, 2, at(19)).is_ok());
        assert!(uses.take(key, 2, at(18)).is_err());
        assert!(uses.take(self::key(), 1, at(5)).is_ok());
    }

    #[test]
    fn uses_of_others_count_as_far_as_they_are_known() {
        let (uses, key) = (KeyUses::new(), key());
        for _ in 0..3 {
            uses.take(key, 10, at(0)).unwrap();
        }
        let [untold] = uses.untold(at(1)).try_into().unwrap();
        assert_eq!(untold.count, 3);
        // While others are told, it is used again.
        uses.take(key, 10, at(1)).unwrap();
        uses.told(untold, 8);
        assert_eq!(uses.untold(at(1))[0].count, 1);
        // Five of others, four here.
        assert!(uses.take(key, 10, at(2)).is_ok());
        assert!(uses.take(key, 10, at(2)).is_err());
        // What was known of the last hour says nothing about this one.
        assert!(uses.take(key, 10, at(20)).is_ok());
        uses.told(untold, 1_000);
        assert!(uses.take(key, 10, at(20)).is_ok());
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let (uses, key) = (KeyUses::new(), key());
        uses.take(key, 10, at(0)).unwrap();
        let unwritten = uses.drain(at(0));
        assert!(uses.drain(at(0)).is_empty());
        uses.take(key, 10, at(1)).unwrap();
        uses.take(key, 0, at(1)).unwrap_err();
        uses.take(key, 10, at(20)).unwrap();
        uses.put_back(unwritten);
        let day = usage::day_of(at(0));
        let days = vec![
            DayCount { day, requests: 2, refused: 1 },
            DayCount { day: day + 1, requests: 1, refused: 0 },
        ];
        let expected = UnwrittenUse { id: key, last_used_at: Some(at(20)), days };
        assert_eq!(uses.drain(at(20)), [expected]);
    }

    #[test]
    fn a_key_that_nobody_uses_is_forgotten_and_its_limit_is_not() {
        let (uses, key) = (KeyUses::new(), key());
        uses.take(key, 1, at(0)).unwrap();
        uses.drain(at(1));
        uses.drain(at(2));
        assert!(uses.take(key, 1, at(3)).is_err());
        uses.drain(at(4));
        uses.drain(at(21));
        assert!(uses.0.iter().all(|shard| shard.lock().is_empty()));
    }

    #[test]
    fn refusals_are_recorded_once_a_minute_for_each_reason() {
        let (uses, key) = (KeyUses::new(), key());
        let said = |refusal, second: &i64| uses.refuse(key, refusal, at(*second));
        let secrets: Vec<i64> = (0..=120).filter(|second| said(Refusal::Secret, second)).collect();
        assert_eq!(secrets, [0, 60, 120]);
        for other in [Refusal::Revoked, Refusal::Inactive, Refusal::Expired, Refusal::Owner, Refusal::Address]
        {
            assert_eq!([120, 121].map(|second| said(other, &second)), [true, false], "{other:?}");
        }
        assert_eq!(
            uses.drain(at(121)).iter().flat_map(|used| &used.days).map(|day| day.refused).sum::<i64>(),
            131
        );
        // Nor is what was said forgotten with what was written.
        uses.drain(at(122));
        assert!(!said(Refusal::Address, &122));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_counted_twice(steps in prop::collection::vec(0..4_u8, 0..60)) {
            let (uses, key) = (KeyUses::new(), key());
            let (mut taken, mut written) = (0, 0);
            let sum = |unwritten: &[UnwrittenUse]| -> i64 {
                unwritten.iter().flat_map(|used| &used.days).map(|day| day.requests).sum()
            };
            for (second, step) in (0..).zip(steps) {
                match step {
                    0 | 1 => {
                        taken += 1;
                        uses.take(key, 1_000, at(second)).unwrap();
                    }
                    2 => written += sum(&uses.drain(at(second))),
                    _ => {
                        let unwritten = uses.drain(at(second));
                        uses.put_back(unwritten);
                    }
                }
            }
            written += sum(&uses.drain(at(60)));
            prop_assert_eq!(written, taken);
        }
    }
}
