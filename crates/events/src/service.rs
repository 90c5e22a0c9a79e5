use std::{
    collections::BTreeMap, error::Error as StdError, future::Future, pin::pin, sync::Arc, time::Duration,
};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use parking_lot::Mutex;
use stylobate_core::{AuditEvent, Clock, Direction, EventId, Page, Principal, RequestContext, TenantId};
use stylobate_db::{Db, Engine, Keyset, KeysetKey, Scope, Tx};
use tokio::time::Instant;

use crate::{
    DeadLetter, DeadLetterQuery, Envelope, EventQuery, EventsError, Outage, Outbox, SubscriberCounts, Types,
    catalogue::checked_name,
    guard::guarded,
    measures::Measures,
    store::{
        dead::{self, DeadRow},
        events, subscribers, upkeep,
    },
};

/// What relays hear of from other processes.
pub(crate) const TOLD: &str = "events";
/// Other processes are told of commits at most this often: on PostgreSQL transactions that tell others commit one after the
/// other, so no change does it itself.
const TELL_EVERY: Duration = Duration::from_millis(25);
/// How often old events are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// How often is counted for those who measure.
const MEASURE_EVERY: Duration = Duration::from_secs(10);
/// Rows that one transaction removes.
const STEP: i64 = 1_000;
/// A type that no program of a subscriber has asked for in this time, though one has asked for others, is forgotten: by then
/// all run the program that no longer names it.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::days(1);
/// How many dead letters [`Events::replay_all`] takes at most.
const REPLAYED_MAX: i64 = 10_000;

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
    measures: Measures,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("db", &self.inner.db).finish_non_exhaustive()
    }
}

const NO_EVENT: EventsError = EventsError::NotFound { entity: "event" };
const NO_DEAD_LETTER: EventsError = EventsError::NotFound { entity: "dead_letter" };
const NO_SUBSCRIBER: EventsError = EventsError::NotFound { entity: "subscriber" };

