use stylobate_core::{AuditEvent, Direction, EventId, Page, RequestContext, TenantId};
use stylobate_db::{Keyset, KeysetKey, Tx};

use super::{Events, NO_SUBSCRIBER, TOLD, checked_filter, scope};
use crate::{
    DeadLetter, DeadLetterQuery, EventsError,
    store::{
        dead::{self, DeadRow},
        subscribers,
    },
};

/// How many dead letters [`Events::replay_all`] takes at most.
const REPLAYED_MAX: i64 = 10_000;

const NO_DEAD_LETTER: EventsError = EventsError::NotFound { entity: "dead_letter" };

impl Events {
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
    /// [`EventsError::NotFound`] when there is no such subscriber; the database's own.
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
            if event.is_none() && found.is_empty() && subscribers::pulse(tx, &name).await?.is_none() {
                return Err(NO_SUBSCRIBER);
            }
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
