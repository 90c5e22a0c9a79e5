//! What becomes of the ways that messages could take.

use chrono::{DateTime, Utc};
use stylobate_db::Tx;

use super::{
    Notifier,
    prepare::{Entry, Prepared},
    spending::Spending,
};
use crate::{
    Budget, DeliveryState, Medium, NotifierError, Reason,
    store::{
        deliveries::{self, NewDelivery},
        messages::{self, Saying},
        notifications, suppressions,
    },
};

/// A message, and the ways that it could take.
type Ways<'a> = (&'a Prepared, Vec<Entry>);

/// A message, and what is noted of its ways.
pub(super) type Decided<'a> = (&'a Prepared, Vec<NewDelivery>);

impl Notifier {
    /// Decides what becomes of the ways of messages that have nobody in common, and notes what counts for others.
    pub(super) async fn decide<'a>(
        &self,
        tx: &mut Tx,
        all: Vec<&'a Prepared>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Decided<'a>>, NotifierError> {
        let mut ways: Vec<Ways<'_>> = all.into_iter().map(|one| (one, one.entries.clone())).collect();
        drop_doubles(tx, &mut ways).await?;
        drop_suppressed(tx, &mut ways, now).await?;
        self.drop_above_budget(tx, &mut ways, now).await?;
        let mut notifications = Vec::new();
        let mut decided: Vec<Decided<'_>> = Vec::with_capacity(ways.len());
        for (one, entries) in ways {
            if entries.iter().any(|entry| entry.medium == Medium::InApp && entry.is_open()) {
                notifications.extend(&one.notification);
            }
            decided.push((one, entries.into_iter().map(|entry| row(one, entry, now)).collect()));
        }
        if !notifications.is_empty() {
            notifications::insert(tx, &notifications).await?;
            let live = self.inner.live.clone();
            tx.on_commit(move || live.changed());
        }
        let rows: Vec<NewDelivery> = decided.iter().flat_map(|(_, rows)| rows.clone()).collect();
        if !rows.is_empty() {
            deliveries::insert(tx, rows).await?;
        }
        let is_said = |row: &NewDelivery| matches!(row.state, DeliveryState::Pending | DeliveryState::Sent);
        let has_digest = decided.iter().filter(|(one, _)| one.message.digest.is_some());
        let unsaid = has_digest.filter(|(_, rows)| !rows.iter().any(is_said));
        let unsaid: Vec<_> = unsaid.map(|(one, _)| one.message.id).collect();
        if !unsaid.is_empty() {
            messages::forget_digests(tx, unsaid).await?;
        }
        Ok(decided)
    }

    async fn drop_above_budget(
        &self,
        tx: &mut Tx,
        ways: &mut [Ways<'_>],
        now: DateTime<Utc>,
    ) -> Result<(), NotifierError> {
        let mut spendings = Vec::new();
        for (one, entries) in &*ways {
            spendings.extend(entries.iter().filter(|entry| entry.is_open()).map(|entry| Spending {
                kind: &one.kind,
                medium: entry.medium,
                address_key: &entry.address_key,
                through_channel_in: entry.channel.map(|_| one.message.lane),
            }));
        }
        let have_room = self.have_room(tx, &spendings, now).await?;
        let open = ways.iter_mut().flat_map(|(_, entries)| entries).filter(|entry| entry.is_open());
        for (entry, has_room) in open.zip(have_room) {
            if !has_room {
                entry.drop_for(Reason::Budget);
            }
        }
        Ok(())
    }
}

/// Drops what was said shortly before.
async fn drop_doubles(tx: &mut Tx, ways: &mut [Ways<'_>]) -> Result<(), NotifierError> {
    let sayings = ways.iter().filter_map(|(Prepared { message, kind, .. }, _)| {
        let (digest, within) = (message.digest.clone()?, kind.one_within?);
        // By when they were accepted: planning may come late.
        let since = Budget { most: 1, within }.since(message.created_at);
        Some(Saying { message: message.id, lane: message.lane, digest, since })
    });
    let doubles = messages::doubles(tx, sayings.collect()).await?;
    for (one, entries) in ways {
        // A mailbox is written to once, however many ways lead there.
        let mut seen = Vec::with_capacity(entries.len());
        for entry in entries.iter_mut().filter(|entry| entry.is_open()) {
            if doubles.contains(&one.message.id) || seen.contains(&entry.address_key) {
                entry.drop_for(Reason::Duplicate);
            } else {
                seen.push(entry.address_key.clone());
            }
        }
    }
    Ok(())
}

/// Drops what is said to addresses that nothing is sent to.
async fn drop_suppressed(
    tx: &mut Tx,
    ways: &mut [Ways<'_>],
    now: DateTime<Utc>,
) -> Result<(), NotifierError> {
    let mut addresses = Vec::new();
    for (one, entries) in &*ways {
        let open = entries.iter().filter(|entry| entry.is_open());
        addresses.extend(open.map(|entry| (one.message.lane, entry.address_key.as_slice())));
    }
    let suppressed = suppressions::among(tx, addresses, now).await?;
    for (one, entries) in ways {
        for entry in entries.iter_mut().filter(|entry| entry.is_open()) {
            if suppressed.has(one.message.lane, &entry.address_key) {
                entry.drop_for(Reason::Suppressed);
            }
        }
    }
    Ok(())
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
