mod handling;
mod session;

use std::{future::Future, sync::Arc, time::Duration};

use chrono::TimeDelta;
use parking_lot::Mutex;
use stylobate_core::{BoxFuture, Clock, Health, HealthCheck};
use stylobate_db::Db;
use tokio::sync::watch;

use super::{
    Broker, inbox,
    link::{Pause, Trouble},
    outbound::{Ground, Outbound},
    topology::{QueueKind, Topology},
};
use crate::{Catalogue, EventsError, Subscriber, Types, catalogue::checked_name};

/// How to consume. What is out of its range counts as the nearest that is not.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// The queue, 1 to 200 characters of `a-z 0-9 . _ -`; its delay queues are called `QUEUE.retry.…`, that of its dead letters
    /// `QUEUE.dead`. Default: the name of the subscriber. Consumers of one queue share its events.
    pub queue: Option<String>,
    /// How the broker keeps the queues. Default quorum. A queue cannot change its kind.
    pub kind: QueueKind,
    /// How many events the broker sends ahead. Default 32, 1 to 10,000.
    pub prefetch: u16,
    /// How many of them are handled at once. Default 1: in the order of the queue, but for those that failed. 1 to `prefetch`.
    pub concurrency: u16,
    /// How long a handler may take for one event; then it has failed. Default 30 s, 10 ms to 10 minutes.
    pub timeout: Duration,
    /// How often an event is tried until it becomes a dead letter. Default 8, at least 1.
    pub attempts_max: u32,
    /// How long an event waits after the first failed attempt, the second …; the last one again and again. Each is a queue.
    /// Default 1 s, 10 s, 1 minute, 10 minutes; 1 to 16 different ones from 10 ms to 1 day, sorted.
    pub delays: Vec<Duration>,
    /// How long events may go on to be handled at shutdown. Default 10 s, at most 1 day.
    pub drain: Duration,
    /// How long it is known which events were heard. Default 7 days, at least 1 hour: longer than a copy can be under way.
    pub inbox_retention: Duration,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            queue: None,
            kind: QueueKind::default(),
            prefetch: 32,
            concurrency: 1,
            timeout: Duration::from_secs(30),
            attempts_max: 8,
            delays: [1, 10, 60, 600].map(Duration::from_secs).into(),
            drain: Duration::from_secs(10),
            inbox_retention: Duration::from_secs(7 * 86_400),
        }
    }
}

impl ConsumerOptions {
    fn checked(mut self) -> Self {
        self.prefetch = self.prefetch.clamp(1, 10_000);
        self.concurrency = self.concurrency.clamp(1, self.prefetch);
        self.timeout = self.timeout.clamp(Duration::from_millis(10), Duration::from_secs(600));
        self.attempts_max = self.attempts_max.max(1);
        self.drain = self.drain.min(Duration::from_secs(86_400));
        self.inbox_retention =
            self.inbox_retention.clamp(Duration::from_secs(3_600), Duration::from_secs(366 * 86_400));
        self
    }
}

/// Hears events from a queue of RabbitMQ, each once.
///
/// 1. An event is handled in a transaction in which the inbox notes that this consumer has heard it, and acknowledged after the
///    commit. One that comes again is acknowledged and forgotten, so what the handler does through its transaction happens exactly
///    once, whatever dies when.
/// 2. An event that fails waits in a delay queue and comes back, until it has failed `attempts_max` times; then it is a dead
///    letter. One that is refused for ever ([`Refused::never`](crate::Refused::never)), cannot be read, or has a version that the
///    catalogue does not know is one at once. The reason is in its headers `x-reason` and `x-error`.
/// 3. Events that wait are overtaken by later ones of their subject; the envelope's `sequence` tells.
/// 4. While the database answers nobody, events are kept and tried again; that is no attempt.
/// 5. It connects again when the connection or the queue is lost, and declares its exchanges, queues and bindings each time. Bindings
///    that it no longer wants stay; what comes by them is acknowledged and forgotten.
#[derive(Clone)]
pub struct Consumer {
    inner: Arc<Inner>,
}

