use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{SignatureFault, SignatureInput};

/// How far the clocks of processes that share a store of nonces may be apart: a nonce is remembered for that much longer than
/// the process that accepts it would have to.
const CLOCKS_APART: TimeDelta = TimeDelta::seconds(60);

/// When a signature may be accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// The last moment.
    until: DateTime<Utc>,
    /// The last moment of any signature made at the same time.
    longest: DateTime<Utc>,
}

impl Window {
    /// The window of what was made at `made_at`, when `now` lies in it.
    pub(super) fn around(
        made_at: DateTime<Utc>,
        skew: Duration,
        now: DateTime<Utc>,
    ) -> Result<Self, SignatureFault> {
        let skew = TimeDelta::from_std(skew).unwrap_or(TimeDelta::zero());
        let until = made_at.checked_add_signed(skew).ok_or(SignatureFault::FromTheFuture)?;
        if now > until {
            return Err(SignatureFault::TooOld);
        }
        if now.signed_duration_since(made_at) < -skew {
            return Err(SignatureFault::FromTheFuture);
        }
        Ok(Self { until, longest: until })
    }

    /// When a signature was made, and its window, when `now` lies in it.
    pub(super) fn of(
        input: &SignatureInput<'_>,
        skew: Duration,
        now: DateTime<Utc>,
    ) -> Result<(DateTime<Utc>, Self), SignatureFault> {
        let time =
            |name, seconds| DateTime::from_timestamp(seconds, 0).ok_or(SignatureFault::ParamInvalid(name));
        let created_at = time("created", input.created().ok_or(SignatureFault::ParamMissing("created"))?)?;
        let mut window = Self::around(created_at, skew, now)?;
        if let Some(expires) = input.expires() {
            let expires_at = time("expires", expires)?;
            if expires_at < created_at {
                return Err(SignatureFault::ParamInvalid("expires"));
            }
            if now > expires_at {
                return Err(SignatureFault::Expired);
            }
            window.until = window.until.min(expires_at);
        }
        Ok((created_at, window))
    }

    /// Whether the last moment has passed.
    pub(super) fn is_over(&self, now: DateTime<Utc>) -> bool {
        now > self.until
    }

    /// Until when its nonce has to be remembered.
    pub(super) fn remembered_until(&self) -> DateTime<Utc> {
        self.longest + CLOCKS_APART
    }
}
