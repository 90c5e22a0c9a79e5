use std::{
    future::Future,
    pin::pin,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use stylobate_core::WebhookDeliveryId;
use stylobate_db::{Scope, Tx};
use tokio::task::JoinSet;

use super::{
    Webhooks, WebhooksError,
    service::joined,
    store::{due, endpoints},
};

/// How many deliveries a turn has at most, how many of one endpoint, and how many are under way at once.
const TURN_MAX: usize = 64;
const TURN_OF_ENDPOINT_MAX: i64 = 4;
const AT_ONCE: usize = 32;

/// How long it takes at most until a delivery is noticed.
const POLL: Duration = Duration::from_secs(1);
/// How often what is old is removed.
const PRUNE: Duration = Duration::from_secs(3_600);
/// How many rows are removed at once.
const PRUNE_BATCH: i64 = 500;

impl Webhooks {
    /// How long finished deliveries are kept unless somebody says otherwise: 14 days.
    pub const KEPT: Duration = Duration::from_secs(14 * 24 * 3_600);

    /// Makes the attempts that are due, up to 64 and up to 4 of an endpoint. Returns how many deliveries it saw to.
    ///
    /// # Errors
    /// The database's own, when it cannot be asked what is due. What goes wrong with one delivery is logged, and the others go on.
    pub async fn deliver_due(&self) -> Result<usize, WebhooksError> {
        self.deliver_overdue(Duration::ZERO).await
    }

    /// The same with those that have been due for `by`: for services whose queue of jobs delivers, where a job may have been called
    /// off or given up. Call it every few minutes.
    ///
    /// # Errors
    /// As [`deliver_due`](Self::deliver_due).
    pub async fn deliver_overdue(&self, by: Duration) -> Result<usize, WebhooksError> {
        let by = TimeDelta::from_std(by).unwrap_or(TimeDelta::days(1));
        let mut tx = self.db.begin_read(Scope::Platform("look for webhooks to deliver")).await?;
        let most = i64::try_from(TURN_MAX).unwrap_or(i64::MAX);
        let due = due::due(&mut tx, self.now() - by, TURN_OF_ENDPOINT_MAX, most).await?;
        tx.rollback().await?;
        let found = due.len();
        let mut under_way = JoinSet::new();
        for id in due {
            if under_way.len() >= AT_ONCE {
                under_way.join_next().await;
            }
            let this = self.clone();
            under_way.spawn(async move { this.deliver_one(id).await });
        }
        while under_way.join_next().await.is_some() {}
        Ok(found)
    }

    async fn deliver_one(&self, id: WebhookDeliveryId) {
        let this = self.clone();
        // In a task of its own, so that a panic is told like any error.
        if let Err(error) = joined(tokio::spawn(async move { this.deliver(id).await }).await) {
            tracing::warn!(webhook.delivery = %id, code = error.code(), %error, "a webhook could not be seen to");
        }
    }

    /// Makes attempts as they become due, and removes what is old, until `stop`: for services without a queue of jobs. Attempts
    /// that are under way then come to their end first.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut pruned: Option<Instant> = None;
        loop {
            let this = self.clone();
            let turn = joined(tokio::spawn(async move { this.deliver_due().await }).await);
            let found = turn.unwrap_or_else(|error| {
                tracing::warn!(code = error.code(), %error, "webhooks cannot be delivered");
                0
            });
            if pruned.is_none_or(|last| last.elapsed() >= PRUNE) {
                let this = self.clone();
                if let Err(error) = joined(tokio::spawn(async move { this.prune(Self::KEPT).await }).await) {
                    tracing::warn!(code = error.code(), %error, "old deliveries of webhooks cannot be removed");
                }
                pruned = Some(Instant::now());
            }
            let wait = if found >= TURN_MAX { Duration::ZERO } else { POLL };
            if tokio::time::timeout(wait, &mut stop).await.is_ok() {
                return;
            }
        }
    }

    /// Removes deliveries that were finished longer ago than `keep` ([`KEPT`](Self::KEPT) where there is no reason for another),
    /// those of endpoints that are gone, and secrets that nothing is signed with any more. Returns how many deliveries went.
    ///
    /// # Errors
    /// The database's own; what was removed until then stays removed.
    pub async fn prune(&self, keep: Duration) -> Result<u64, WebhooksError> {
        const SCOPE: Scope = Scope::Platform("remove old deliveries of webhooks");
        let now = self.now();
        let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
        let mut removed = 0;
        if let Some(time) = now.checked_sub_signed(keep) {
            loop {
                let remove = async move |tx: &mut Tx| due::remove_finished(tx, time, PRUNE_BATCH).await;
                let batch = self.db.transact(SCOPE, remove).await?;
                removed += batch;
                if batch == 0 {
                    break;
                }
            }
        }
        let mut tx = self.db.begin_read(SCOPE).await?;
        let orphaned = due::orphaned(&mut tx).await?;
        tx.rollback().await?;
        for endpoint in orphaned {
            loop {
                let remove = async move |tx: &mut Tx| due::remove_of(tx, endpoint, PRUNE_BATCH).await;
                let batch = self.db.transact(SCOPE, remove).await?;
                removed += batch;
                if batch == 0 {
                    break;
                }
            }
        }
        let forget = async move |tx: &mut Tx| endpoints::forget_previous(tx, now).await;
        self.db.transact(SCOPE, forget).await?;
        Ok(removed)
    }
}
