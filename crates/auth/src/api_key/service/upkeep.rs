use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::TenantId;
use stylobate_db::{Error, Tx};

use super::{ApiKeys, SCOPE, store, usage};
use crate::{
    api_key::uses::{KeyUses, UnwrittenUse},
    seldom::Seldom,
};

/// Between two writes of what keys were used for.
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// Between two exchanges of counts with other processes.
const SHARE_EVERY: Duration = Duration::from_millis(250);
/// Keys that one transaction writes: few milliseconds, so that nobody waits for it.
const WRITE_KEYS: usize = 100;
/// How long the last write may take, at the end of a process.
const LAST_WRITE: Duration = Duration::from_secs(2);
/// How long a key is kept after its end, in days: as long as what it was used for.
const ENDED_KEPT: TimeDelta = TimeDelta::days(usage::KEPT_DAYS);

impl ApiKeys {
    /// Writes what keys were used for, now and then.
    pub(crate) async fn follow_uses(&self) {
        loop {
            tokio::time::sleep(WRITE_EVERY).await;
            if let Err(error) = self.write_uses().await {
                tracing::warn!(code = error.code(), "what API keys were used for could not be written yet");
            }
        }
    }

    /// Tells other processes how often keys are used here, and learns it of them.
    pub(crate) async fn follow_counts(&self) {
        let Some(counts) = &self.0.parts.counts else { return std::future::pending().await };
        let failures = Seldom::new(super::SAY_EVERY);
        loop {
            tokio::time::sleep(SHARE_EVERY).await;
            let untold = self.0.uses.untold(self.0.parts.clock.now());
            if untold.is_empty() {
                continue;
            }
            match counts.add(&untold).await {
                Ok(totals) => {
                    untold.into_iter().zip(totals).for_each(|(told, total)| self.0.uses.told(told, total));
                }
                Err(error) => {
                    if let Some(unsaid) = failures.say() {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, unsaid, "API keys are limited by each process for itself");
                    }
                }
            }
        }
    }

    /// Writes what is not written yet, at the end of a process.
    pub(crate) async fn write_last_uses(&self) {
        match tokio::time::timeout(LAST_WRITE, self.write_uses()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(code = error.code(), "what API keys were last used for is lost");
            }
            Err(_) => tracing::warn!("what API keys were last used for is lost: the database did not answer"),
        }
    }

    /// Writes what keys were used for since the last time: their days and when they were last used.
    /// [`Auth::run`](crate::Auth::run) does it every 10 s.
    ///
    /// # Errors
    /// The database's own. What could not be written is kept for the next time.
    pub async fn write_uses(&self) -> Result<(), Error> {
        let left = self.0.uses.drain(self.0.parts.clock.now());
        let mut unwritten = Unwritten { uses: &self.0.uses, left };
        while !unwritten.left.is_empty() {
            let keys = unwritten.left.len().min(WRITE_KEYS);
            let batch: Vec<UnwrittenUse> = unwritten.left.iter().take(keys).cloned().collect();
            let write = async move |tx: &mut Tx| usage::write(tx, &batch).await;
            self.0.parts.db.transact(SCOPE, write).await?;
            unwritten.left.drain(..keys);
        }
        Ok(())
    }

    /// Revokes the keys of a tenant. Returns how many.
    pub(crate) async fn end_of_tenant(
        tx: &mut Tx,
        tenant: TenantId,
        now: DateTime<Utc>,
    ) -> Result<u64, Error> {
        store::revoke_of_tenant(tx, tenant, now).await
    }

    /// Deletes up to `rows_max` keys that ended long ago.
    pub(crate) async fn sweep_keys(tx: &mut Tx, now: DateTime<Utc>, rows_max: i64) -> Result<u64, Error> {
        store::sweep(tx, now - ENDED_KEPT, rows_max).await
    }

    /// Deletes up to `rows_max` days of usage that are over for long.
    pub(crate) async fn sweep_usage(tx: &mut Tx, now: DateTime<Utc>, rows_max: i64) -> Result<u64, Error> {
        usage::sweep(tx, usage::day_of(now) - usage::KEPT_DAYS, rows_max).await
    }
}

/// What is being written: whatever is left when that fails, or when nobody waits for it any more, is there the next time.
struct Unwritten<'a> {
    uses: &'a KeyUses,
    left: Vec<UnwrittenUse>,
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        self.uses.put_back(std::mem::take(&mut self.left));
    }
}
