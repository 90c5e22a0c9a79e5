use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    Counter, CounterKind, LoginTry, ThrottleConfig,
    counter::{DEVICES_MAX, LOCK_MAX, STRANGERS_MAX},
};

/// As whom a try counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryBy {
    /// Anybody.
    Stranger,
    /// A device that has signed in to the account before and has not failed too often since.
    KnownDevice,
}

impl TryBy {
    /// The counters that a failure adds to. Judged are the same ones.
    #[must_use]
    pub fn counters(self) -> &'static [CounterKind] {
        match self {
            Self::Stranger => &[CounterKind::Account, CounterKind::Pair, CounterKind::Address],
            Self::KnownDevice => &[CounterKind::Device, CounterKind::Devices],
        }
    }

    /// The counters that a success ends.
    fn excused(self) -> &'static [CounterKind] {
        match self {
            Self::Stranger => {
                &[CounterKind::Device, CounterKind::Devices, CounterKind::Account, CounterKind::Pair]
            }
            Self::KnownDevice => &[CounterKind::Device, CounterKind::Devices],
        }
    }
}

/// A try is refused, whatever its password, and not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginRefused {
    /// When trying again makes sense. A day when only an administrator, a new password or a known device ends it.
    pub retry_after: Duration,
}

/// How everything stands that one try is about. What has no failures is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// The known device.
    pub device: Option<Counter>,
    /// All known devices of the account.
    pub devices: Option<Counter>,
    /// All strangers on the account.
    pub account: Option<Counter>,
    /// The client on the account.
    pub pair: Option<Counter>,
    /// The client on all accounts.
    pub address: Option<Counter>,
}

impl Standing {
    /// One of them.
    #[must_use]
    pub fn get(&self, kind: CounterKind) -> Option<Counter> {
        match kind {
            CounterKind::Device => self.device,
            CounterKind::Devices => self.devices,
            CounterKind::Account => self.account,
            CounterKind::Pair => self.pair,
            CounterKind::Address => self.address,
        }
    }

    /// Sets one of them; one without failures is none.
    pub fn set(&mut self, kind: CounterKind, counter: Option<Counter>) {
        let counter = counter.filter(|counter| counter.failures > 0);
        match kind {
            CounterKind::Device => self.device = counter,
            CounterKind::Devices => self.devices = counter,
            CounterKind::Account => self.account = counter,
            CounterKind::Pair => self.pair = counter,
            CounterKind::Address => self.address = counter,
        }
    }

    /// As whom the try counts, or that it is refused. Asked before the password is looked at, and again afterwards.
    ///
    /// # Errors
    /// [`LoginRefused`] when one of the stranger's counters is locked.
    pub fn judge(&self, login: &LoginTry, now: DateTime<Utc>) -> Result<TryBy, LoginRefused> {
        let is_locked = |kind: CounterKind| self.get(kind).is_some_and(|one| one.lock_left(now).is_some());
        let is_known = login.device.is_some()
            && !is_locked(CounterKind::Device)
            && !has_reached(self.devices, DEVICES_MAX, now);
        if is_known {
            return Ok(TryBy::KnownDevice);
        }
        if has_reached(self.account, STRANGERS_MAX, now) {
            return Err(LoginRefused { retry_after: LOCK_MAX.to_std().unwrap_or_default() });
        }
        let left = |kind: &CounterKind| self.get(*kind)?.lock_left(now);
        match TryBy::Stranger.counters().iter().filter_map(left).max() {
            Some(retry_after) => Err(LoginRefused { retry_after }),
            None => Ok(TryBy::Stranger),
        }
    }

    /// How it stands after the try failed, and as whom it was counted.
    ///
    /// # Errors
    /// [`LoginRefused`] when it has become locked meanwhile: nothing is counted, and the caller must not learn that the
    /// password was wrong.
    pub fn failed(
        &self,
        login: &LoginTry,
        config: &ThrottleConfig,
        now: DateTime<Utc>,
    ) -> Result<(TryBy, Self), LoginRefused> {
        let by = self.judge(login, now)?;
        let mut after = *self;
        for kind in by.counters() {
            if let Some(key) = login.key(*kind) {
                let before = self.get(*kind).unwrap_or_else(|| Counter::new(now));
                after.set(*kind, Some(before.failed(&key, config, now)));
            }
        }
        Ok((by, after))
    }