struct Inner {
    broker: Broker,
    db: Db,
    clock: Arc<dyn Clock>,
    catalogue: Catalogue,
    subscriber: Arc<dyn Subscriber>,
    types: Types,
    options: ConsumerOptions,
    topology: Arc<Topology>,
    /// For delayed events and dead letters. A connection of its own: one that publishes is blocked when the broker runs out of
    /// memory, and the acknowledgements that would help it must not be.
    outbound: Outbound,
    state: Mutex<State>,
}

/// How it is doing.
#[derive(Debug, Clone)]
enum State {
    Idle,
    Consuming,
    Waiting(Trouble),
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Inner { topology, state, .. } = &*self.inner;
        f.debug_struct("Consumer").field("topology", topology).field("state", state).finish_non_exhaustive()
    }
}

/// How often the inbox is pruned.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);
/// How long the broker may be silent while something is asked of it.
const PATIENCE: Duration = Duration::from_secs(5);

impl Consumer {
    /// A consumer whose handler is `subscriber`, which might as well hear the events in process. `catalogue` has the types and
    /// versions that it knows, and their exchanges.
    ///
    /// # Errors
    /// [`EventsError::Invalid`] when a name is none, there are no delays or too many, or the subscriber names a type for which the
    /// catalogue has no exchange.
    pub fn new(
        broker: Broker,
        db: Db,
        clock: Arc<dyn Clock>,
        catalogue: Catalogue,
        subscriber: Arc<dyn Subscriber>,
        options: ConsumerOptions,
    ) -> Result<Self, EventsError> {
        checked_name("name", subscriber.name(), 64)?;
        let options = options.checked();
        let queue = options.queue.as_deref().unwrap_or(subscriber.name());
        let types = subscriber.types();
        let topology = Arc::new(Topology::new(queue, options.kind, &options.delays, &types, &catalogue)?);
        let outbound = Outbound::new(broker.clone(), Ground::Queues(Arc::clone(&topology)), PATIENCE);
        let state = Mutex::new(State::Idle);
        let inner =
            Inner { broker, db, clock, catalogue, subscriber, types, options, topology, outbound, state };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Hears events until `shutdown` is done; then it takes no more, and returns when those that are being handled are done, or have
    /// been left to others because they took too long. Survives a broker or database that goes away and comes back.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let (stop, stopped) = watch::channel(false);
        let stopping = async {
            shutdown.await;
            stop.send_replace(true);
        };
        tokio::join!(stopping, self.consume(stopped.clone()), self.prune(stopped));
    }

    async fn consume(&self, mut stopped: watch::Receiver<bool>) {
        let inner = &self.inner;
        let queue = inner.topology.queue.as_str();
        let mut pause = Pause::default();
        while let Err(trouble) = self.session(&mut stopped, &mut pause).await {
            tracing::warn!(queue, %trouble, "no events can be heard");
            *inner.state.lock() = State::Waiting(trouble);
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => break,
                () = tokio::time::sleep(pause.next()) => {}
            }
        }
        inner.outbound.close().await;
        *inner.state.lock() = State::Idle;
    }

    async fn prune(&self, mut stopped: watch::Receiver<bool>) {
        let Inner { db, clock, options, .. } = &*self.inner;
        let retention = TimeDelta::from_std(options.inbox_retention).unwrap_or(TimeDelta::MAX);
        loop {
            // Before the first time as well, so that programs that crash and start do not spend their time with it.
            let wait = PRUNE_EVERY.mul_f64(0.5 + fastrand::f64() / 2.0);
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(wait) => {}
            }
            if let Some(before) = clock.now().checked_sub_signed(retention)
                && let Err(error) = inbox::prune_inbox(db, before).await
            {
                tracing::warn!(code = error.code(), "the inbox cannot be pruned");
            }
        }
    }
}

impl HealthCheck for Consumer {
    fn name(&self) -> &'static str {
        "rabbitmq_consumer"
    }

    /// No: events wait in the queue.
    fn is_critical(&self) -> bool {
        false
    }

    fn check(&self) -> BoxFuture<'_, Health> {
        let health = match &*self.inner.state.lock() {
            State::Consuming => Health::up(),
            State::Waiting(trouble) => Trouble::health(Some(trouble)),
            State::Idle => Health::down("it does not run"),
        };
        Box::pin(async { health })
    }
}
