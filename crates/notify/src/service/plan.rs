use chrono::{DateTime, Utc};
use stylobate_core::{BoxFuture, MessageDeliveryId, MessageId, NotificationChannelId};
use stylobate_db::{Scope, Tx};
use uuid::Uuid;

use super::{
    Notifier,
    prepare::{Entry, Preparation, Prepared, age},
    spending::Spending,
};
use crate::{
    Budget, DeliveryRef, DeliveryState, FailureClass, Medium, MessageKind, Next, NotifierError, Reason,
    policy::retry,
    store::{
        self,
        deliveries::{self, NewDelivery},
        messages::{self, Waiting},
        notifications, suppressions, tenant_of,
    },
};

pub(super) const SCOPE: Scope = Scope::Platform("plan a message");

impl Notifier {
    /// Decides where an accepted message goes, and writes down its deliveries. Call it again when [`Next::After`] is over; a
    /// message that is planned already is left alone.
    ///
    /// # Errors
    /// The database's own: nothing is planned then.
    pub async fn plan(&self, id: MessageId) -> Result<Next, NotifierError> {
        let now = self.now();
        let Some(before) = self.before(id).await? else { return Ok(Next::Done) };
        let message = before.message.clone();
        if let Some(wait) = super::deliver::wait_until(message.due_at, now) {
            return Ok(Next::After(wait));
        }
        if message.expires_at.is_some_and(|expires_at| expires_at <= now) {
            self.give_up(message, DeliveryState::Dropped, Reason::Expired).await?;
            return Ok(Next::Done);
        }
        match self.prepare(before, now).await {
            Preparation::Ready(prepared) => {
                let this = self.clone();
                let plan = async move |tx: &mut Tx| this.plan_in(tx, &prepared, now).await;
                self.inner.db.transact(SCOPE, plan).await?;
                Ok(Next::Done)
            }
            Preparation::Hopeless(state, reason) => {
                self.give_up(message, state, reason).await?;
                Ok(Next::Done)
            }
            Preparation::Later(wait) => {
                let due_at = now + chrono::TimeDelta::from_std(wait).unwrap_or_default();
                let put_off = async move |tx: &mut Tx| messages::put_off(tx, message.id, due_at).await;
                self.inner.db.transact(SCOPE, put_off).await?;
                Ok(Next::After(wait))
            }
        }
    }

