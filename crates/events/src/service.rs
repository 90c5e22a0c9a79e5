mod dead_letters;
mod removal;
mod upkeep;

pub use upkeep::Kept;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound as _, Utc};
use parking_lot::Mutex;
use serde_json::Value;
use stylobate_core::{AuditEvent, Clock, Cursor, EventId, Page, Principal, RequestContext};
use stylobate_db::{Db, Scope, Tx};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    Envelope, EventQuery, EventsError, Outage, Outbox, SubscriberCounts, Types,
    catalogue::checked_name,
    measures::Measures,
    store::{
        events::{self, Part},
        subscribers, upkeep as looks,
    },
};

/// What relays hear of from other processes.
pub(crate) const TOLD: &str = "events";
/// Rows that one transaction removes.
pub(crate) const STEP: i64 = 1_000;

/// The events of a platform: who hears them, what is owed, what was given up. Clones share it.
#[derive(Clone)]
pub struct Events {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    clock: Arc<dyn Clock>,
    outbox: Arc<Outbox>,
    outages: Mutex<BTreeMap<String, (Outage, Instant)>>,
    /// Who hears what, as this process has written down.
    asked: Mutex<BTreeMap<String, Types>>,
    measures: Measures,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("db", &self.inner.db).finish_non_exhaustive()
    }
}

/// How lists of events are ordered.
const ORDER: &str = "id.desc";

const NO_EVENT: EventsError = EventsError::NotFound { entity: "event" };
/// How often it is looked for a sign of life.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(crate) const NO_SUBSCRIBER: EventsError = EventsError::NotFound { entity: "subscriber" };

