use std::time::Duration;

use chrono::{DateTime, Utc};
use stylobate_db::{Scope, Tx};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    Events, EventsError,
    store::subscribers::{self, Pulse},
};

/// The right to work for a subscriber. Whoever has it moves a beat; whoever wants it watches that by a clock of its own, so
/// that no two clocks need to agree.
pub(super) struct Lease {
    events: Events,
    subscriber: String,
    length: Duration,
    token: Uuid,
    /// When the last sign of life that the database has taken was begun, while the lease is held.
    beaten_at: Option<Instant>,
    /// The last sign of life of another, and when it was first seen.
    seen: Option<(Pulse, Instant)>,
    delivered_at: Option<DateTime<Utc>>,
}

const SCOPE: Scope = Scope::Platform("work for a subscriber of events");

impl Lease {
    pub(super) fn new(events: &Events, subscriber: String, length: Duration) -> Self {
        Self {
            events: events.clone(),
            subscriber,
            length,
            token: Uuid::new_v4(),
            beaten_at: None,
            seen: None,
            delivered_at: None,
        }
    }

    /// Whether it is held for certain: the last sign of life is not older than others wait for.
    pub(super) fn is_held(&self) -> bool {
        self.beaten_at.is_some_and(|at| at.elapsed() < self.length)
    }

    /// Notes that something was delivered.
    pub(super) fn delivered(&mut self, now: DateTime<Utc>) {
        self.delivered_at = Some(now);
    }

    /// Holds on to the lease when half of it is over, or takes it when it is free or nothing is heard of its holder. Returns
    /// whether it is held.
    pub(super) async fn hold(&mut self) -> Result<bool, EventsError> {
        match self.beaten_at {
            Some(at) if at.elapsed() < self.length / 2 => Ok(true),
            Some(_) => self.beat().await,
            None => self.take().await,
        }
    }

    async fn beat(&mut self) -> Result<bool, EventsError> {
        let began = Instant::now();
        let (name, token, delivered_at) = (self.subscriber.clone(), self.token, self.delivered_at);
        let beat = async move |tx: &mut Tx| {
            Ok::<_, EventsError>(subscribers::beat(tx, &name, token, delivered_at).await?)
        };
        let is_held = self.events.db().transact(SCOPE, beat).await?;
        if !is_held {
            tracing::warn!(subscriber = self.subscriber, "another relay has taken over");
        }
        self.beaten_at = is_held.then_some(began);
        self.seen = None;
        Ok(is_held)
    }

    async fn take(&mut self) -> Result<bool, EventsError> {
        let mut tx = self.events.db().begin_read(SCOPE).await?;
        let pulse = subscribers::pulse(&mut tx, &self.subscriber).await;
        tx.rollback().await?;
        // Somebody has removed the subscriber: it comes back when its program starts again.
        let Some(pulse) = pulse? else { return Ok(false) };
        let now = Instant::now();
        let since = match self.seen {
            Some((seen, since)) if seen == pulse => since,
            _ => now,
        };
        self.seen = Some((pulse, since));
        let is_silent = now - since >= self.length || pulse.lease_token == Some(self.token);
        if pulse.lease_token.is_some() && !is_silent {
            return Ok(false);
        }
        let (name, token) = (self.subscriber.clone(), self.token);
        let take =
            async move |tx: &mut Tx| Ok::<_, EventsError>(subscribers::take(tx, &name, pulse, token).await?);
        let is_taken = self.events.db().transact(SCOPE, take).await?;
        if is_taken {
            self.beaten_at = Some(now);
            self.seen = None;
        }
        Ok(is_taken)
    }

    /// Gives it back, if it is held.
    pub(super) async fn release(&mut self) -> Result<(), EventsError> {
        if self.beaten_at.take().is_none() {
            return Ok(());
        }
        let (name, token, delivered_at) = (self.subscriber.clone(), self.token, self.delivered_at);
        let release = async move |tx: &mut Tx| {
            Ok::<_, EventsError>(subscribers::release(tx, &name, token, delivered_at).await?)
        };
        self.events.db().transact(SCOPE, release).await
    }
}
