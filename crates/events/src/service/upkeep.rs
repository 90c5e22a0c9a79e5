use std::{error::Error as StdError, future::Future, pin::pin, time::Duration};

use chrono::TimeDelta;
use stylobate_db::{Engine, Scope, Tx};

use super::{Events, STEP, TOLD};
use crate::{
    EventsError,
    guard::guarded,
    store::{dead, subscribers, upkeep},
};

/// Other processes are told of commits at most this often: on PostgreSQL transactions that tell others commit one after the
/// other, so no change does it itself.
const TELL_EVERY: Duration = Duration::from_millis(25);
/// How often old events are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// How often is counted for those who measure.
const MEASURE_EVERY: Duration = Duration::from_secs(10);
/// A type that no program of a subscriber has asked for in this time, though one has asked for others, is forgotten: by then
/// all run the program that no longer names it.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::days(1);

/// How long is kept what nobody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Events that everybody has, from when they were written. Default 30 days.
    pub events: TimeDelta,
    /// Deliveries that were given up, from then on, and with them their events. Default 90 days: long enough for somebody to find
    /// them, and no longer than has to be since they have what is in the event about people.
    pub dead_letters: TimeDelta,
}

impl Default for Kept {
    fn default() -> Self {
        Self { events: TimeDelta::days(30), dead_letters: TimeDelta::days(90) }
    }
}