impl Events {
    /// The events in `db`, in whose transactions `outbox` takes part.
    #[must_use]
    pub fn new(db: Db, outbox: Arc<Outbox>, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            db,
            clock,
            outbox,
            outages: Mutex::default(),
            asked: Mutex::default(),
            measures: Measures::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn db(&self) -> &Db {
        &self.inner.db
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// What takes part in transactions.
    #[must_use]
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.inner.outbox
    }

    pub(crate) fn measures(&self) -> &Measures {
        &self.inner.measures
    }

    fn now(&self) -> DateTime<Utc> {
        self.inner.clock.now().trunc_subsecs(6)
    }

    /// Writes down that the subscriber called `name` hears `types` from now on: each later event of them is owed to it until it
    /// has been delivered, whether anybody works for it or not. Types that it heard before stay until nobody has asked for them
    /// for a day, so that programs of two versions can run beside each other: [`keep_up`](Self::keep_up) asks again for those that
    /// were written down through this handle or a clone.
    ///
    /// # Errors
    /// [`EventsError::Invalid`] when a name is none; [`EventsError::Db`] otherwise.
    pub async fn subscribe(&self, name: &str, types: &Types) -> Result<(), EventsError> {
        checked_name("subscriber", name, 64)?;
        if let Types::Named(names) = types {
            names.iter().try_for_each(|name| checked_name("type", name, 128))?;
        }
        self.inner.asked.lock().insert(name.to_owned(), types.clone());
        let (name, types, now) = (name.to_owned(), types.clone(), self.now());
        let register = async move |tx: &mut Tx| Ok(subscribers::register(tx, &name, &types, now).await?);
        self.inner.db.transact(Scope::Platform("register a subscriber of events"), register).await
    }

    /// Says again who hears what, as far as this process has written it down: where it only emits events, no relay of its own says
    /// so for the newest program.
    async fn ask_all_again(&self) -> Result<(), EventsError> {
        let asked = self.inner.asked.lock().clone();
        for (name, types) in &asked {
            self.ask_again(name, types).await?;
        }
        Ok(())
    }

    /// Says again that a program of the subscriber hears `types`, unless somebody has removed it.
    pub(crate) async fn ask_again(&self, name: &str, types: &Types) -> Result<(), EventsError> {
        let (name, types, now) = (name.to_owned(), types.clone(), self.now());
        let register = async move |tx: &mut Tx| {
            if subscribers::pulse(tx, &name).await?.is_some() {
                subscribers::register(tx, &name, &types, now).await?;
            }
            Ok(())
        };
        self.inner.db.transact(Scope::Platform("register a subscriber of events"), register).await
    }

    /// Removes a subscriber that no relay works for, and all that it was owed, also its dead letters. When the last relay that
    /// worked for it did not say that it ended, this waits for `lease`, which is [`RelayOptions::lease`](crate::RelayOptions::lease)
    /// of such relays, for a sign of life.
    ///
    /// # Errors
    /// [`EventsError::NotFound`] when there is none of that name; [`EventsError::Served`] when a relay works for it;
    /// [`EventsError::Db`] otherwise.
    pub async fn unsubscribe(
        &self,
        context: &RequestContext,
        name: &str,
        lease: Duration,
    ) -> Result<(), EventsError> {
        let silent = self.silence_of(name, lease).await?;
        let remove = {
            let (context, name) = (context.clone(), name.to_owned());
            async move |tx: &mut Tx| {
                if !subscribers::remove(tx, &name, silent).await? {
                    return Err(EventsError::Served { name: name.clone() });
                }
                let event = AuditEvent::new(&context, "event_subscriber.remove", "event_subscriber");
                tx.audit(event.on(&name).in_tenant(None));
                Ok(())
            }
        };
        self.inner.db.transact(Scope::Platform("remove a subscriber of events"), remove).await?;
        self.forget(name).await
    }

    /// The last sign of life of the relays of a subscriber that none works for.
    async fn silence_of(&self, name: &str, lease: Duration) -> Result<subscribers::Pulse, EventsError> {
        let begun = Instant::now();
        let mut first = None;
        loop {
            let mut tx = self.inner.db.begin_read(Scope::Platform("look whether a relay lives")).await?;
            let pulse = subscribers::pulse(&mut tx, name).await;
            tx.rollback().await?;
            let pulse = pulse?.ok_or(NO_SUBSCRIBER)?;
            if *first.get_or_insert(pulse) != pulse && pulse.lease_token.is_some() {
                return Err(EventsError::Served { name: name.to_owned() });
            }
            if pulse.lease_token.is_none() || begun.elapsed() >= lease {
                return Ok(pulse);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub(crate) async fn forget(&self, name: &str) -> Result<(), EventsError> {
        loop {
            let name = name.to_owned();
            let forget =
                async move |tx: &mut Tx| Ok::<_, EventsError>(subscribers::forget(tx, &name, STEP).await?);
            let scope = Scope::Platform("forget what a subscriber was owed");
            if self.inner.db.transact(scope, forget).await? == 0 {
                return Ok(());
            }
        }
    }

    /// The events of the caller's tenant that `query` selects, newest first; those of the platform for a caller without one.
    ///
    /// # Errors
    /// [`EventsError::Cursor`] when the cursor was not made by this list, [`EventsError::Invalid`] when a filter cannot match.
    pub async fn list(
        &self,
        context: &RequestContext,
        query: &EventQuery,
    ) -> Result<Page<Envelope>, EventsError> {
        for (field, text) in [("type", &query.kind), ("subject", &query.subject)] {
            checked_filter(field, text.as_deref())?;
        }
        let limit = usize::from(query.limit.get());
        let before = match query.cursor.as_deref() {
            Some(text) => Some(Cursor::decode(text, ORDER)?.id),
            None => None,
        };
        let to = query.to.map(first_id);
        let mut part = Part {
            lane: events::lane(context.principal.tenant),
            from: query.from.map(first_id),
            before: before.into_iter().chain(to).min(),
            kind: query.kind.clone(),
            subject: query.subject.clone(),
            // One more than asked tells whether there is another page.
            most: i64::from(query.limit.get()) + 1,
        };
        let mut tx = self.inner.db.begin_read(scope(&context.principal, "list events")).await?;
        let edge = if part.has_filter() { events::edge(&mut tx, &part).await? } else { None };
        part.from = edge.into_iter().chain(part.from).max();
        let rows = events::list(&mut tx, &part).await;
        tx.rollback().await?;
        let mut items = rows?.into_iter().map(Envelope::try_from).collect::<Result<Vec<_>, _>>()?;
        let last = if items.len() > limit {
            items.truncate(limit);
            items.last().map(|event| event.id.as_uuid())
        } else {
            edge
        };
        let cursor = |id| Cursor { order: ORDER.to_owned(), key: Value::String(String::new()), id };
        Ok(Page { items, next_cursor: last.map(cursor), total: None })
    }

    /// The event called `id`, of the caller's tenant.
    ///
    /// # Errors
    /// [`EventsError::NotFound`] when there is none.
    pub async fn get(&self, context: &RequestContext, id: EventId) -> Result<Envelope, EventsError> {
        let mut tx = self.inner.db.begin_read(scope(&context.principal, "read an event")).await?;
        let row = events::find(&mut tx, context.principal.tenant, id).await;
        tx.rollback().await?;
        row?.ok_or(NO_EVENT)?.try_into()
    }

    /// What every subscriber is owed, over all tenants. It counts rows: a million take a fraction of a second.
    ///
    /// # Errors
    /// The database's own.
    pub async fn counts(&self) -> Result<Vec<SubscriberCounts>, EventsError> {
        let mut tx = self.inner.db.begin_read(Scope::Platform("count what is owed")).await?;
        let counts = counts(&mut tx).await;
        tx.rollback().await?;
        counts
    }

    /// Notes how a subscriber is doing, as a relay of this process has seen it.
    pub(crate) fn note_outage(&self, name: &str, outage: Option<Outage>) {
        let mut outages = self.inner.outages.lock();
        match (outages.get_mut(name), outage) {
            (None, None) => {}
            (None, Some(outage)) => {
                tracing::warn!(subscriber = name, reason = outage.reason, "nothing can be delivered");
                outages.insert(name.to_owned(), (outage, Instant::now()));
            }
            (Some(known), Some(outage)) => known.0 = outage,
            (Some(_), None) => {
                tracing::info!(subscriber = name, "events are delivered again");
                outages.remove(name);
            }
        }
    }

    /// The subscribers that nothing can be delivered to, as relays of this process see it, and for how long.
    #[must_use]
    pub fn outages(&self) -> Vec<(String, Outage, Duration)> {
        let outages = self.inner.outages.lock();
        outages
            .iter()
            .map(|(name, (outage, since))| (name.clone(), outage.clone(), since.elapsed()))
            .collect()
    }

    /// By subscriber, whether it has dead letters and when the oldest event was written that it is owed and that nothing holds up.
    pub(crate) async fn glance(&self) -> Result<Vec<(String, bool, Option<DateTime<Utc>>)>, EventsError> {
        let mut tx = self.inner.db.begin_read(Scope::Platform("look whether events are delivered")).await?;
        let mut seen = Vec::new();
        for row in looks::glance(&mut tx).await? {
            let oldest_at = match row.first_ordinal {
                Some(ordinal) => looks::written_at(&mut tx, ordinal).await?,
                None => None,
            };
            seen.push((row.name, row.has_dead != 0, oldest_at));
        }
        tx.rollback().await?;
        Ok(seen)
    }

    /// The time by the platform's clock.
    pub(crate) fn present(&self) -> DateTime<Utc> {
        self.now()
    }

    /// Has `meter` observe what is owed and delivered through this handle and its clones. Once per handle.
    ///
    /// - gauge `events_owed` by `subscriber` and `state` (`ready`; `held`, behind one that failed),
    /// - gauge `events_oldest_owed_seconds` by `subscriber`: how long ago the oldest event was written that it is owed; 0 when
    ///   there is none,
    /// - gauge `events_dead_letters` by `subscriber`,
    /// - counter `events_delivered` by `subscriber` and `outcome` (`delivered`; `refused`, to be tried again; `dead`, given up):
    ///   of this process's relays,
    /// - histogram `events_pickup_seconds` by `subscriber`: from when an event was written to when a relay of this process read
    ///   it, by the clocks of both.
    ///
    /// The gauges are of all processes together. They tell what [`keep_up`](Self::keep_up) of this handle or a clone saw, at
    /// most ten seconds ago while the database answers, and nothing when that is more than a minute ago.
    #[cfg(feature = "metrics")]
    pub fn observe(&self, meter: &opentelemetry::metrics::Meter) {
        self.inner.measures.observe(meter);
    }
}

async fn counts(tx: &mut Tx) -> Result<Vec<SubscriberCounts>, EventsError> {
    let mut counts = Vec::new();
    for row in looks::counts(tx).await? {
        let first = [row.first_ordinal, row.first_held].into_iter().flatten().min();
        let oldest_at = match first {
            Some(ordinal) => looks::written_at(tx, ordinal).await?,
            None => None,
        };
        counts.push(SubscriberCounts {
            name: row.name,
            owed: row.owed.unsigned_abs(),
            held: row.held.unsigned_abs(),
            dead: row.dead.unsigned_abs(),
            oldest_at,
            last_delivered_at: row.last_delivered_at,
            is_served: row.is_served != 0,
        });
    }
    Ok(counts)
}

pub(crate) fn scope(principal: &Principal, reason: &'static str) -> Scope {
    principal.tenant.map_or(Scope::Platform(reason), Scope::Tenant)
}

/// The lowest id of an event that is written at `time`: ids begin with their millisecond (RFC 9562 §5.7).
fn first_id(time: DateTime<Utc>) -> Uuid {
    let millis = u128::try_from(time.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128(millis.min((1 << 48) - 1) << 80)
}

/// PostgreSQL has no text with a NUL in it, and refuses to compare one.
pub(crate) fn checked_filter(field: &'static str, text: Option<&str>) -> Result<(), EventsError> {
    if text.is_some_and(|text| text.contains('\0')) {
        return Err(EventsError::Invalid { field, problem: "has a character that no text has".to_owned() });
    }
    Ok(())
}
