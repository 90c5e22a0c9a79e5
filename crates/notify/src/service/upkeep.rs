use std::{future::Future, time::Duration};

use chrono::TimeDelta;
use stylobate_db::{Scope, Tx};
use tokio::{task::JoinSet, time::sleep};

use super::{Budgets, Notifier};
use crate::{
    NotifierError,
    store::{due, messages, suppressions},
};

/// How many rows are removed at once.
const PRUNE_BATCH: i64 = 500;
/// How soon at most what is old is removed for the first time, and how often after that, more or less: processes that were started
/// together do not do it together.
const FIRST_PRUNE: Duration = Duration::from_secs(60);
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// How often what is pending is measured, more or less.
#[cfg(feature = "metrics")]
const MEASURE_EVERY: Duration = Duration::from_secs(10);

impl Notifier {
    /// How long what was sent stays in the log unless somebody says otherwise: 30 days.
    pub const DELIVERIES_KEPT: Duration = Duration::from_secs(30 * 86_400);
    /// How long notifications are kept unless somebody says otherwise: 180 days.
    pub const NOTIFICATIONS_KEPT: Duration = Duration::from_secs(180 * 86_400);

    /// Forgets what was said in messages that are done, and removes deliveries and messages that were finished longer ago than
    /// `deliveries`, notifications that came longer ago than `notifications`, and suppressions that are over. What budgets and windows
    /// of the catalogue count stays for as long as they do. A message takes its idempotency key along: after that the same key is a
    /// new message. Returns how many rows went.
    ///
    /// # Errors
    /// The database's own; what was removed until then stays removed.
    pub async fn keep_up(&self, deliveries: Duration, notifications: Duration) -> Result<u64, NotifierError> {
        const SCOPE: Scope = Scope::Platform("remove old messages");
        let now = self.now();
        loop {
            let finish = async move |tx: &mut Tx| messages::finish_planned(tx, now, PRUNE_BATCH).await;
            if self.inner.db.transact(SCOPE, finish).await? == 0 {
                break;
            }
        }
        let before =
            |keep: Duration| now.checked_sub_signed(TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX));
        let deliveries = deliveries.max(self.longest_window());
        let mut removed = 0;
        for (what, time) in [
            (What::Deliveries, before(deliveries)),
            (What::Messages, before(deliveries)),
            (What::Notifications, before(notifications)),
        ] {
            let Some(time) = time else { continue };
            loop {
                let remove = async move |tx: &mut Tx| match what {
                    What::Deliveries => due::remove_deliveries(tx, time, PRUNE_BATCH).await,
                    What::Messages => due::remove_messages(tx, time, PRUNE_BATCH).await,
                    What::Notifications => due::remove_notifications(tx, time, PRUNE_BATCH).await,
                };
                let batch = self.inner.db.transact(SCOPE, remove).await?;
                removed += batch;
                if batch == 0 {
                    break;
                }
            }
        }
        let expired = async move |tx: &mut Tx| suppressions::remove_expired(tx, now).await;
        removed += self.inner.db.transact(SCOPE, expired).await?;
        Ok(removed)
    }

    /// Does [`keep_up`](Self::keep_up) about once an hour and, with the feature `metrics`, `measure` about every ten seconds, until
    /// `stop`: for services whose queue of jobs delivers. Any number of processes may do it, and nothing is sent. Neither errors nor panics
    /// end it. [`run`](Self::run) does it too.
    pub async fn keep_up_until(
        &self,
        deliveries: Duration,
        notifications: Duration,
        stop: impl Future<Output = ()>,
    ) {
        tokio::select! {
            biased;
            () = stop => {}
            () = self.keep_measuring() => {}
            () = self.keep_pruning(deliveries, notifications) => {}
        }
    }

    async fn keep_pruning(&self, deliveries: Duration, notifications: Duration) {
        sleep(FIRST_PRUNE.mul_f64(fastrand::f64())).await;
        loop {
            let this = self.clone();
            match guarded(async move { this.keep_up(deliveries, notifications).await }).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "old messages are removed"),
                Err(error) => {
                    tracing::warn!(code = error.code(), %error, "old messages cannot be removed");
                }
            }
            sleep(PRUNE_EVERY.mul_f64(0.5 + fastrand::f64())).await;
        }
    }

    #[cfg(feature = "metrics")]
    async fn keep_measuring(&self) {
        loop {
            let this = self.clone();
            if let Err(error) = guarded(async move { this.measure().await }).await {
                tracing::warn!(code = error.code(), %error, "what is pending cannot be measured");
            }
            sleep(MEASURE_EVERY.mul_f64(0.5 + fastrand::f64())).await;
        }
    }

    #[cfg(not(feature = "metrics"))]
    async fn keep_measuring(&self) {
        std::future::pending().await
    }

    /// How far back anything is counted.
    fn longest_window(&self) -> Duration {
        let Budgets { email, sms, in_app, channel } = self.inner.budgets;
        let over_all = [email, sms, in_app, channel].map(|budget| budget.within);
        let of_kinds = self
            .catalogue()
            .iter()
            .flat_map(|kind| [kind.budget.map(|budget| budget.within), kind.one_within]);
        over_all.into_iter().chain(of_kinds.flatten()).max().unwrap_or_default()
    }
}

/// Makes one turn in a task, so that a panic is told like any error; of a set, so that it ends with whoever waits.
async fn guarded<T: Send + 'static>(
    turn: impl Future<Output = Result<T, NotifierError>> + Send + 'static,
) -> Result<T, NotifierError> {
    let mut task = JoinSet::new();
    task.spawn(turn);
    task.join_next().await.and_then(Result::ok).unwrap_or(Err(NotifierError::Panicked))
}

/// What is removed.
#[derive(Debug, Clone, Copy)]
enum What {
    Deliveries,
    Messages,
    Notifications,
}
