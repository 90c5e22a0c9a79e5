//! A subscriber that tests watch, and a consumer that runs for as long as it is looked at.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use stylobate_core::{BoxFuture, EventId, SystemClock};
use stylobate_db::{Db, Tx};
use stylobate_events::{Broker, Consumer, ConsumerOptions, Envelope, QueueKind, Refused, Subscriber, Types};
use tokio::{sync::oneshot, task::JoinHandle};

use super::broker::catalogue;

/// What a handler does with an event, besides its effect.
type Act =
    Box<dyn for<'a> Fn(&'a mut Tx, &'a Envelope, u32) -> BoxFuture<'a, Result<(), Refused>> + Send + Sync>;

/// Hears users being created.
pub(super) struct Ear {
    act: Act,
    types: Types,
    heard: Mutex<Vec<(EventId, Instant)>>,
}

impl Ear {
    /// Handles events as `act` does, which is told which call this is, from 1.
    pub(super) fn new(
        act: impl for<'a> Fn(&'a mut Tx, &'a Envelope, u32) -> BoxFuture<'a, Result<(), Refused>>
        + Send
        + Sync
        + 'static,
    ) -> Arc<Self> {
        Self::to(Types::named(["user.created"]), act)
    }

    pub(super) fn to(
        types: Types,
        act: impl for<'a> Fn(&'a mut Tx, &'a Envelope, u32) -> BoxFuture<'a, Result<(), Refused>>
        + Send
        + Sync
        + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { act: Box::new(act), types, heard: Mutex::default() })
    }

    /// Takes every event.
    pub(super) fn content() -> Arc<Self> {
        Self::new(|_, _, _| Box::pin(async { Ok(()) }))
    }

    /// When which event was handled, whatever came of it.
    pub(super) fn calls(&self) -> Vec<(EventId, Instant)> {
        self.heard.lock().unwrap().clone()
    }
}

impl Subscriber for Ear {
    fn name(&self) -> &'static str {
        "ear"
    }

    fn types(&self) -> Types {
        self.types.clone()
    }

    fn handle<'a>(&'a self, tx: &'a mut Tx, event: &'a Envelope) -> BoxFuture<'a, Result<(), Refused>> {
        Box::pin(async move {
            let call = {
                let mut heard = self.heard.lock().unwrap();
                heard.push((event.id, Instant::now()));
                u32::try_from(heard.len()).unwrap()
            };
            let effect = "INSERT INTO event_inbox (consumer, event_id, received_at) VALUES ($1, $2, $3)";
            let row = EventId::new(event.occurred_at);
            tx.q(effect).bind("effects").bind(row.as_uuid()).bind(event.occurred_at).run().await?;
            (self.act)(tx, event, call).await
        })
    }
}

/// How many effects of handlers were committed.
pub(super) async fn effects(db: &Db) -> i64 {
    let mut conn = db.read().await.unwrap();
    let sql = "SELECT count(*) FROM event_inbox WHERE consumer = $1";
    conn.q(sql).bind("effects").scalar().await.unwrap()
}

/// Quick and on one node.
pub(super) fn options() -> ConsumerOptions {
    ConsumerOptions {
        kind: QueueKind::Classic,
        delays: vec![Duration::from_millis(50)],
        attempts_max: 3,
        drain: Duration::from_secs(5),
        ..ConsumerOptions::default()
    }
}

pub(super) fn consumer(broker: Broker, db: &Db, ear: &Arc<Ear>, options: ConsumerOptions) -> Consumer {
    let subscriber: Arc<dyn Subscriber> = Arc::clone(ear) as _;
    Consumer::new(broker, db.clone(), Arc::new(SystemClock), catalogue(), subscriber, options).unwrap()
}

/// A consumer at work.
pub(super) struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    pub(super) fn start(consumer: &Consumer) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let consumer = consumer.clone();
        let task = tokio::spawn(async move {
            consumer
                .run(async {
                    let _ = stopped.await;
                })
                .await;
        });
        Self { stop: Some(stop), task }
    }

    /// Asks it to stop.
    pub(super) fn ask_to_stop(&mut self) {
        self.stop.take();
    }

    /// Asks it to stop, and waits until it has.
    pub(super) async fn stop(mut self) {
        self.ask_to_stop();
        tokio::time::timeout(Duration::from_secs(8), &mut self.task).await.unwrap().unwrap();
    }

    /// Ends it as a crash would.
    pub(super) fn crash(&self) {
        self.task.abort();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
