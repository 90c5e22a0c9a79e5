//! What carries nothing at the moment.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use crate::{FailureClass, Medium, Receipt, SendError};

/// How long a medium is held back: as long as the shortest wait during an outage, so that its end is noticed as soon.
const HELD_BACK: TimeDelta = TimeDelta::seconds(5);

/// Media that everything goes through one server by. Once that is known to be away, not every delivery has to find out.
#[derive(Debug, Default)]
pub(crate) struct Outages(Mutex<HashMap<Medium, DateTime<Utc>>>);

impl Outages {
    pub(crate) fn is_held_back(&self, medium: Medium, now: DateTime<Utc>) -> bool {
        // Clocks are put back too.
        self.0.lock().get(&medium).is_some_and(|until| *until > now && *until <= now + HELD_BACK)
    }

    pub(crate) fn note(&self, medium: Medium, sent: &Result<Receipt, SendError>, now: DateTime<Utc>) {
        if !matches!(medium, Medium::Email | Medium::Sms) {
            return;
        }
        // That all connections are taken says nothing about the server.
        if sent.as_ref().is_err_and(|error| error.code == SendError::SMTP_BUSY) {
            return;
        }
        let mut held_back = self.0.lock();
        match sent {
            Err(error) if error.class == FailureClass::Outage => held_back.insert(medium, now + HELD_BACK),
            _ => held_back.remove(&medium),
        };
    }
}
