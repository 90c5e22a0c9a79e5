use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    Counter, CounterKind,
    counter::{DEVICES_MAX, STRANGERS_MAX},
    standing::has_reached,
};

/// How an account stands, for administrators.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LockState {
    /// Failures of strangers in a row.
    pub failures: u32,
    /// Until when all strangers are locked out, when that ends by itself.
    pub locked_until: Option<DateTime<Utc>>,
    /// Whether strangers are locked out until an unlock or a new password.
    pub is_closed: bool,
    /// How many clients are locked out of the account by themselves.
    pub clients_locked: u32,
    /// Until when the last of them is.
    pub clients_locked_until: Option<DateTime<Utc>>,
    /// Failures of known devices in a row.
    pub device_failures: u32,
    /// How many known devices count as strangers for now.
    pub devices_locked: u32,
    /// Whether all known devices count as strangers until a success, an unlock or a new password.
    pub are_devices_closed: bool,
}

impl LockState {
    /// The state that the counters of an account make.
    #[must_use]
    pub fn of(counters: impl IntoIterator<Item = (CounterKind, Counter)>, now: DateTime<Utc>) -> Self {
        let mut state = Self::default();
        for (kind, counter) in counters {
            let is_locked = counter.lock_left(now).is_some();
            match kind {
                CounterKind::Account if !counter.is_forgotten(now) => {
                    state.failures = counter.failures;
                    state.locked_until = counter.locked_until.filter(|_| is_locked);
                    state.is_closed = has_reached(Some(counter), STRANGERS_MAX, now);
                }
                CounterKind::Devices if !counter.is_forgotten(now) => {
                    state.device_failures = counter.failures;
                    state.are_devices_closed = has_reached(Some(counter), DEVICES_MAX, now);
                }
                CounterKind::Pair => {
                    state.clients_locked += u32::from(is_locked);
                    let until = counter.locked_until.filter(|_| is_locked);
                    state.clients_locked_until = state.clients_locked_until.max(until);
                }
                CounterKind::Device => state.devices_locked += u32::from(is_locked),
                CounterKind::Account | CounterKind::Devices | CounterKind::Address => {}
            }
        }
        state
    }

    /// Until when somebody with the right password is refused somewhere, where that ends by itself.
    #[must_use]
    pub fn refused_until(&self) -> Option<DateTime<Utc>> {
        self.locked_until.max(self.clients_locked_until)
    }

    /// Whether somebody with the right password is refused somewhere.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.is_closed || self.locked_until.is_some() || self.clients_locked > 0
    }
}
