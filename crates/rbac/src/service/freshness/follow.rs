//! What runs in the background: following the changes of other processes, and removing what expired long ago.

use std::{collections::HashSet, error::Error as StdError, future::Future, time::Duration};

use chrono::TimeDelta;
use stylobate_core::RequestContext;
use tokio::{task::JoinSet, time::Instant};

use super::{
    super::Rbac,
    loads::{NotLoaded, Patience, WAIT_MAX},
};
use crate::{
    PolicyUnavailable,
    store::epochs::{self, Changes},
};

/// How often other processes' changes are looked for: leaves 600 ms of the promised second for looking and loading.
const FOLLOW_EVERY: Duration = Duration::from_millis(400);
/// How long after a look the next one is at the earliest, however many hints there are.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How many changed policies are loaded at a time: a large one must not hold up the others.
const LOADS_AT_ONCE: usize = 4;
/// How long a look waits for loads. What takes longer goes on, and the next look finds out: neither a large policy nor
/// many may keep the changes of others from being seen.
const LOOK_MAX: Duration = Duration::from_millis(200);
/// How often all epochs are compared, whatever the database's count of changes says: a backup that was put back, or triggers
/// that were switched off, may have it wrong.
const COMPARE_ALL_EVERY: Duration = Duration::from_secs(60);
/// How often expired rules are removed, and how long they are kept for administrators to see what somebody has lost.
const SWEEP_EVERY: Duration = Duration::from_secs(60 * 60);
const KEPT: TimeDelta = TimeDelta::days(30);

impl Rbac {
    /// Follows the changes of other processes until `shutdown` is done: looks for them every 400 ms, and at once when a
    /// database hints at one; and removes what expired more than 30 days ago, once an hour. Run it in the background of
    /// every process that checks. On PostgreSQL it keeps a connection of its own for the hints.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        // Neither a look that hangs nor a long sweep may hold up the other, or the shutdown.
        tokio::select! {
            biased;
            () = shutdown => {}
            () = self.follow_for_ever() => {}
            () = self.sweep_for_ever() => {}
        }
    }

    async fn sweep_for_ever(&self) {
        let context = RequestContext::system("rbac-sweep");
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            if let Err(error) = self.sweep_expired(&context, KEPT).await {
                let error: &dyn StdError = &error;
                tracing::warn!(error, "expired access rules could not be removed; the next hour tries again");
            }
        }
    }

    async fn follow_for_ever(&self) {
        let mut hints = self.db.hints(epochs::HINT);
        let mut healthy = true;
        loop {
            tokio::select! {
                () = hints.next() => {}
                () = tokio::time::sleep(FOLLOW_EVERY) => {}
            }
            let looked = self.look(LOOK_MAX).await;
            // Said once per outage, not once per look.
            match &looked {
                Err(error) if healthy => {
                    let error: &dyn StdError = error;
                    tracing::warn!(
                        error,
                        "changes of access policies cannot be followed; the last ones keep serving"
                    );
                }
                Ok(_) if !healthy => tracing::info!("changes of access policies are followed again"),
                _ => {}
            }
            healthy = looked.is_ok();
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Looks once for changes of other processes and loads what changed. [`run`](Self::run) does this for ever.
    ///
    /// # Errors
    /// [`PolicyUnavailable`] when the database cannot be asked, or one of several policies could not be loaded within two
    /// seconds.
    pub async fn follow(&self) -> Result<(), PolicyUnavailable> {
        if self.look(WAIT_MAX).await? { Ok(()) } else { Err(PolicyUnavailable(Box::new(NotLoaded::Slow))) }
    }

    /// Looks once, and waits for loads at most until `most` is over; tells whether everything that changed was loaded by
    /// then. What was not is found by the next look again, and loaded by requests before that.
    async fn look(&self, most: Duration) -> Result<bool, PolicyUnavailable> {
        let started = Instant::now();
        let since = {
            let looked = self.freshness.looked.lock();
            let is_due = looked.compared_all_at.is_none_or(|at| at.elapsed() >= COMPARE_ALL_EVERY);
            looked.mark.filter(|_| !is_due)
        };
        self.engine.advance();
        let (changes, compared_all) =
            self.changes(since).await.map_err(|error| PolicyUnavailable(Box::new(error)))?;
        // Marked first, so that guards ask for the new policy even while others are being loaded.
        for &(owner, epoch) in &changes.epochs {
            self.freshness.note(&self.engine, owner, epoch);
        }
        let (mut loads, mut result) = (JoinSet::new(), Ok(true));
        let mut changed = changes.epochs.into_iter();
        loop {
            while loads.len() < LOADS_AT_ONCE
                && let Some((owner, epoch)) = changed.next()
            {
                let rbac = self.clone();
                loads.spawn(async move { rbac.load_epoch(owner, epoch, Patience::Long).await });
            }
            match tokio::time::timeout_at(started + most, loads.join_next()).await {
                Ok(None) => break,
                Ok(Some(Ok(Ok(())))) => {}
                Ok(Some(Ok(Err(error)))) => result = Err(PolicyUnavailable(Box::new(error))),
                Ok(Some(Err(error))) => result = Err(PolicyUnavailable(Box::new(error))),
                // The loads go on: they are tasks of their own.
                Err(_) => {
                    result = result.map(|_| false);
                    break;
                }
            }
        }
        if let Ok(true) = result {
            let mut looked = self.freshness.looked.lock();
            (looked.at, looked.mark) = (started, Some(changes.mark));
            if compared_all {
                looked.compared_all_at = Some(started);
            }
        }
        result
    }

    /// The loaded policies whose epoch is another in the database, by what changed there since a mark, or by all there are.
    async fn changes(&self, since: Option<epochs::Mark>) -> Result<(Changes, bool), crate::RbacError> {
        let is_news = |(owner, epoch): &epochs::OwnerEpoch| {
            self.engine.epoch(*owner).is_some_and(|loaded| loaded != *epoch)
        };
        let mut reader = self.db.read().await?;
        if let Some(since) = since {
            let mut changes = epochs::changed(&mut reader, since).await?;
            // A count that went back is another database's, or that of a backup.
            if changes.mark >= since {
                changes.epochs.retain(is_news);
                return Ok((changes, false));
            }
        }
        // Taken first: what changes between two pages comes after it.
        let mark = epochs::mark(&mut reader).await?;
        let (mut changed, mut there) = (Vec::new(), HashSet::new());
        let mut page = epochs::page(&mut reader, None).await?;
        while let Some(last) = page.last().copied() {
            there.extend(page.iter().map(|(owner, _)| *owner));
            changed.extend(page.into_iter().filter(is_news));
            page = epochs::page(&mut reader, Some(last)).await?;
        }
        // What has no epoch any more has no rows either: its tenant was deleted.
        let gone = self.engine.tenants().into_iter().map(Some).filter(|owner| !there.contains(owner));
        changed.extend(gone.map(|owner| (owner, 0)).filter(is_news));
        Ok((Changes { epochs: changed, mark }, true))
    }

    /// How long ago the snapshots were last known to be those of the database. Below one second while
    /// [`run`](Self::run) works and the database answers.
    #[must_use]
    pub fn staleness(&self) -> Duration {
        self.freshness.looked.lock().at.elapsed()
    }
}