impl Events {
    /// The events in `db`, in whose transactions `outbox` takes part.
    #[must_use]
    pub fn new(db: Db, outbox: Arc<Outbox>, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner { db, clock, outbox, outages: Mutex::default(), measures: Measures::default() };
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
    /// for a day, so that programs of two versions can run beside each other.
    ///
    /// # Errors
    /// [`EventsError::Invalid`] when a name is none; [`EventsError::Db`] otherwise.
    pub async fn subscribe(&self, name: &str, types: &Types) -> Result<(), EventsError> {
        checked_name("subscriber", name, 64)?;
        if let Types::Named(names) = types {
            names.iter().try_for_each(|name| checked_name("type", name, 128))?;
        }
        let (name, types, now) = (name.to_owned(), types.clone(), self.now());
        let register = async move |tx: &mut Tx| Ok(subscribers::register(tx, &name, &types, now).await?);
        self.inner.db.transact(Scope::Platform("register a subscriber of events"), register).await
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

    /// Removes a subscriber and all that it was owed, also its dead letters. A relay that still runs for it stops delivering.
    ///
    /// # Errors
    /// [`EventsError::NotFound`] when there is none of that name; [`EventsError::Db`] otherwise.
    pub async fn unsubscribe(&self, context: &RequestContext, name: &str) -> Result<(), EventsError> {
        let removed = {
            let (context, name) = (context.clone(), name.to_owned());
            let remove = async move |tx: &mut Tx| {
                let removed = subscribers::remove(tx, &name).await?;
                if removed {
                    let event = AuditEvent::new(&context, "event_subscriber.remove", "event_subscriber");
                    tx.audit(event.on(&name).in_tenant(None));
                }
                Ok::<_, EventsError>(removed)
            };
            self.inner.db.transact(Scope::Platform("remove a subscriber of events"), remove).await?
        };
        if !removed {
            return Err(NO_SUBSCRIBER);
        }
        self.forget(name).await
    }

    async fn forget(&self, name: &str) -> Result<(), EventsError> {
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
        let keyset = Keyset::new(
            "occurred_at",
            "e.occurred_at",
            "e.id",
            true,
            Direction::Desc,
            query.limit,
            query.cursor.as_deref(),
        )?;
        let tenant = context.principal.tenant;
        let mut tx = self.inner.db.begin_read(scope(&context.principal, "list events")).await?;
        let rows = events::list(&mut tx, tenant, query, &keyset).await;
        tx.rollback().await?;
        let page = keyset.page(rows?, |row| (KeysetKey::Time(row.occurred_at), row.id));
        let items = page.items.into_iter().map(Envelope::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, next_cursor: page.next_cursor, total: page.total })
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

    /// Deliveries that were given up, the last first: of the caller's tenant, or of all for a caller without one.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub async fn dead_letters(
        &self,
        context: &RequestContext,
        query: &DeadLetterQuery,
    ) -> Result<Page<DeadLetter>, EventsError> {
        checked_filter("subscriber", query.subscriber.as_deref())?;
        let keyset = Keyset::new(
            "parked_at",
            "d.parked_at",
            "d.id",
            true,
            Direction::Desc,
            query.limit,
            query.cursor.as_deref(),
        )?;
        let tenant = context.principal.tenant.or(query.tenant);
        let mut tx = self.inner.db.begin_read(scope(&context.principal, "list dead letters")).await?;
        let rows = dead::list(&mut tx, query.subscriber.as_deref(), tenant, &keyset).await;
        tx.rollback().await?;
        let page = keyset.page(rows?, |row| (KeysetKey::Time(row.parked_at), row.event.id));
        Ok(page.map(dead_letter))
    }

    /// Owes a delivery that was given up once more, as if it had never been tried. It comes after later events of its aggregate
    /// that were delivered meanwhile.
    ///
    /// # Errors
    /// [`EventsError::NotFound`] when the caller's tenant has no such dead letter.
    pub async fn replay(
        &self,
        context: &RequestContext,
        subscriber: &str,
        event: EventId,
    ) -> Result<(), EventsError> {
        if self.replay_some(context, subscriber, Some(event)).await? == 0 {
            return Err(NO_DEAD_LETTER);
        }
        Ok(())
    }

    /// The same with all dead letters of `subscriber` that are the caller's tenant's, in the order of their events, at most
    /// 10,000. Returns how many.
    ///
    /// # Errors
    /// The database's own.
    pub async fn replay_all(&self, context: &RequestContext, subscriber: &str) -> Result<u64, EventsError> {
        self.replay_some(context, subscriber, None).await
    }

    async fn replay_some(
        &self,
        context: &RequestContext,
        subscriber: &str,
        event: Option<EventId>,
    ) -> Result<u64, EventsError> {
        let (asking, name) = (context.clone(), subscriber.to_owned());
        let replay = async move |tx: &mut Tx| {
            let tenant = asking.principal.tenant;
            let found = dead::find(tx, &name, event, tenant, REPLAYED_MAX).await?;
            let mut replayed = 0;
            for one in &found {
                if dead::replay(tx, &name, one).await? {
                    replayed += 1;
                    tx.audit(about(&asking, "event.replay", one).with("subscriber", name.clone()));
                }
            }
            tx.hint(TOLD);
            Ok::<_, EventsError>(replayed)
        };
        let scope = scope(&context.principal, "replay dead letters");
        let replayed = self.inner.db.transact(scope, replay).await?;
        self.inner.outbox.wake();
        Ok(replayed)
    }

    /// Removes a dead letter for good: its event is not delivered to that subscriber.
    ///
    /// # Errors
    /// [`EventsError::NotFound`] when the caller's tenant has no such dead letter.
    pub async fn drop_dead_letter(
        &self,
        context: &RequestContext,
        subscriber: &str,
        event: EventId,
    ) -> Result<(), EventsError> {
        let (asking, name) = (context.clone(), subscriber.to_owned());
        let remove = async move |tx: &mut Tx| {
            let found = dead::find(tx, &name, Some(event), asking.principal.tenant, 1).await?;
            let one = found.first().ok_or(NO_DEAD_LETTER)?;
            if !dead::remove(tx, &name, one).await? {
                return Err(NO_DEAD_LETTER);
            }
            tx.audit(about(&asking, "event.drop", one).with("subscriber", name.clone()));
            Ok(())
        };
        let scope = scope(&context.principal, "drop a dead letter");
        self.inner.db.transact(scope, remove).await
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

    /// Removes events that were written more than `kept` ago and that nobody is owed and nobody's dead letter is of, a thousand
    /// at a time. Returns how many.
    ///
    /// # Errors
    /// The database's own.
    pub async fn prune(&self, kept: TimeDelta) -> Result<u64, EventsError> {
        let Some(before) = self.now().checked_sub_signed(kept) else { return Ok(0) };
        let (mut removed, mut after) = (0, 0);
        loop {
            let prune =
                async move |tx: &mut Tx| Ok::<_, EventsError>(upkeep::prune(tx, before, after, STEP).await?);
            let pruned = self.inner.db.transact(Scope::Platform("remove old events"), prune).await?;
            removed += pruned.removed;
            match pruned.after {
                Some(last) => after = last,
                None => return Ok(removed),
            }
            // Others want to write as well.
            tokio::task::yield_now().await;
        }
    }

    /// Removes what is left of subscribers that there are no longer, and types that none asks for any more.
    async fn tidy(&self) -> Result<(), EventsError> {
        const WHY: Scope = Scope::Platform("tidy up after subscribers of events");
        let mut tx = self.inner.db.begin_read(WHY).await?;
        let strays = subscribers::strays(&mut tx).await;
        let names = subscribers::names(&mut tx).await;
        tx.rollback().await?;
        for name in strays? {
            self.forget(&name).await?;
        }
        for name in names? {
            let forget = async move |tx: &mut Tx| {
                let Some(last) = subscribers::last_asked(tx, &name).await? else { return Ok(()) };
                subscribers::forget_types(tx, &name, last - FORGOTTEN_AFTER).await?;
                Ok::<_, EventsError>(())
            };
            self.inner.db.transact(WHY, forget).await?;
        }
        Ok(())
    }

    /// Tells the relays of other processes of what this one commits, removes events that were written more than `kept` ago once
    /// an hour, and counts for those who measure, until `stop` is over. Every process that emits events or relays them runs it
    /// once; where there is none, events of other processes are found by looking. Neither errors nor panics end it.
    pub async fn keep_up(&self, kept: TimeDelta, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        tokio::select! {
            biased;
            () = &mut stop => {}
            () = self.tell_others() => {}
            () = self.prune_often(kept) => {}
            () = self.measure_often() => {}
        }
    }

    async fn tell_others(&self) {
        if self.inner.db.engine() == Engine::Sqlite {
            // Its other processes are commands that end soon; the server's relays look often enough.
            return std::future::pending().await;
        }
        let mut heard = self.inner.outbox.hear();
        // The sender lives as long as `self`.
        while heard.changed().await.is_ok() {
            let tell = async {
                let mut tx = self.inner.db.begin(Scope::Platform("tell of events")).await?;
                tx.hint(TOLD);
                Ok::<_, EventsError>(tx.commit().await?)
            };
            if let Err(error) = guarded(tell).await {
                tracing::debug!(
                    code = error.code(),
                    "other processes were not told of events; they look for them"
                );
            }
            tokio::time::sleep(TELL_EVERY).await;
        }
        std::future::pending().await
    }

    async fn prune_often(&self, kept: TimeDelta) {
        loop {
            // Jitter, so that processes that were started together do not do it together.
            tokio::time::sleep(PRUNE_EVERY.mul_f64(0.5 + fastrand::f64())).await;
            let prune = async {
                self.tidy().await?;
                self.prune(kept).await
            };
            match guarded(prune).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "old events are removed"),
                Err(error) => {
                    let error: &dyn StdError = &error;
                    tracing::warn!(error, "old events cannot be removed");
                }
            }
        }
    }

