//! What this program does in the background.

use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use stylobate::{
    Handles,
    auth::{Auth, KeyError, Rotation},
    jobs::{Attempt, Failed, Job, Jobs, Registry, Retention, Unique},
};

use crate::orgs::{DeleteOrg, OrgRemoval};

/// Where work waits that keeps the installation itself in order: nobody waits for it, and it never holds up other work.
const MAINTENANCE: &str = "maintenance";
/// A first sweep after days without one takes minutes.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Adds the kinds of this program.
pub(crate) fn fill(kinds: Registry, handles: &Handles<'_>) -> Registry {
    kinds
        .with::<SweepAuth>(handles.auth.clone())
        .with::<PruneJobs>(handles.jobs.clone())
        .with::<CheckKeys>(handles.auth.clone())
        .with::<DeleteOrg>(OrgRemoval::new(handles))
}

/// Days, 1 to 3650.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
struct Days(u16);

impl TryFrom<u16> for Days {
    type Error = &'static str;

    fn try_from(days: u16) -> Result<Self, &'static str> {
        if (1..=3_650).contains(&days) { Ok(Self(days)) } else { Err("days are 1 to 3650") }
    }
}

impl From<Days> for u16 {
    fn from(days: Days) -> Self {
        days.0
    }
}

impl From<Days> for TimeDelta {
    fn from(days: Days) -> Self {
        Self::days(i64::from(days.0))
    }
}

/// Deletes sessions, revocations, login counters and set-up links that have run out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweepAuth {}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rows {
    rows: u64,
}

impl Job for SweepAuth {
    const NAME: &'static str = "auth.sweep";
    const QUEUE: &'static str = MAINTENANCE;
    const TIMEOUT: Duration = SWEEP_TIMEOUT;
    const ATTEMPTS_MAX: u16 = 3;

    type State = Auth;
    type Output = Rows;
    type Error = Failed;

    fn unique(&self) -> Option<Unique> {
        Some(Unique::while_live("all"))
    }

    async fn run(self, _: Attempt, auth: Auth) -> Result<Rows, Failed> {
        Ok(Rows { rows: auth.sweep().await? })
    }
}

/// Removes jobs that finished long ago.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PruneJobs {
    /// How long completed ones are kept.
    completed_days: Days,
    /// How long cancelled ones are.
    cancelled_days: Days,
    /// How long dead letters are.
    discarded_days: Days,
}

impl Default for PruneJobs {
    fn default() -> Self {
        Self { completed_days: Days(7), cancelled_days: Days(30), discarded_days: Days(90) }
    }
}

impl Job for PruneJobs {
    const NAME: &'static str = "jobs.prune";
    const QUEUE: &'static str = MAINTENANCE;
    const TIMEOUT: Duration = SWEEP_TIMEOUT;
    const ATTEMPTS_MAX: u16 = 3;

    type State = Jobs;
    type Output = Rows;
    type Error = Failed;

    fn unique(&self) -> Option<Unique> {
        Some(Unique::while_live("all"))
    }

    async fn run(self, _: Attempt, jobs: Jobs) -> Result<Rows, Failed> {
        let retention = Retention {
            completed: self.completed_days.into(),
            cancelled: self.cancelled_days.into(),
            discarded: self.discarded_days.into(),
        };
        Ok(Rows { rows: jobs.prune(retention).await? })
    }
}

/// Begins a rotation when the key that signs access tokens has been doing so for long. The new key is published first, so
/// that nobody is signed out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CheckKeys {
    /// After how long.
    rotate_after_days: Days,
}

impl Default for CheckKeys {
    fn default() -> Self {
        Self { rotate_after_days: Days(90) }
    }
}

/// What the check of the keys found.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeysFound {
    /// The operator supplies the key, and rotates it.
    Supplied,
    /// The key is young enough.
    Young,
    /// A new key has been published.
    Rotated,
    /// A new key had been published already.
    Rotating,
}

impl Job for CheckKeys {
    const NAME: &'static str = "keys.check";
    const QUEUE: &'static str = MAINTENANCE;
    const TIMEOUT: Duration = Duration::from_secs(60);
    const ATTEMPTS_MAX: u16 = 5;

    type State = Auth;
    type Output = KeysFound;
    type Error = Failed;

    fn unique(&self) -> Option<Unique> {
        Some(Unique::while_live("all"))
    }

    async fn run(self, attempt: Attempt, auth: Auth) -> Result<KeysFound, Failed> {
        let Some(ring) = auth.key_ring() else { return Ok(KeysFound::Supplied) };
        let now = attempt.clock().now();
        let keys = ring.list().await?;
        let is_old = |since| now.signed_duration_since(since) >= TimeDelta::from(self.rotate_after_days);
        let signing = keys.iter().find(|key| key.is_signing);
        if signing.is_some_and(|key| !is_old(key.times.not_before)) {
            return Ok(KeysFound::Young);
        }
        match ring.rotate(&attempt.context(), Rotation::PublishAhead).await {
            Ok(key) => {
                tracing::info!(kid = %key.kid, "the key that signs has done so for long: a new one is published");
                Ok(KeysFound::Rotated)
            }
            Err(KeyError::RotationPending) => Ok(KeysFound::Rotating),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_a_default_and_what_is_out_of_range_is_refused() {
        let prune: PruneJobs = serde_json::from_str(r#"{"discarded_days": 365}"#).unwrap();
        assert_eq!((prune.completed_days, prune.discarded_days), (Days(7), Days(365)));
        for wrong in [r#"{"discarded_days": 0}"#, r#"{"discarded_days": 3651}"#, r#"{"discarded": 1}"#] {
            assert!(serde_json::from_str::<PruneJobs>(wrong).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<SweepAuth>(r#"{"hard": true}"#).is_err());
        let check: CheckKeys = serde_json::from_str("{}").unwrap();
        assert_eq!(check.rotate_after_days, Days(90));
    }
}
