//! A database with an outbox, a place on the broker, and relays between them, as a service has them.

use std::{sync::Arc, time::Duration};

use lapin::{
    Channel, Connection,
    options::{QueueDeclareOptions, QueuePurgeOptions},
    types::FieldTable,
};
use serde_json::json;
use stylobate_core::{DomainEvent, RequestContext, SystemClock};
use stylobate_db::{Db, Participant, Scope, Tx};
use stylobate_events::{
    AmqpUrl, Broker, Catalogue, EventType, Events, Exchange, Kept, MIGRATIONS, Outbox, Publisher,
    PublisherOptions, Relay, RelayOptions,
};
use stylobate_testkit::TestDb;
use stylobate_tests::{BrokerHost, Engine};
use tokio::{sync::watch, task::JoinSet};

use crate::Result;

pub(super) const SCOPE: Scope = Scope::Platform("bench");
pub(super) const KIND: &str = "bench.happened";
pub(super) const QUEUE: &str = "bench";

/// The tables of events, and handles as one process has them.
pub(super) struct Stage {
    pub(super) test_db: TestDb,
    /// Takes part in nothing.
    pub(super) bare: Db,
    pub(super) handles: Handles,
}

/// What one process has.
#[derive(Clone)]
pub(super) struct Handles {
    pub(super) db: Db,
    pub(super) events: Events,
}

impl Handles {
    pub(super) async fn new(test_db: &TestDb) -> Self {
        let outbox = outbox();
        let participants: [Arc<dyn Participant>; 1] = [Arc::<Outbox>::clone(&outbox)];
        let db = test_db.open(&participants).await;
        Self { db: db.clone(), events: Events::new(db, outbox, Arc::new(SystemClock)) }
    }

    /// Keeps up, and relays by `relays`, until `stop` says otherwise.
    pub(super) fn start(&self, relays: Vec<Relay>, stop: &watch::Receiver<bool>) -> JoinSet<()> {
        let mut running = JoinSet::new();
        let stopped = || {
            let mut stop = stop.clone();
            async move {
                let _ = stop.wait_for(|stop| *stop).await;
            }
        };
        let (events, until) = (self.events.clone(), stopped());
        running.spawn(async move { events.keep_up(Kept::default(), until).await });
        for relay in relays {
            running.spawn(relay.run(stopped()));
        }
        running
    }

    /// A relay to the broker at `url`, with the settings that relays have by default.
    pub(super) fn to_broker(&self, url: &str) -> Result<Relay> {
        Ok(Relay::new(self.events.clone(), Arc::new(publisher(url)?), RelayOptions::default()))
    }

    /// Emits `number` events about `subjects` subjects in turn, in transactions of a hundred.
    pub(super) async fn emit(&self, number: usize, subjects: usize) -> Result {
        for first in (0..number).step_by(100) {
            let emit = async move |tx: &mut Tx| {
                for n in first..(first + 100).min(number) {
                    tx.emit(event(n, &format!("place-{}", n % subjects)));
                }
                Ok::<_, stylobate_db::Error>(())
            };
            self.db.transact(SCOPE, emit).await?;
        }
        Ok(())
    }
}

impl Stage {
    pub(super) async fn new(engine: Engine) -> Self {
        let test_db = match engine {
            Engine::Sqlite => TestDb::sqlite(&[&MIGRATIONS]).await,
            Engine::Postgres => TestDb::postgres(&[&MIGRATIONS]).await,
        };
        Self { bare: (*test_db).clone(), handles: Handles::new(&test_db).await, test_db }
    }
}

pub(super) fn outbox() -> Arc<Outbox> {
    Arc::new(Outbox::new(catalogue(), Arc::new(SystemClock)))
}

pub(super) fn publisher(url: &str) -> Result<Publisher> {
    Ok(Publisher::new(Broker::new(AmqpUrl::parse(url)?), &catalogue(), PublisherOptions::default())?)
}

fn catalogue() -> Catalogue {
    let kind = EventType {
        name: KIND,
        version: 1,
        exchange: Some(Exchange::AUDIT),
        description: "Something happened.",
        schema: json!({ "type": "object" }),
    };
    Catalogue::new([kind]).unwrap_or_default()
}

/// An event with a payload of usual size.
pub(super) fn event(n: usize, subject: &str) -> DomainEvent {
    let data = json!({ "n": n, "name": "Grace Hopper", "email": "grace@example.org", "status": "active" });
    DomainEvent::new(&RequestContext::system("bench"), KIND, subject, data)
}

/// A queue of one's own that hears everything.
pub(super) struct Queue {
    pub(super) host: BrokerHost,
    connection: Connection,
    pub(super) channel: Channel,
}

impl Queue {
    /// A classic one. With `most` it keeps only so many messages, the last ones.
    pub(super) async fn new(most: Option<i64>) -> Result<Self> {
        let host = BrokerHost::new();
        host.declare(Exchange::AUDIT.name(), QUEUE, "classic", most).await;
        let connection = host.connect().await?;
        let channel = connection.create_channel().await?;
        Ok(Self { host, connection, channel })
    }

    /// How many messages wait in it.
    pub(super) async fn waiting(&self) -> Result<usize> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = self.channel.queue_declare(QUEUE.into(), passive, FieldTable::default()).await?;
        Ok(usize::try_from(queue.message_count())?)
    }

    pub(super) async fn purge(&self) -> Result {
        self.channel.queue_purge(QUEUE.into(), QueuePurgeOptions::default()).await?;
        Ok(())
    }

    pub(super) async fn close(self) {
        let _ = self.connection.close(200, "done".into()).await;
    }
}

/// Waits until `holds`, at most five minutes.
pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result {
    let begun = std::time::Instant::now();
    while !holds().await? {
        if begun.elapsed() > Duration::from_secs(300) {
            return Err(format!("five minutes were not enough: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