    async fn measure_often(&self) {
        loop {
            let measure = async {
                if self.inner.measures.is_observed() {
                    let counts = self.counts().await?;
                    self.inner.measures.saw(counts, self.now());
                }
                Ok(())
            };
            if let Err(error) = guarded(measure).await {
                tracing::debug!(code = error.code(), "what is owed cannot be counted");
            }
            tokio::time::sleep(MEASURE_EVERY).await;
        }
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
        for row in upkeep::glance(&mut tx).await? {
            let oldest_at = match row.first_ordinal {
                Some(ordinal) => upkeep::written_at(&mut tx, ordinal).await?,
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
    for row in upkeep::counts(tx).await? {
        let first = [row.first_ordinal, row.first_held].into_iter().flatten().min();
        let oldest_at = match first {
            Some(ordinal) => upkeep::written_at(tx, ordinal).await?,
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

fn scope(principal: &Principal, reason: &'static str) -> Scope {
    principal.tenant.map_or(Scope::Platform(reason), Scope::Tenant)
}

fn about(context: &RequestContext, action: &'static str, dead: &dead::Parked) -> AuditEvent {
    let tenant: Option<TenantId> = dead.tenant_id.map(Into::into);
    AuditEvent::new(context, action, "event").on(dead.id).in_tenant(tenant)
}

fn dead_letter(row: DeadRow) -> DeadLetter {
    DeadLetter {
        subscriber: row.subscriber,
        attempts: row.attempts.try_into().unwrap_or_default(),
        error: row.error,
        parked_at: row.parked_at,
        event_id: row.event.id.into(),
        event: row.event.try_into().ok(),
    }
}

/// PostgreSQL has no text with a NUL in it, and refuses to compare one.
fn checked_filter(field: &'static str, text: Option<&str>) -> Result<(), EventsError> {
    if text.is_some_and(|text| text.contains('\0')) {
        return Err(EventsError::Invalid { field, problem: "has a character that no text has".to_owned() });
    }
    Ok(())
}
