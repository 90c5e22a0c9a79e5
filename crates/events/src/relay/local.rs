use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use stylobate_core::BoxFuture;
use stylobate_db::{Db, Engine, Error, Scope, TransactError as _};
use tokio::task::JoinSet;

use super::RelayOptions;
use crate::{
    Delivery, Outcome, Refused, Report, Sink, Subscriber, Types, store::settle, subscriber::is_outage,
};

/// Handles events in this process, each in a transaction of its own that also removes the delivery.
pub(super) struct Local {
    db: Db,
    subscriber: Arc<dyn Subscriber>,
    timeout: Duration,
    at_once: usize,
}

/// What came of one event.
enum Handled {
    Outcome(Outcome),
    /// The database does not do its work.
    Outage(&'static str),
}

impl Local {
    pub(super) fn new(db: Db, subscriber: Arc<dyn Subscriber>, options: &RelayOptions) -> Self {
        let at_once = match db.engine() {
            Engine::Postgres => options.concurrency.into(),
            Engine::Sqlite => 1,
        };
        Self { db, subscriber, timeout: options.timeout, at_once }
    }

    fn handle(&self, delivery: &Arc<Delivery>) -> impl Future<Output = Handled> + Send + 'static + use<> {
        handle(self.db.clone(), Arc::clone(&self.subscriber), Arc::clone(delivery), self.timeout)
    }
}

async fn handle(
    db: Db,
    subscriber: Arc<dyn Subscriber>,
    delivery: Arc<Delivery>,
    timeout: Duration,
) -> Handled {
    let has_begun = AtomicBool::new(false);
    let result = tokio::time::timeout(timeout, transact(&db, &*subscriber, &delivery, &has_begun)).await;
    let has_begun = has_begun.load(Ordering::Relaxed);
    match result {
        Ok(Ok(true)) => Handled::Outcome(Outcome::Settled),
        // Another relay has done it, or put it aside.
        Ok(Ok(false)) => Handled::Outcome(Outcome::Unknown),
        Ok(Err(_)) if !has_begun => Handled::Outage("the database does not answer"),
        Ok(Err(refused)) if is_outage(&db, &refused).await => Handled::Outage("the database does not answer"),
        Ok(Err(refused)) => Handled::Outcome(Outcome::Refused(refused)),
        Err(_) if !has_begun => Handled::Outage("the database does not answer in time"),
        Err(_) => {
            let why = format!("it took longer than {} ms", timeout.as_millis());
            Handled::Outcome(Outcome::Refused(Refused::later(why)))
        }
    }
}

/// How often a transaction that lost against others is tried.
const TRIES: u64 = 5;

/// Has the event handled in a transaction, again when that loses against others. Returns whether it was still owed. Notes in
/// `has_begun` that there was a transaction. (`Db::transact` does the same with a closure whose future tasks cannot take.)
async fn transact(
    db: &Db,
    subscriber: &dyn Subscriber,
    delivery: &Delivery,
    has_begun: &AtomicBool,
) -> Result<bool, Refused> {
    let mut tries = 1;
    loop {
        let refused = match attempt(db, subscriber, delivery, has_begun).await {
            Ok(is_owed) => return Ok(is_owed),
            Err(refused) => refused,
        };
        if tries == TRIES || !refused.as_db().is_some_and(Error::is_retryable) {
            return Err(refused);
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=tries * 8))).await;
        tries += 1;
    }
}

async fn attempt(
    db: &Db,
    subscriber: &dyn Subscriber,
    delivery: &Delivery,
    has_begun: &AtomicBool,
) -> Result<bool, Refused> {
    let scope = delivery.event.tenant_id.map_or(Scope::Platform("handle an event"), Scope::Tenant);
    let mut tx = db.begin(scope).await?;
    has_begun.store(true, Ordering::Relaxed);
    let handled = match settle::remove(&mut tx, subscriber.name(), delivery.place).await {
        Ok(true) => subscriber.handle(&mut tx, &delivery.event).await,
        Ok(false) => {
            tx.rollback().await?;
            return Ok(false);
        }
        Err(error) => Err(error.into()),
    };
    match handled {
        Ok(()) => {
            tx.commit().await?;
            Ok(true)
        }
        Err(refused) => {
            // Dropping would roll back as well, but only when the connection is used again.
            let _ = tx.rollback().await;
            Err(refused)
        }
    }
}

impl Sink for Local {
    fn name(&self) -> &str {
        self.subscriber.name()
    }

    fn types(&self) -> Types {
        self.subscriber.types()
    }

    fn deliver<'a>(&'a self, wave: &'a [Arc<Delivery>]) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            let mut outcomes: Vec<Outcome> = wave.iter().map(|_| Outcome::Unknown).collect();
            let mut outage = None;
            let mut waiting = wave.iter().enumerate();
            // Tasks of their own, so that a panic is the end of one and no more; dropped, they end.
            let mut tasks = JoinSet::new();
            let mut places = std::collections::HashMap::new();
            loop {
                while tasks.len() < self.at_once && outage.is_none() {
                    let Some((n, delivery)) = waiting.next() else { break };
                    places.insert(tasks.spawn(self.handle(delivery)).id(), n);
                }
                let Some(ended) = tasks.join_next_with_id().await else { break };
                let (id, handled) = match ended {
                    Ok((id, handled)) => (id, handled),
                    Err(error) => {
                        let refused = Refused::later("it panicked");
                        (error.id(), Handled::Outcome(Outcome::Refused(refused)))
                    }
                };
                match handled {
                    Handled::Outcome(outcome) => {
                        if let Some(place) = places.remove(&id).and_then(|n| outcomes.get_mut(n)) {
                            *place = outcome;
                        }
                    }
                    Handled::Outage(reason) => outage = Some(reason),
                }
            }
            let report = Report::of(outcomes);
            match outage {
                Some(reason) => report.ended_by(reason),
                None => report,
            }
        })
    }
}
