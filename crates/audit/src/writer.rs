use std::sync::Arc;

use chrono::{DateTime, SubsecRound as _, Utc};
use stylobate_core::{AuditEvent, AuditEventId, BoxFuture, Clock, TenantId};
use stylobate_db::{Participant, Pending, Scope, Takes, Tx};

use crate::{
    Error, Redaction,
    bounds::{NAME_CHARS_MAX, USER_AGENT_CHARS_MAX, bounded_changes, bounded_fields, bounded_text},
    diff,
    store::{self, NewRow},
};

/// Writes the audit events of a unit of work just before it commits.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use stylobate_audit::Writer;
/// use stylobate_core::SystemClock;
/// use stylobate_db::{Db, DbOptions};
///
/// # async fn example() -> Result<(), stylobate_db::Error> {
/// let writer = Arc::new(Writer::new(Arc::new(SystemClock)));
/// let db = Db::builder("sqlite://app.db", DbOptions::default())
///     .participant(writer.clone())
///     .without_events()
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// 1. An event without a tenant that was recorded in a tenant's transaction is filed under that tenant; one that names
///    another tenant fails the commit.
/// 2. Only fields that differ are kept, sensitive ones as `***`. A value above 4 KiB is cut and says so; texts are cut at
///    256 characters, the user agent at 512. NUL becomes U+FFFD, because PostgreSQL cannot store it.
/// 3. Events of one commit keep their order: their ids ascend.
#[derive(Debug)]
pub struct Writer {
    clock: Arc<dyn Clock>,
    redaction: Redaction,
}

impl Writer {
    /// A writer that dates events by `clock` and hides what [`Redaction::default`] lists.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, redaction: Redaction::default() }
    }

    /// The same writer with another redaction.
    #[must_use]
    pub fn with_redaction(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// Writes `events` inside `tx`, for callers that do not go through its buffer.
    ///
    /// # Errors
    /// [`Error::ForeignTenant`] when an event names another tenant than the scope of `tx`; [`Error::Db`] otherwise.
    pub async fn write(&self, tx: &mut Tx, events: &[AuditEvent]) -> Result<(), Error> {
        let now = self.clock.now();
        let mut ids: Vec<AuditEventId> = events.iter().map(|_| AuditEventId::new(now)).collect();
        ids.sort_unstable();
        let rows = events
            .iter()
            .zip(ids)
            .map(|(event, id)| self.row(event, tx.scope(), id, now))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(store::insert(tx, rows).await?)
    }

    fn row(
        &self,
        event: &AuditEvent,
        scope: Scope,
        id: AuditEventId,
        now: DateTime<Utc>,
    ) -> Result<NewRow, Error> {
        let name = |text: &str| bounded_text(text, NAME_CHARS_MAX);
        let changes = diff(event.before.clone(), event.after.clone(), &self.redaction);
        let metadata = event.metadata.clone().map(|mut facts| {
            self.redaction.apply(&mut facts);
            bounded_fields(facts)
        });
        Ok(NewRow {
            id: event.id.unwrap_or(id),
            tenant: tenant(event.tenant, scope)?,
            occurred_at: event.occurred_at.unwrap_or(now).trunc_subsecs(6),
            actor_kind: event.actor.kind,
            actor_id: event.actor.id.as_deref().map(name),
            action: name(event.action),
            target_kind: name(event.target.kind),
            target_id: event.target.id.as_deref().map(name),
            outcome: event.outcome,
            address: event.address.map(|address| address.to_string()),
            user_agent: event.user_agent.as_deref().map(|text| bounded_text(text, USER_AGENT_CHARS_MAX)),
            request_id: event.request_id.map(|id| id.as_uuid()),
            session_id: event.session_id.map(|id| id.as_uuid()),
            changes: changes.map(bounded_changes),
            metadata,
        })
    }
}

/// Row-level security would refuse a foreign tenant on PostgreSQL; refusing it here makes both engines alike.
fn tenant(named: Option<TenantId>, scope: Scope) -> Result<Option<TenantId>, Error> {
    match (named, scope.tenant()) {
        (Some(named), Some(own)) if named != own => Err(Error::ForeignTenant),
        (named, own) => Ok(named.or(own)),
    }
}

impl Participant for Writer {
    fn takes(&self) -> Takes {
        Takes { audit: true, events: false }
    }

    fn before_commit<'a>(
        &'a self,
        tx: &'a mut Tx,
        pending: &'a Pending,
    ) -> BoxFuture<'a, Result<(), stylobate_db::Error>> {
        Box::pin(async move {
            match self.write(tx, &pending.audit).await {
                Ok(()) => Ok(()),
                // Kept as it is, so that a busy database is tried again.
                Err(Error::Db(error)) => Err(error),
                Err(error) => Err(stylobate_db::Error::Participant(Box::new(error))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stylobate_core::{Principal, RequestContext};
    use stylobate_testkit::ManualClock;

    use super::*;

    fn row(event: &AuditEvent, scope: Scope) -> Result<NewRow, Error> {
        let clock = Arc::new(ManualClock::new());
        let now = clock.now();
        Writer::new(clock).row(event, scope, AuditEventId::new(now), now)
    }

    fn event() -> AuditEvent {
        AuditEvent::new(&RequestContext::new(Principal::anonymous()), "role.update", "role")
    }

    // A12
    #[test]
    fn the_tenant_of_an_event_agrees_with_its_transaction() {
        let now = ManualClock::new().now();
        let (own, other) = (TenantId::new(now), TenantId::new(now));
        assert_eq!(tenant(None, Scope::Tenant(own)).unwrap(), Some(own));
        assert_eq!(tenant(Some(own), Scope::Tenant(own)).unwrap(), Some(own));
        assert_eq!(tenant(Some(own), Scope::Platform("test")).unwrap(), Some(own));
        assert_eq!(tenant(None, Scope::Platform("test")).unwrap(), None);
        assert!(matches!(tenant(Some(other), Scope::Tenant(own)), Err(Error::ForeignTenant)));
    }

    // A23, C40
    #[test]
    fn a_row_holds_neither_secrets_nor_more_than_its_bounds() {
        let mut event = event().on("x".repeat(1_000)).with("token", "canary").with("note", "n".repeat(9_000));
        event = event.change(
            Some(json!({ "password": "canary", "name": "a" })),
            Some(json!({ "password": "canary2", "name": "b\0" })),
        );
        event.user_agent = Some("ü".repeat(2_000));
        let row = row(&event, Scope::Platform("test")).unwrap();
        let text = format!("{row:?}");
        assert!(!text.contains("canary"), "{text}");
        assert!(text.len() < 8_192, "{}", text.len());
        assert_eq!(row.user_agent.unwrap().chars().count(), 512);
        assert_eq!(row.target_id.unwrap().chars().count(), 256);
        assert_eq!(row.changes.unwrap()["name"]["after"], "b\u{fffd}");
        assert_eq!(row.metadata.unwrap()["token"], "***");
    }

    #[test]
    fn times_are_kept_to_the_microsecond() {
        let mut event = event();
        event.occurred_at = DateTime::from_timestamp(1, 123_456_789);
        let row = row(&event, Scope::Platform("test")).unwrap();
        assert_eq!(Some(row.occurred_at), DateTime::from_timestamp(1, 123_456_000));
    }
}