impl Events {
    /// Removes dead letters that were given up more than `kept` ago, whoever's they are, a thousand at a time. Returns how many.
    /// What they were of goes with [`prune`](Self::prune).
    ///
    /// # Errors
    /// The database's own.
    pub async fn prune_dead_letters(&self, kept: TimeDelta) -> Result<u64, EventsError> {
        let Some(before) = self.now().checked_sub_signed(kept) else { return Ok(0) };
        let mut removed = 0;
        loop {
            let remove =
                async move |tx: &mut Tx| Ok::<_, EventsError>(dead::remove_old(tx, before, STEP).await?);
            let step = self.inner.db.transact(Scope::Platform("remove old dead letters"), remove).await?;
            removed += step;
            if step < STEP.unsigned_abs() {
                return Ok(removed);
            }
        }
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
            let mut tx = self.inner.db.begin_read(Scope::Platform("look for old events")).await?;
            let step = upkeep::old(&mut tx, before, after, STEP).await;
            tx.rollback().await?;
            let Some(step) = step? else { return Ok(removed) };
            after = step.last;
            if step.gone.is_empty() {
                continue;
            }
            let remove = async move |tx: &mut Tx| Ok::<_, EventsError>(upkeep::remove(tx, &step.gone).await?);
            removed += self.inner.db.transact(Scope::Platform("remove old events"), remove).await?;
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

    /// Tells the relays of other processes of what this one commits, says again who hears what and removes what is older than
    /// `kept` once an hour, and counts for those who measure, until `stop` is over. Every process that emits events or relays them runs it
    /// once; where there is none, events of other processes are found by looking. Neither errors nor panics end it.
    pub async fn keep_up(&self, kept: Kept, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        // Boxed: they are large, and whoever spawns this would have to do it.
        tokio::select! {
            biased;
            () = &mut stop => {}
            () = Box::pin(self.tell_others()) => {}
            () = Box::pin(self.prune_often(kept)) => {}
            () = Box::pin(self.measure_often()) => {}
        }
    }

    /// Returns how many dead letters and how many events were removed.
    async fn tidy_and_prune(&self, kept: Kept) -> Result<(u64, u64), EventsError> {
        self.ask_all_again().await?;
        self.tidy().await?;
        // First: the events that they are of may go then.
        let dead_letters = self.prune_dead_letters(kept.dead_letters).await?;
        Ok((dead_letters, self.prune(kept.events).await?))
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

    async fn prune_often(&self, kept: Kept) {
        loop {
            // Jitter, so that processes that were started together do not do it together.
            tokio::time::sleep(PRUNE_EVERY.mul_f64(0.5 + fastrand::f64())).await;
            match guarded(self.tidy_and_prune(kept)).await {
                Ok((0, 0)) => {}
                Ok((dead_letters, events)) => {
                    tracing::info!(dead_letters, events, "old dead letters and events are removed");
                }
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
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;
    use stylobate_core::RequestContext;
    use stylobate_db::{Scope, Tx};
    use stylobate_testkit::{ManualClock, TestDb, both_engines};

    use crate::{Catalogue, Events, EventsError, Kept, MIGRATIONS, Outbox, Types};

    const SCOPE: Scope = Scope::Platform("tests");

    async fn subscriptions(db: &TestDb) -> Vec<(String, String)> {
        let mut tx = db.begin_read(SCOPE).await.unwrap();
        tx.q("SELECT subscriber, type FROM event_subscriptions ORDER BY subscriber, type")
            .all()
            .await
            .unwrap()
    }

    async fn types_that_nobody_asks_for_are_forgotten_after_a_day(db: TestDb) {
        let clock = Arc::new(ManualClock::new());
        let outbox = Arc::new(Outbox::new(Catalogue::default(), clock.clone()));
        let events = Events::new(db.clone(), outbox, clock.clone());
        events.subscribe("away", &Types::All).await.unwrap();
        events.subscribe("all", &Types::named(["a", "b"])).await.unwrap();
        let pairs = |names: &[&str]| {
            let mut pairs: Vec<_> = names.iter().map(|name| ("all".to_owned(), (*name).to_owned())).collect();
            pairs.push(("away".to_owned(), "*".to_owned()));
            pairs
        };
        clock.advance(TimeDelta::hours(23));
        events.ask_again("all", &Types::named(["b", "c"])).await.unwrap();
        events.tidy().await.unwrap();
        assert_eq!(subscriptions(&db).await, pairs(&["a", "b", "c"]));
        clock.advance(TimeDelta::hours(2));
        events.ask_again("all", &Types::named(["b", "c"])).await.unwrap();
        events.tidy().await.unwrap();
        // Whoever is away keeps what it asked for.
        assert_eq!(subscriptions(&db).await, pairs(&["b", "c"]));
        // Who was removed is not brought back by a program that still runs.
        events.ask_again("nobody", &Types::All).await.unwrap();
        assert_eq!(subscriptions(&db).await.len(), 3);
    }
    both_engines!(types_that_nobody_asks_for_are_forgotten_after_a_day, &[&MIGRATIONS]);

    async fn a_process_without_relays_keeps_what_it_asked_for(db: TestDb) {
        let clock = Arc::new(ManualClock::new());
        let program = || {
            let outbox = Arc::new(Outbox::new(Catalogue::default(), clock.clone()));
            Events::new(db.clone(), outbox, clock.clone())
        };
        let (old, new) = (program(), program());
        old.subscribe("all", &Types::named(["a"])).await.unwrap();
        new.subscribe("all", &Types::named(["b"])).await.unwrap();
        new.subscribe("gone", &Types::All).await.unwrap();
        new.unsubscribe(&RequestContext::system("tests"), "gone", std::time::Duration::ZERO).await.unwrap();
        for _ in 0..30 {
            clock.advance(TimeDelta::hours(1));
            old.ask_again("all", &Types::named(["a"])).await.unwrap();
            new.tidy_and_prune(Kept::default()).await.unwrap();
        }
        let all = |name: &str| ("all".to_owned(), name.to_owned());
        assert_eq!(subscriptions(&db).await, [all("a"), all("b")]);
    }
    both_engines!(a_process_without_relays_keeps_what_it_asked_for, &[&MIGRATIONS]);

    async fn what_a_removed_subscriber_is_owed_late_goes(db: TestDb) {
        let clock = Arc::new(ManualClock::new());
        let outbox = Arc::new(Outbox::new(Catalogue::default(), clock.clone()));
        let events = Events::new(db.clone(), outbox, clock);
        events.subscribe("all", &Types::All).await.unwrap();
        let owe = async |tx: &mut Tx| {
            for (name, ordinal) in [("all", 1_i64), ("gone", 1), ("gone", 2), ("lost", 3)] {
                tx.q("INSERT INTO event_deliveries (subscriber, ordinal, aggregate_id) VALUES ($1, $2, 1)")
                    .bind(name)
                    .bind(ordinal)
                    .run()
                    .await?;
            }
            Ok::<_, EventsError>(())
        };
        db.transact(SCOPE, owe).await.unwrap();
        events.tidy().await.unwrap();
        let mut tx = db.begin_read(SCOPE).await.unwrap();
        let left: Vec<(String, i64)> =
            tx.q("SELECT subscriber, ordinal FROM event_deliveries").all().await.unwrap();
        assert_eq!(left, [("all".to_owned(), 1)]);
    }
    both_engines!(what_a_removed_subscriber_is_owed_late_goes, &[&MIGRATIONS]);
}