    /// How it stands after the password was right.
    ///
    /// # Errors
    /// [`LoginRefused`] when it has become locked meanwhile: the caller must not learn that the password was right.
    pub fn succeeded(&self, login: &LoginTry, now: DateTime<Utc>) -> Result<(TryBy, Self), LoginRefused> {
        let by = self.judge(login, now)?;
        let mut after = *self;
        for kind in by.excused() {
            after.set(*kind, None);
        }
        Ok((by, after))
    }
}

/// Whether a run of failures is as long as it may ever get.
pub(super) fn has_reached(counter: Option<Counter>, most: u32, now: DateTime<Utc>) -> bool {
    counter.is_some_and(|counter| counter.failures >= most && !counter.is_forgotten(now))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use chrono::TimeDelta;
    use proptest::prelude::*;
    use stylobate_core::PersonId;

    use super::*;
    use crate::throttle::{AccountKey, AddressKey, CounterKey, DeviceId};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_366_400 + seconds, 0).unwrap()
    }

    /// The counters of one account, and whoever tries.
    struct House {
        config: ThrottleConfig,
        account: AccountKey,
        counters: HashMap<CounterKey, Counter>,
        now: DateTime<Utc>,
    }

    impl House {
        fn new(config: ThrottleConfig) -> Self {
            let account = AccountKey::Person(PersonId::new(at(0)));
            Self { config, account, counters: HashMap::new(), now: at(0) }
        }

        fn stranger(&self, address: u8) -> LoginTry {
            let address = AddressKey::V4([198, 51, 100, address]);
            LoginTry { account: self.account, address, device: None }
        }

        fn device(&self, address: u8, device: u8) -> LoginTry {
            LoginTry { device: Some(DeviceId::from_bytes([device; 16])), ..self.stranger(address) }
        }

        fn standing(&self, login: &LoginTry) -> Standing {
            let mut standing = Standing::default();
            for key in login.keys() {
                standing.set(key.kind(), self.counters.get(&key).copied());
            }
            standing
        }

        fn store(&mut self, login: &LoginTry, after: Standing) {
            for key in login.keys() {
                match after.get(key.kind()) {
                    Some(counter) => self.counters.insert(key, counter),
                    None => self.counters.remove(&key),
                };
            }
        }

        fn fails(&mut self, login: &LoginTry) -> Result<TryBy, LoginRefused> {
            let (by, after) = self.standing(login).failed(login, &self.config, self.now)?;
            self.store(login, after);
            Ok(by)
        }

        fn succeeds(&mut self, login: &LoginTry) -> Result<TryBy, LoginRefused> {
            let (by, after) = self.standing(login).succeeded(login, self.now)?;
            self.store(login, after);
            Ok(by)
        }

        fn unlock(&mut self) {
            self.counters.retain(|key, _| key.account().is_none());
        }
    }

    const MINUTES_15: LoginRefused = LoginRefused { retry_after: Duration::from_secs(15 * 60) };
    const DAY: LoginRefused = LoginRefused { retry_after: Duration::from_secs(24 * 60 * 60) };

    #[test]
    fn one_client_locks_itself_and_no_other() {
        // A4
        let mut house = House::new(ThrottleConfig::default());
        let (attacker, owner) = (house.stranger(1), house.stranger(2));
        for _ in 0..5 {
            assert_eq!(house.fails(&attacker), Ok(TryBy::Stranger));
        }
        assert_eq!(house.fails(&attacker), Err(MINUTES_15));
        assert_eq!(house.succeeds(&attacker), Err(MINUTES_15), "a right password is not told either");
        assert_eq!(house.succeeds(&owner), Ok(TryBy::Stranger));
        // The owner's success does not free the other client.
        assert_eq!(house.fails(&attacker), Err(MINUTES_15));
    }

    #[test]
    fn many_clients_lock_the_account_for_strangers_alone() {
        // A4
        let mut house = House::new(ThrottleConfig::default());
        let (device, owner) = (house.device(9, 1), house.stranger(9));
        for client in 0..4 {
            for _ in 0..5 {
                assert_eq!(house.fails(&house.stranger(client)), Ok(TryBy::Stranger));
            }
        }
        assert_eq!(house.succeeds(&owner), Err(MINUTES_15));
        assert_eq!(house.succeeds(&device), Ok(TryBy::KnownDevice));
        // The device excused itself and nobody else.
        assert_eq!(house.fails(&owner), Err(MINUTES_15));
        house.now += TimeDelta::minutes(15);
        assert_eq!(house.succeeds(&owner), Ok(TryBy::Stranger));
        assert_eq!(house.standing(&owner), Standing::default());
    }

    #[test]
    fn after_eighty_failures_strangers_wait_for_somebody_who_lets_them() {
        // A4
        let mut house = House::new(ThrottleConfig::default());
        let mut failures = 0;
        while failures < 80 {
            let client = house.stranger(u8::try_from(failures).unwrap());
            match house.fails(&client) {
                Ok(_) => failures += 1,
                Err(refused) => house.now += TimeDelta::from_std(refused.retry_after).unwrap(),
            }
        }
        let owner = house.stranger(200);
        assert_eq!(house.fails(&owner), Err(DAY));
        house.now += TimeDelta::days(10_000);
        assert_eq!(house.fails(&owner), Err(DAY), "no time ends it");
        assert_eq!(house.succeeds(&house.device(200, 1)), Ok(TryBy::KnownDevice));
        assert_eq!(house.fails(&owner), Err(DAY));
        house.unlock();
        assert_eq!(house.succeeds(&owner), Ok(TryBy::Stranger));
    }

    #[test]
    fn a_device_that_fails_too_often_is_a_stranger() {
        let mut house = House::new(ThrottleConfig::default());
        let device = house.device(1, 1);
        for _ in 0..5 {
            assert_eq!(house.fails(&device), Ok(TryBy::KnownDevice));
        }
        for _ in 0..5 {
            assert_eq!(house.fails(&device), Ok(TryBy::Stranger));
        }
        assert_eq!(house.fails(&device), Err(MINUTES_15));
        // Another device of the owner is not concerned, until all of them have failed 20 times.
        for _ in 0..5 {
            assert_eq!(house.fails(&house.device(2, 2)), Ok(TryBy::KnownDevice));
            assert_eq!(house.fails(&house.device(3, 3)), Ok(TryBy::KnownDevice));
            assert_eq!(house.fails(&house.device(4, 4)), Ok(TryBy::KnownDevice));
        }
        assert_eq!(house.fails(&house.device(5, 5)), Ok(TryBy::Stranger));
        // A success of anybody who knows the password makes them known again.
        assert_eq!(house.succeeds(&house.device(5, 5)), Ok(TryBy::Stranger));
        assert_eq!(house.fails(&house.device(5, 5)), Ok(TryBy::KnownDevice));
    }

    #[test]
    fn tries_during_a_lock_do_not_make_it_longer() {
        let mut house = House::new(ThrottleConfig { account_failures_max: 1, ..ThrottleConfig::default() });
        let client = house.stranger(1);
        assert!(house.fails(&client).is_ok());
        let before = house.standing(&client);
        house.now += TimeDelta::seconds(60);
        assert!(house.fails(&client).is_err());
        assert_eq!(house.standing(&client), before);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Wait(i64),
        StrangerFails(u8),
        StrangerSucceeds(u8),
        DeviceFails(u8),
        DeviceSucceeds(u8),
        Unlock,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            // Also backwards: clocks of processes disagree.
            3 => (-120_i64..7_200).prop_map(Step::Wait),
            1 => (0_i64..90 * 86_400).prop_map(Step::Wait),
            12 => any::<u8>().prop_map(Step::StrangerFails),
            6 => (0_u8..6).prop_map(Step::DeviceFails),
            1 => any::<u8>().prop_map(Step::StrangerSucceeds),
            1 => (0_u8..6).prop_map(Step::DeviceSucceeds),
            1 => Just(Step::Unlock),
        ]
    }

    /// The same without whatever ends a run.
    fn failing_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => (0_i64..86_400).prop_map(Step::Wait),
            1 => (0_i64..900 * 86_400).prop_map(Step::Wait),
            6 => any::<u8>().prop_map(Step::StrangerFails),
            6 => any::<u8>().prop_map(Step::DeviceFails),
        ]
    }

    fn config() -> impl Strategy<Value = ThrottleConfig> {
        (1_u32..=20, 1_u32..=80, 60_u64..=86_400).prop_map(|(client, strangers, lockout)| ThrottleConfig {
            account_failures_max: client,
            strangers_failures_max: strangers,
            lockout: Duration::from_secs(lockout),
            ..ThrottleConfig::default()
        })
    }

    /// Takes a step; says whether a failure was counted, and whether the run of failures ended.
    fn take(house: &mut House, step: &Step) -> (bool, bool) {
        match step {
            Step::Wait(seconds) => {
                house.now += TimeDelta::seconds(*seconds);
                (false, false)
            }
            Step::StrangerFails(client) => (house.fails(&house.stranger(*client)).is_ok(), false),
            Step::DeviceFails(device) => (house.fails(&house.device(*device, *device)).is_ok(), false),
            Step::StrangerSucceeds(client) => (false, house.succeeds(&house.stranger(*client)).is_ok()),
            Step::DeviceSucceeds(device) => (false, house.succeeds(&house.device(*device, *device)).is_ok()),
            Step::Unlock => {
                house.unlock();
                (false, true)
            }
        }
    }

    proptest! {
        /// A4: NIST SP 800-63B-4 §3.2.2, whatever the timing, the clients, the devices and the settings.
        #[test]
        fn at_most_a_hundred_failures_in_a_row(
            config in config(), steps in prop::collection::vec(step(), 1..500),
        ) {
            let (mut house, mut in_a_row) = (House::new(config), 0);
            for step in &steps {
                let (failed, ended) = take(&mut house, step);
                in_a_row = if ended { 0 } else { in_a_row + u32::from(failed) };
                prop_assert!(in_a_row <= 100, "{in_a_row} after {step:?}");
            }
        }

        /// The same for an attacker of endless patience whom nothing interrupts.
        #[test]
        fn patience_gets_nobody_more_than_a_hundred_tries(
            config in config(), steps in prop::collection::vec(failing_step(), 1..600),
        ) {
            let mut house = House::new(config);
            let counted = steps.iter().filter(|step| take(&mut house, step).0).count();
            prop_assert!(counted <= 100, "{counted}");
        }

        /// A4: two histories that differ only in what strangers did answer a known device alike at every moment.
        #[test]
        fn no_stranger_changes_what_a_known_device_may_do(
            config in config(), steps in prop::collection::vec(step(), 1..300),
        ) {
            let (mut quiet, mut attacked) = (House::new(config.clone()), House::new(config));
            quiet.account = attacked.account;
            let known = |house: &House, device: u8| {
                let login = house.device(device, device);
                house.standing(&login).judge(&login, house.now) == Ok(TryBy::KnownDevice)
            };
            for step in &steps {
                match step {
                    // Who knows the password is no attacker, and a device that failed too often is a stranger.
                    Step::StrangerSucceeds(_) => continue,
                    Step::DeviceSucceeds(device) if !known(&quiet, *device) => continue,
                    Step::StrangerFails(_) => {}
                    _ => {
                        take(&mut quiet, step);
                    }
                }
                take(&mut attacked, step);
                for device in 0..6 {
                    prop_assert_eq!(known(&attacked, device), known(&quiet, device), "after {:?}", step);
                }
            }
        }

        /// What a refusal says is when it ends, except for the last one.
        #[test]
        fn a_timed_lock_ends_when_it_says(config in config(), steps in prop::collection::vec(step(), 1..200)) {
            let mut house = House::new(config);
            for step in &steps {
                take(&mut house, step);
            }
            let client = house.stranger(1);
            let closed = house.standing(&client).account.is_some_and(|account| account.failures >= 80);
            if let Err(refused) = house.standing(&client).judge(&client, house.now) {
                prop_assert!(refused.retry_after <= Duration::from_secs(2 * 24 * 60 * 60));
                house.now += TimeDelta::from_std(refused.retry_after).unwrap();
                prop_assert_eq!(house.standing(&client).judge(&client, house.now).is_err(), closed);
            }
        }

        /// Between two locks nobody has more tries than the settings say.
        #[test]
        fn no_timing_gets_a_client_more_tries(
            waits in prop::collection::vec(0_i64..7_200, 1..400), limit in 1_u32..=20,
        ) {
            let config = ThrottleConfig { account_failures_max: limit, ..ThrottleConfig::default() };
            let mut house = House::new(config);
            let client = house.stranger(1);
            let mut since_lock = 0;
            for wait in waits {
                house.now += TimeDelta::seconds(wait);
                match house.fails(&client) {
                    Ok(_) => since_lock += 1,
                    Err(_) => since_lock = 0,
                }
                prop_assert!(since_lock <= limit, "{since_lock}");
                if house.standing(&client).judge(&client, house.now).is_err() {
                    since_lock = 0;
                }
            }
        }
    }
}
