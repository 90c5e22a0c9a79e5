//! Trying out a channel.

use chrono::TimeDelta;
use serde_json::json;
use stylobate_core::{MessageDeliveryId, MessageId, NotificationChannelId, RequestContext};
use stylobate_db::Tx;

use super::{
    CHANNEL_TEST, Notifier,
    channels::{noted, scope_of},
    error::NO_CHANNEL,
    prepare::{lane_lock, person_lock},
    sealed::{self, Destination, Place},
    spending::Spending,
};
use crate::{
    ChannelOwner, DeliveryState, MessageDelivery, NotifierError, Reason,
    store::{
        self,
        channels::{self, Stored},
        deliveries::{self, NewDelivery},
        messages::{self, NewMessage},
    },
};

impl Notifier {
    /// Sends a message of the kind [`CHANNEL_TEST`] through a channel, whatever it hears. What comes of it is in its delivery.
    ///
    /// # Errors
    /// [`NotifierError::NotFound`]; [`NotifierError::ChannelInactive`]; [`NotifierError::Seal`]; the database's own.
    pub async fn test_channel(
        &self,
        context: &RequestContext,
        owner: ChannelOwner,
        id: NotificationChannelId,
    ) -> Result<MessageDelivery, NotifierError> {
        let now = self.now();
        let channel = self.channel(owner, id).await?;
        let (message, delivery) = (MessageId::new(now), MessageDeliveryId::new(now));
        let values = self.checked_values(&CHANNEL_TEST, &json!({ "label": channel.label }))?;
        let sealer = &*self.inner.sealer;
        let values = sealed::seal(sealer, Place::Values, message.as_uuid(), &values).await?;
        // Writing texts as JSON cannot fail.
        let destination = serde_json::to_vec(&Destination::default()).unwrap_or_default();
        let destination = sealed::seal(sealer, Place::Destination, delivery.as_uuid(), &destination).await?;
        let (this, context) = (self.clone(), context.clone());
        let test = async move |tx: &mut Tx| {
            let Stored { channel, address_key: key, .. } =
                channels::find(tx, owner, id, true).await?.ok_or(NO_CHANNEL)?;
            if !channel.is_active {
                return Err(NotifierError::ChannelInactive);
            }
            let (tenant, person) = match owner {
                ChannelOwner::Tenant(tenant) => (Some(tenant), None),
                ChannelOwner::Person(person) => (None, Some(person)),
            };
            let new = NewMessage {
                id: message,
                lane: store::lane(tenant),
                kind: CHANNEL_TEST.name.to_owned(),
                topic: CHANNEL_TEST.name.to_owned(),
                person: person.map(|person| person.as_uuid()),
                email_sealed: None,
                digest: None,
                values_sealed: values.clone(),
                idempotency_key: None,
                is_planned: true,
                now,
                expires_at: None,
            };
            // As whoever plans for the owner or the address: other channels may lead there too.
            let of_owner = person.map_or_else(|| lane_lock(store::lane(tenant)), person_lock);
            store::lock(tx, vec![of_owner, hex::encode(&key)]).await?;
            messages::insert(tx, vec![new]).await?;
            let one = Spending {
                kind: &CHANNEL_TEST,
                medium: channel.channel_type,
                address_key: &key,
                through_channel_in: Some(store::lane(tenant)),
            };
            let has_room = this.have_room(tx, &[one], now).await? == [true];
            let (state, reason) = match has_room {
                true => (DeliveryState::Pending, None),
                false => (DeliveryState::Dropped, Some(Reason::Budget)),
            };
            let row = NewDelivery {
                id: delivery,
                lane: store::lane(tenant),
                message: message.as_uuid(),
                kind: CHANNEL_TEST.name.to_owned(),
                medium: channel.channel_type,
                channel: Some(id.as_uuid()),
                person: person.map(|person| person.as_uuid()),
                address_key: key,
                destination: channel.destination.clone(),
                destination_sealed: Some(destination.clone()),
                state,
                reason,
                due_at: now,
                now,
            };
            let pending = row.reference();
            deliveries::insert(tx, vec![row]).await?;
            if !has_room {
                this.note_on_commit(tx, channel.channel_type, state, TimeDelta::zero());
                messages::finish(tx, vec![message.as_uuid()], now).await?;
            } else if let Some(dispatch) = &this.inner.dispatch {
                dispatch.deliver(tx, vec![pending]).await?;
            }
            let event = noted(&context, "notification_channel.test", &channel);
            tx.audit(event.with("delivery", delivery.to_string()));
            let scope = tx.scope();
            deliveries::find(tx, scope, delivery).await?.ok_or(NO_CHANNEL)
        };
        self.inner.db.transact(scope_of(owner, "try out a channel"), test).await
    }
}
