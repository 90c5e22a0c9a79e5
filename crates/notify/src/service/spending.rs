//! Whether an address may be sent one more.

use chrono::{DateTime, Utc};
use stylobate_db::Tx;
use uuid::Uuid;

use super::Notifier;
use crate::{
    Budget, Category, Medium, MessageKind, NotifierError,
    policy::budget,
    store::deliveries::{self, Share},
};

/// One that would be sent.
pub(super) struct Spending<'a> {
    pub(super) kind: &'a MessageKind,
    pub(super) medium: Medium,
    pub(super) address_key: &'a [u8],
    /// The lane that it is said in, where a channel has the address.
    pub(super) through_channel_in: Option<Uuid>,
}

impl Notifier {
    /// Whether the budgets leave room for it. Whoever asks has the lock of the address, so that no other is counted at once.
    pub(super) async fn has_room(
        &self,
        tx: &mut Tx,
        one: &Spending<'_>,
        now: DateTime<Utc>,
    ) -> Result<bool, NotifierError> {
        let budgets = &self.inner.budgets;
        let over_all = match one.medium {
            // Whoever floods somebody with mail must not keep the mail about it from them. Short messages cost money.
            Medium::Email if one.kind.category == Category::Security => None,
            Medium::Email => Some(budgets.email),
            Medium::Sms => Some(budgets.sms),
            Medium::InApp => Some(budgets.in_app),
            _ => Some(budgets.channel),
        };
        let of_kind = one.kind.budget;
        match (one.through_channel_in, one.medium) {
            // Anybody can set up a channel to any mailbox: it takes nothing from what its owner is sent, and little from what others
            // send there by channels of theirs.
            (Some(lane), Medium::Email) => {
                let in_lane = Share::ChannelsIn(lane);
                Ok(self.is_within(tx, one, in_lane, over_all, of_kind, now).await?
                    && self.is_within(tx, one, Share::All, Some(budgets.channel), None, now).await?)
            }
            (Some(_), _) => self.is_within(tx, one, Share::All, over_all, of_kind, now).await,
            (None, _) => self.is_within(tx, one, Share::Own, over_all, of_kind, now).await,
        }
    }

    async fn is_within(
        &self,
        tx: &mut Tx,
        one: &Spending<'_>,
        share: Share,
        over_all: Option<Budget>,
        of_kind: Option<Budget>,
        now: DateTime<Utc>,
    ) -> Result<bool, NotifierError> {
        if over_all.is_none() && of_kind.is_none() {
            return Ok(true);
        }
        let since = |budget: Option<Budget>| budget.map_or(now, |budget| budget.since(now));
        let (all_since, kind_since) = (since(over_all), since(of_kind));
        let counted =
            deliveries::count(tx, one.address_key, share, one.kind.name, all_since, kind_since).await?;
        Ok(budget::has_room(counted, over_all, of_kind))
    }
}
