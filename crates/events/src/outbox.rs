use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, SubsecRound as _, Utc};
use parking_lot::RwLock;
use serde_json::Value;
use stylobate_core::{Actor, BoxFuture, Clock, DomainEvent, EventId, Redaction, TenantId};
use stylobate_db::{Participant, Pending, Scope, Takes, Tx};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    Catalogue, ENVELOPE_MAX, Envelope, EventsError, SUBJECT_MAX,
    record::{ACTOR_MAX, actor_kind_word, shortened},
    store::emit::{self, NewEvent},
};

/// Writes the domain events of a unit of work just before it commits, and what is owed of them to whom.
///
/// 1. An event whose type and version the catalogue does not have fails the commit; so does one with a field whose name says
///    that its value is secret ([`Redaction`]; null and booleans pass), one above [`ENVELOPE_MAX`], and one of another tenant
///    than its transaction.
/// 2. An event without a tenant that was emitted in a tenant's transaction is that tenant's.
/// 3. Whoever emits events of an aggregate commits after all who did so before; events are numbered in that order. Until the
///    commit others with events of the same aggregate wait, so a transaction should emit last what takes long before.
#[derive(Debug)]
pub struct Outbox {
    clock: Arc<dyn Clock>,
    catalogue: Catalogue,
    redaction: Redaction,
    /// Names of fields that were found to be harmless: looking at a name costs more than finding it again.
    harmless: RwLock<HashSet<String>>,
    committed: watch::Sender<()>,
}

/// How many names of fields are remembered, and how long ones.
const NAMES_KEPT: usize = 4_096;
const NAME_KEPT_BYTES: usize = 64;
/// A payload with less leaves room for everything else there is in an envelope.
const SURELY_SMALL: usize = ENVELOPE_MAX - (16 << 10);

