//! Messages that cannot be planned.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use stylobate_core::{MessageDeliveryId, MessageId};
use stylobate_db::Tx;
use uuid::Uuid;

use super::{
    Notifier,
    plan::SCOPE,
    prepare::{age, owner_of},
};
use crate::{
    ChannelOwner, DeliveryState, FailureClass, Medium, NotifierError, Reason,
    policy::{retry, route},
    store::{
        channels,
        deliveries::{self, NewDelivery},
        messages::{self, Waiting},
    },
};

impl Notifier {
    /// Comes back later to a message at which planning itself failed, or gives it up when that went on for long enough.
    pub(super) async fn put_off_message(&self, id: MessageId) -> Result<(), NotifierError> {
        let now = self.now();
        let mut tx = self.inner.db.begin_read(SCOPE).await?;
        let message = messages::waiting(&mut tx, &[id]).await?.pop();
        tx.rollback().await?;
        let Some(message) = message else { return Ok(()) };
        let wait = retry::wait(FailureClass::Outage, 1, age(message.created_at, now), fastrand::u64(..));
        let Some(wait) = wait else {
            return self.give_up(message, DeliveryState::Failed, Reason::Interrupted).await;
        };
        self.plan_later(message.id, wait, now).await
    }

    /// Comes back to a message when `wait` is over.
    pub(super) async fn plan_later(
        &self,
        id: Uuid,
        wait: Duration,
        now: DateTime<Utc>,
    ) -> Result<(), NotifierError> {
        let due_at = now + TimeDelta::from_std(wait).unwrap_or_default();
        let put_off = async move |tx: &mut Tx| messages::put_off(tx, id, due_at).await;
        Ok(self.inner.db.transact(SCOPE, put_off).await?)
    }

    /// Ends a message that cannot be planned, and says so in the log.
    pub(super) async fn give_up(
        &self,
        message: Waiting,
        state: DeliveryState,
        reason: Reason,
    ) -> Result<(), NotifierError> {
        let now = self.now();
        let this = self.clone();
        let give_up = async move |tx: &mut Tx| {
            if messages::take(tx, vec![message.id], None).await?.is_empty() {
                return Ok(());
            }
            let row = |(medium, channel, destination): (Medium, Option<Uuid>, String)| NewDelivery {
                id: MessageDeliveryId::new(now),
                lane: message.lane,
                message: message.id,
                kind: message.kind.clone(),
                medium,
                channel,
                person: message.recipient_person,
                address_key: Vec::new(),
                destination,
                destination_sealed: None,
                state,
                reason: Some(reason),
                due_at: now,
                now,
            };
            let rows: Vec<_> = this.ways_given_up(tx, &message).await?.into_iter().map(row).collect();
            for row in &rows {
                this.note_on_commit(tx, row.medium, state, now - message.created_at);
            }
            if !rows.is_empty() {
                deliveries::insert(tx, rows).await?;
            }
            if message.digest.is_some() {
                messages::forget_digests(tx, vec![message.id]).await?;
            }
            messages::finish(tx, vec![message.id], now).await?;
            Ok::<_, NotifierError>(())
        };
        self.inner.db.transact(SCOPE, give_up).await
    }

    /// What a message that cannot be planned would have gone by: the first medium of its kind, or the channels that hear its topic.
    async fn ways_given_up(
        &self,
        tx: &mut Tx,
        message: &Waiting,
    ) -> Result<Vec<(Medium, Option<Uuid>, String)>, NotifierError> {
        if let Some(owner @ ChannelOwner::Tenant(_)) = owner_of(message) {
            let listening = channels::listening(tx, &[owner]).await?;
            let hears = |events: &[String]| events.iter().any(|event| route::matches(event, &message.topic));
            let heard = listening.into_iter().filter(|one| hears(&one.channel.events));
            return Ok(heard
                .map(|one| {
                    (one.channel.channel_type, Some(one.channel.id.as_uuid()), one.channel.destination)
                })
                .collect());
        }
        let medium = match self.catalogue().find(&message.kind).map(|kind| kind.media) {
            Some(media) if !media.email && media.sms => Medium::Sms,
            Some(media) if !media.email && media.in_app => Medium::InApp,
            _ => Medium::Email,
        };
        Ok(vec![(medium, None, String::new())])
    }
}
