//! Whether addresses may be sent one more.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use stylobate_db::Tx;
use uuid::Uuid;

use super::Notifier;
use crate::{
    Budget, Category, Medium, MessageKind, NotifierError,
    policy::budget,
    store::deliveries::{self, Share, Tally},
};

/// One that would be sent.
#[derive(Clone, Copy)]
pub(super) struct Spending<'a> {
    pub(super) kind: &'a MessageKind,
    pub(super) medium: Medium,
    pub(super) address_key: &'a [u8],
    /// The lane that it is said in, where a channel has the address.
    pub(super) through_channel_in: Option<Uuid>,
}

/// What one must not exceed.
struct Limit {
    share: Share,
    over_all: Option<Budget>,
    of_kind: Option<Budget>,
}

impl Notifier {
    /// Whether the budgets leave room for each of `all`, in their order, as if there were no other. Whoever asks has the locks of the
    /// addresses, so that no other is counted at once.
    pub(super) async fn have_room(
        &self,
        tx: &mut Tx,
        all: &[Spending<'_>],
        now: DateTime<Utc>,
    ) -> Result<Vec<bool>, NotifierError> {
        let limits_of = |(place, one)| self.limits(one).map(move |limit| (place, *one, limit));
        let limits: Vec<(usize, Spending<'_>, Limit)> = all.iter().enumerate().flat_map(limits_of).collect();
        let since = |budget: Option<Budget>| budget.map_or(now, |budget| budget.since(now));
        let tallies = limits.iter().map(|(_, one, limit)| Tally {
            address_key: one.address_key,
            share: limit.share,
            kind: one.kind.name,
            all_since: since(limit.over_all),
            kind_since: since(limit.of_kind),
        });
        let counted = deliveries::count(tx, tallies.collect()).await?;
        let full: HashSet<usize> = limits
            .into_iter()
            .zip(counted)
            .filter(|((_, _, limit), counted)| !budget::has_room(*counted, limit.over_all, limit.of_kind))
            .map(|((place, ..), _)| place)
            .collect();
        Ok((0..all.len()).map(|place| !full.contains(&place)).collect())
    }

    fn limits(&self, one: &Spending<'_>) -> impl Iterator<Item = Limit> + use<> {
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
        let limits = match (one.through_channel_in, one.medium) {
            // Anybody can set up a channel to any mailbox: it takes nothing from what its owner is sent, and little from what others
            // send there by channels of theirs.
            (Some(lane), Medium::Email) => [
                Some(Limit { share: Share::ChannelsIn(lane), over_all, of_kind }),
                Some(Limit { share: Share::All, over_all: Some(budgets.channel), of_kind: None }),
            ],
            (Some(_), _) => [Some(Limit { share: Share::All, over_all, of_kind }), None],
            (None, _) => [Some(Limit { share: Share::Own, over_all, of_kind }), None],
        };
        let says_something = |limit: &Limit| limit.over_all.is_some() || limit.of_kind.is_some();
        limits.into_iter().flatten().filter(says_something)
    }
}