impl Outbox {
    /// An outbox for the events of `catalogue`, dated by `clock`.
    #[must_use]
    pub fn new(catalogue: Catalogue, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            catalogue,
            redaction: Redaction::default(),
            harmless: RwLock::default(),
            committed: watch::Sender::new(()),
        }
    }

    /// The same outbox with another list of what is secret.
    #[must_use]
    pub fn with_redaction(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// The types of events that there are.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Hears of commits with events of this process.
    pub(crate) fn hear(&self) -> watch::Receiver<()> {
        self.committed.subscribe()
    }

    /// Wakes those who hear.
    pub(crate) fn wake(&self) {
        self.committed.send_replace(());
    }

    /// Writes `events` inside `tx`, for callers that do not go through its buffer. They are heard of when a relay looks.
    ///
    /// # Errors
    /// [`EventsError::UnknownType`], [`EventsError::Secret`], [`EventsError::TooLarge`], [`EventsError::ForeignTenant`],
    /// [`EventsError::Invalid`] for an event that is none; [`EventsError::Db`] otherwise.
    pub async fn write(&self, tx: &mut Tx, events: &[DomainEvent]) -> Result<(), EventsError> {
        let now = self.clock.now().trunc_subsecs(6);
        let mut ids: Vec<EventId> = events.iter().map(|_| EventId::new(now)).collect();
        ids.sort_unstable();
        let scope = tx.scope();
        let row = |(event, id)| self.row(event, scope, id, now);
        let rows = events.iter().zip(ids).map(row).collect::<Result<Vec<_>, _>>()?;
        Ok(emit::insert(tx, rows).await?)
    }

    fn row(
        &self,
        event: &DomainEvent,
        scope: Scope,
        id: EventId,
        now: DateTime<Utc>,
    ) -> Result<NewEvent, EventsError> {
        let kind = || event.kind.to_owned();
        if self.catalogue.find(event.kind, event.version).is_none() {
            return Err(EventsError::UnknownType { kind: kind(), version: event.version });
        }
        if let Some(field) = self.secret(&event.data) {
            return Err(EventsError::Secret { kind: kind(), field });
        }
        let length = event.aggregate.chars().count();
        if length == 0 || length > SUBJECT_MAX || event.aggregate.chars().any(char::is_control) {
            let problem = format!("has 1 to {SUBJECT_MAX} characters, none of them a control character");
            return Err(EventsError::Invalid { field: "aggregate", problem });
        }
        let tenant = match (scope.tenant(), event.tenant) {
            (Some(own), Some(named)) if own != named => return Err(EventsError::ForeignTenant),
            (own, named) => own.or(named),
        };
        let new = NewEvent {
            id: event.id.unwrap_or(id).as_uuid(),
            lane: tenant.map_or(Uuid::nil(), |tenant| tenant.as_uuid()),
            aggregate: event.aggregate.clone(),
            kind: event.kind,
            version: event.version.into(),
            occurred_at: event.occurred_at.unwrap_or(now).trunc_subsecs(6),
            written_at: now,
            actor_kind: actor_kind_word(event.actor.kind),
            actor_id: event.actor.id.as_deref().map(|id| shortened(id, ACTOR_MAX)),
            trace: event.traceparent.map(|trace| trace.to_string()),
            data: event.data.to_string(),
            later: 0,
        };
        if new.data.len() > SURELY_SMALL {
            let bytes = told(event, &new, tenant).to_json().len();
            if bytes > ENVELOPE_MAX {
                return Err(EventsError::TooLarge { kind: kind(), bytes, max: ENVELOPE_MAX });
            }
        }
        Ok(new)
    }

    fn secret(&self, data: &Value) -> Option<String> {
        if all_names(data, &mut |name| self.harmless.read().contains(name)) {
            return None;
        }
        let found = self.redaction.find(data);
        if found.is_none() {
            let mut harmless = self.harmless.write();
            all_names(data, &mut |name| {
                let is_kept = name.len() <= NAME_KEPT_BYTES && harmless.len() < NAMES_KEPT;
                if is_kept && !harmless.contains(name) && !self.redaction.is_sensitive(name) {
                    harmless.insert(name.to_owned());
                }
                true
            });
        }
        found
    }
}

/// The longest that `event` may become as others are told it.
fn told(event: &DomainEvent, new: &NewEvent, tenant: Option<TenantId>) -> Envelope {
    Envelope {
        id: new.id.into(),
        kind: new.kind.to_owned(),
        version: event.version,
        occurred_at: new.occurred_at,
        tenant_id: tenant,
        actor: Actor { kind: event.actor.kind, id: new.actor_id.clone() },
        subject: new.aggregate.clone(),
        sequence: u64::MAX,
        trace: event.traceparent,
        data: event.data.clone(),
    }
}

/// Whether `test` holds for the name of every field inside `value`.
fn all_names(value: &Value, test: &mut impl FnMut(&str) -> bool) -> bool {
    match value {
        Value::Object(fields) => fields.iter().all(|(name, field)| test(name) && all_names(field, test)),
        Value::Array(items) => items.iter().all(|item| all_names(item, test)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

impl Participant for Outbox {
    fn takes(&self) -> Takes {
        Takes { audit: false, events: true }
    }

    fn before_commit<'a>(
        &'a self,
        tx: &'a mut Tx,
        pending: &'a Pending,
    ) -> BoxFuture<'a, Result<(), stylobate_db::Error>> {
        Box::pin(async move {
            if pending.events.is_empty() {
                return Ok(());
            }
            match self.write(tx, &pending.events).await {
                Ok(()) => Ok(()),
                // Kept as it is, so that a busy database is tried again.
                Err(EventsError::Db(error)) => Err(error),
                Err(error) => Err(stylobate_db::Error::Participant(Box::new(error))),
            }
        })
    }

    fn after_commit(&self, pending: &Pending) {
        if !pending.events.is_empty() {
            self.wake();
        }
    }
}