    // Boxed, so that the compiler sees that it can go from thread to thread without knowing for which lifetimes it is asked.
    fn plan_in<'a>(
        &'a self,
        tx: &'a mut Tx,
        prepared: &'a Prepared,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), NotifierError>> {
        Box::pin(async move {
            let Prepared { message, kind, .. } = prepared;
            if !messages::take(tx, message.id, prepared.locale.clone()).await? {
                return Ok(());
            }
            store::lock(tx, prepared.locks.clone()).await?;
            let mut entries = prepared.entries.clone();
            if is_double(tx, message, kind).await? {
                drop_all(&mut entries, Reason::Duplicate);
            } else {
                drop_doubles(&mut entries);
                self.drop_suppressed(tx, message, &mut entries, now).await?;
                self.drop_above_budget(tx, kind, message.lane, &mut entries, now).await?;
            }
            let mut new = Vec::with_capacity(entries.len());
            for entry in entries {
                new.push(self.row(tx, prepared, entry, now).await?);
            }
            if !new.iter().any(|one| matches!(one.state, DeliveryState::Pending | DeliveryState::Sent)) {
                messages::forget_digest(tx, message.id).await?;
            }
            let pending: Vec<_> = new
                .iter()
                .filter(|one| one.state == DeliveryState::Pending)
                .map(|one| (one.id, one.medium, one.channel, one.due_at))
                .collect();
            for ended in new.iter().filter(|one| one.state != DeliveryState::Pending) {
                self.note_on_commit(tx, ended.medium, ended.state, now - message.created_at);
            }
            if !new.is_empty() {
                deliveries::insert(tx, new).await?;
            }
            if pending.is_empty() {
                messages::finish(tx, message.id, now).await?;
            }
            if let Some(dispatch) = &self.inner.dispatch {
                for (id, medium, channel, due_at) in pending {
                    let tenant = tenant_of(message.lane);
                    let channel = channel.map(NotificationChannelId::from_uuid);
                    dispatch.deliver(tx, DeliveryRef { id, tenant, medium, channel }, due_at).await?;
                }
            }
            Ok(())
        })
    }

    async fn drop_suppressed(
        &self,
        tx: &mut Tx,
        message: &Waiting,
        entries: &mut [Entry],
        now: DateTime<Utc>,
    ) -> Result<(), NotifierError> {
        let keys: Vec<_> =
            entries.iter_mut().filter_map(still_open).map(|entry| entry.address_key.clone()).collect();
        let suppressed = suppressions::among(tx, message.lane, &keys, now).await?;
        for entry in entries.iter_mut().filter_map(still_open) {
            if suppressed.contains(&entry.address_key) {
                entry.dropped = Some((DeliveryState::Dropped, Reason::Suppressed));
            }
        }
        Ok(())
    }

    async fn drop_above_budget(
        &self,
        tx: &mut Tx,
        kind: &MessageKind,
        lane: Uuid,
        entries: &mut [Entry],
        now: DateTime<Utc>,
    ) -> Result<(), NotifierError> {
        for entry in entries.iter_mut().filter_map(still_open) {
            let one = Spending {
                kind,
                medium: entry.medium,
                address_key: &entry.address_key,
                through_channel_in: entry.channel.map(|_| lane),
            };
            if !self.has_room(tx, &one, now).await? {
                entry.dropped = Some((DeliveryState::Dropped, Reason::Budget));
            }
        }
        Ok(())
    }

    /// The row of a way, and the notification where that is what it is.
    async fn row(
        &self,
        tx: &mut Tx,
        prepared: &Prepared,
        entry: Entry,
        now: DateTime<Utc>,
    ) -> Result<NewDelivery, NotifierError> {
        let Prepared { message, notification, quiet_until, .. } = prepared;
        let is_to_person = message.recipient_person.is_some();
        let (mut state, mut reason, mut due_at) = (DeliveryState::Pending, None, now);
        match (entry.dropped, entry.medium, quiet_until) {
            (Some((dropped, why)), ..) => (state, reason) = (dropped, Some(why)),
            (None, Medium::InApp, _) => {
                state = DeliveryState::Sent;
                if let Some(notification) = notification {
                    notifications::insert(tx, notification).await?;
                    let live = self.inner.live.clone();
                    tx.on_commit(move || live.changed());
                }
            }
            (None, _, Some(until)) if is_to_person => {
                due_at = *until;
                if message.expires_at.is_some_and(|expires_at| expires_at <= due_at) {
                    (state, reason) = (DeliveryState::Dropped, Some(Reason::Quiet));
                }
            }
            (None, ..) => {}
        }
        Ok(NewDelivery {
            id: entry.id,
            lane: message.lane,
            message: message.id,
            kind: message.kind.clone(),
            medium: entry.medium,
            channel: entry.channel,
            person: message.recipient_person,
            address_key: entry.address_key,
            destination: entry.destination,
            destination_sealed: entry.sealed,
            state,
            reason,
            due_at,
            now,
        })
    }

    /// Comes back later to a message at which planning itself failed, or gives it up when that went on for long enough.
    pub(super) async fn put_off_message(&self, id: MessageId) -> Result<(), NotifierError> {
        let now = self.now();
        let mut tx = self.inner.db.begin_read(SCOPE).await?;
        let message = messages::waiting(&mut tx, id).await?;
        tx.rollback().await?;
        let Some(message) = message else { return Ok(()) };
        let wait = retry::wait(FailureClass::Outage, 1, age(message.created_at, now), fastrand::u64(..));
        let Some(wait) = wait else {
            return self.give_up(message, DeliveryState::Failed, Reason::Interrupted).await;
        };
        let due_at = now + chrono::TimeDelta::from_std(wait).unwrap_or_default();
        let put_off = async move |tx: &mut Tx| messages::put_off(tx, message.id, due_at).await;
        Ok(self.inner.db.transact(SCOPE, put_off).await?)
    }

    /// Ends a message that cannot be planned, and says so in the log.
    async fn give_up(
        &self,
        message: Waiting,
        state: DeliveryState,
        reason: Reason,
    ) -> Result<(), NotifierError> {
        let now = self.now();
        let media = self.catalogue().find(&message.kind).map(|kind| kind.media);
        let medium = match media {
            Some(media) if !media.email && media.sms => Medium::Sms,
            Some(media) if !media.email && media.in_app => Medium::InApp,
            _ => Medium::Email,
        };
        let this = self.clone();
        let give_up = async move |tx: &mut Tx| {
            if !messages::take(tx, message.id, None).await? {
                return Ok(());
            }
            let row = NewDelivery {
                id: MessageDeliveryId::new(now),
                lane: message.lane,
                message: message.id,
                kind: message.kind.clone(),
                medium,
                channel: None,
                person: message.recipient_person,
                address_key: Vec::new(),
                destination: String::new(),
                destination_sealed: None,
                state,
                reason: Some(reason),
                due_at: now,
                now,
            };
            deliveries::insert(tx, vec![row]).await?;
            this.note_on_commit(tx, medium, state, now - message.created_at);
            messages::forget_digest(tx, message.id).await?;
            messages::finish(tx, message.id, now).await?;
            Ok::<_, NotifierError>(())
        };
        self.inner.db.transact(SCOPE, give_up).await
    }
}

/// Whether the same was said shortly before, by when they were accepted: planning may come late.
async fn is_double(tx: &mut Tx, message: &Waiting, kind: &MessageKind) -> Result<bool, NotifierError> {
    let (Some(digest), Some(within)) = (&message.digest, kind.one_within) else { return Ok(false) };
    let since = Budget { most: 1, within }.since(message.created_at);
    Ok(messages::said_before(tx, message.id, message.lane, digest, since).await?)
}

/// The entry, if nothing speaks against it yet.
fn still_open(entry: &mut Entry) -> Option<&mut Entry> {
    entry.dropped.is_none().then_some(entry)
}

/// A mailbox is written to once, however many ways lead there.
fn drop_doubles(entries: &mut [Entry]) {
    let mut seen = Vec::with_capacity(entries.len());
    for entry in entries.iter_mut().filter_map(still_open) {
        if seen.contains(&entry.address_key) {
            entry.dropped = Some((DeliveryState::Dropped, Reason::Duplicate));
        } else {
            seen.push(entry.address_key.clone());
        }
    }
}

fn drop_all(entries: &mut [Entry], reason: Reason) {
    for entry in entries.iter_mut().filter_map(still_open) {
        entry.dropped = Some((DeliveryState::Dropped, reason));
    }
}
