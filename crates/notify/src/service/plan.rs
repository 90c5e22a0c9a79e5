use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use stylobate_core::{BoxFuture, MessageDeliveryId, MessageId};
use stylobate_db::{Scope, Tx};
use uuid::Uuid;

use super::{
    Notifier,
    prepare::{Entry, Preparation, Prepared, age, owner_of},
    spending::Spending,
};
use crate::{
    Budget, ChannelOwner, DeliveryState, FailureClass, Medium, MessageKind, Next, NotifierError, Reason,
    policy::{retry, route},
    store::{
        self, channels,
        deliveries::{self, NewDelivery},
        messages::{self, Waiting},
        notifications, suppressions,
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
                let plan = move |all| this.clone().plan_all(all);
                self.inner.batches.planned.ask(prepared.into(), plan).await?;
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

    async fn plan_all(self, all: Vec<Arc<Prepared>>) -> Result<Vec<()>, NotifierError> {
        let (db, number) = (self.inner.db.clone(), all.len());
        let plan = async move |tx: &mut Tx| self.plan_in(tx, &all).await;
        db.transact(SCOPE, plan).await?;
        Ok(vec![(); number])
    }

    // Boxed, so that the compiler sees that it can go from thread to thread without knowing for which lifetimes it is asked.
    fn plan_in<'a>(
        &'a self,
        tx: &'a mut Tx,
        all: &'a [Arc<Prepared>],
    ) -> BoxFuture<'a, Result<(), NotifierError>> {
        Box::pin(async move {
            store::lock(tx, all.iter().flat_map(|one| one.locks.clone()).collect()).await?;
            let mut locales: HashMap<Option<&str>, Vec<Uuid>> = HashMap::new();
            for one in all {
                locales.entry(one.locale.as_deref()).or_default().push(one.message.id);
            }
            let mut taken = HashSet::new();
            for (locale, ids) in locales {
                taken.extend(messages::take(tx, ids, locale.map(str::to_owned)).await?);
            }
            let now = self.now();
            let mut decided = Vec::with_capacity(all.len());
            let mut together: Vec<&Prepared> = Vec::new();
            // A message asked for twice is taken once.
            for one in all.iter().filter(|one| taken.remove(&one.message.id)) {
                // What is decided about the one counts for the other.
                if together.iter().any(|other| other.locks.iter().any(|lock| one.locks.contains(lock))) {
                    decided.extend(self.decide(tx, std::mem::take(&mut together), now).await?);
                }
                together.push(one);
            }
            decided.extend(self.decide(tx, together, now).await?);
            self.write_down(tx, decided, now).await
        })
    }

    /// Decides what becomes of the ways of messages that have nobody in common, and notes what counts for others.
    async fn decide<'a>(
        &self,
        tx: &mut Tx,
        all: Vec<&'a Prepared>,
        now: DateTime<Utc>,
    ) -> Result<Vec<(&'a Prepared, Vec<NewDelivery>)>, NotifierError> {
        let mut ways: Vec<Vec<Entry>> = all.iter().map(|one| one.entries.clone()).collect();
        for (Prepared { message, kind, .. }, entries) in all.iter().zip(&mut ways) {
            if is_double(tx, message, kind).await? {
                drop_all(entries, Reason::Duplicate);
            } else {
                drop_doubles(entries);
            }
        }
        let open = all.iter().zip(&ways).flat_map(|(one, entries)| {
            let open = entries.iter().filter(|entry| entry.dropped.is_none());
            open.map(|entry| (one.message.lane, entry.address_key.as_slice()))
        });
        let suppressed = suppressions::among(tx, open.collect::<Vec<_>>(), now).await?;
        let mut rows = Vec::with_capacity(all.len());
        let mut notifications = Vec::new();
        for (one, mut entries) in all.into_iter().zip(ways) {
            for entry in entries.iter_mut().filter_map(still_open) {
                if suppressed.has(one.message.lane, &entry.address_key) {
                    entry.dropped = Some((DeliveryState::Dropped, Reason::Suppressed));
                }
            }
            self.drop_above_budget(tx, &one.kind, one.message.lane, &mut entries, now).await?;
            let is_shown = |entry: &Entry| entry.medium == Medium::InApp && entry.dropped.is_none();
            if entries.iter().any(is_shown) {
                notifications.extend(&one.notification);
            }
            rows.push((one, entries.into_iter().map(|entry| row(one, entry, now)).collect::<Vec<_>>()));
        }
        if !notifications.is_empty() {
            notifications::insert(tx, &notifications).await?;
            let live = self.inner.live.clone();
            tx.on_commit(move || live.changed());
        }
        let new: Vec<NewDelivery> = rows.iter().flat_map(|(_, rows)| rows.clone()).collect();
        if !new.is_empty() {
            deliveries::insert(tx, new).await?;
        }
        Ok(rows)
    }

    /// Ends messages that nobody is told, and hands on what is to be delivered.
    async fn write_down(
        &self,
        tx: &mut Tx,
        decided: Vec<(&Prepared, Vec<NewDelivery>)>,
        now: DateTime<Utc>,
    ) -> Result<(), NotifierError> {
        let (mut unsaid, mut done, mut pending) = (Vec::new(), Vec::new(), Vec::new());
        for (Prepared { message, .. }, rows) in decided {
            let has = |state| rows.iter().any(|one: &NewDelivery| one.state == state);
            if !has(DeliveryState::Pending) {
                done.push(message.id);
                if !has(DeliveryState::Sent) {
                    unsaid.push(message.id);
                }
            }
            for row in rows {
                if row.state == DeliveryState::Pending {
                    pending.push(row.reference());
                } else {
                    self.note_on_commit(tx, row.medium, row.state, now - message.created_at);
                }
            }
        }
        if !unsaid.is_empty() {
            messages::forget_digests(tx, unsaid).await?;
        }
        if !done.is_empty() {
            messages::finish(tx, done, now).await?;
        }
        if let Some(dispatch) = &self.inner.dispatch
            && !pending.is_empty()
        {
            dispatch.deliver(tx, pending).await?;
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
            messages::forget_digests(tx, vec![message.id]).await?;
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

/// Whether the same was said shortly before, by when they were accepted: planning may come late.
async fn is_double(tx: &mut Tx, message: &Waiting, kind: &MessageKind) -> Result<bool, NotifierError> {
    let (Some(digest), Some(within)) = (&message.digest, kind.one_within) else { return Ok(false) };
    let since = Budget { most: 1, within }.since(message.created_at);
    Ok(messages::said_before(tx, message.id, message.lane, digest, since).await?)
}

/// The row of a way.
fn row(prepared: &Prepared, entry: Entry, now: DateTime<Utc>) -> NewDelivery {
    let Prepared { message, quiet_until, .. } = prepared;
    let is_to_person = message.recipient_person.is_some();
    let (mut state, mut reason, mut due_at) = (DeliveryState::Pending, None, now);
    match (entry.dropped, entry.medium, quiet_until) {
        (Some((dropped, why)), ..) => (state, reason) = (dropped, Some(why)),
        (None, Medium::InApp, _) => state = DeliveryState::Sent,
        (None, _, Some(until)) if is_to_person => {
            due_at = *until;
            if message.expires_at.is_some_and(|expires_at| expires_at <= due_at) {
                (state, reason) = (DeliveryState::Dropped, Some(Reason::Quiet));
            }
        }
        (None, ..) => {}
    }
    NewDelivery {
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
    }
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
