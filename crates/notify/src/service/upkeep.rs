use std::time::Duration;

use chrono::TimeDelta;
use stylobate_db::{Scope, Tx};

use super::{Budgets, Notifier};
use crate::{
    NotifierError,
    store::{due, messages, suppressions},
};

/// How many rows are removed at once.
const PRUNE_BATCH: i64 = 500;

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

/// What is removed.
#[derive(Debug, Clone, Copy)]
enum What {
    Deliveries,
    Messages,
    Notifications,
}
