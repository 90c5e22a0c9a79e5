use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use stylobate_core::{BoxFuture, DomainEvent, PersonId, Principal, RequestContext, SystemClock, TenantId};
use stylobate_db::{Db, Error, Participant, Pending, Scope, Takes, Tx};
use stylobate_events::{
    Catalogue, Delivery, Envelope, EventType, Events, Exchange, Outbox, Outcome, Refused, Relay,
    RelayOptions, Report, Sink, Subscriber, SubscriberCounts, Types,
};
use stylobate_testkit::TestDb;
use tokio::{sync::oneshot, task::JoinHandle};

pub(crate) const PLATFORM: Scope = Scope::Platform("tests");

pub(crate) fn system() -> RequestContext {
    RequestContext::system("tests")
}

pub(crate) fn as_tenant(tenant: TenantId) -> RequestContext {
    let person = PersonId::new(stylobate_core::Clock::now(&SystemClock));
    RequestContext::new(Principal::person(person).in_tenant(tenant))
}

pub(crate) fn tenant() -> TenantId {
    TenantId::new(stylobate_core::Clock::now(&SystemClock))
}

pub(crate) fn catalogue() -> Catalogue {
    let kind = |name, version| EventType {
        name,
        version,
        exchange: Some(Exchange::AUDIT),
        description: "Something for tests.",
        schema: json!({ "type": "object" }),
    };
    Catalogue::new([kind("note.made", 1), kind("note.made", 2), kind("note.read", 1), kind("note.echoed", 1)])
        .unwrap()
}

/// Takes audit events, and counts them.
#[derive(Debug, Default)]
pub(crate) struct Trail(pub(crate) AtomicUsize);

impl Participant for Trail {
    fn takes(&self) -> Takes {
        Takes { audit: true, events: false }
    }

    fn before_commit<'a>(
        &'a self,
        _tx: &'a mut Tx,
        pending: &'a Pending,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.0.fetch_add(pending.audit.len(), Ordering::SeqCst);
        Box::pin(async { Ok(()) })
    }
}

pub(crate) struct World {
    pub(crate) test_db: TestDb,
    pub(crate) db: Db,
    pub(crate) events: Events,
    pub(crate) trail: Arc<Trail>,
}

/// Waits until `done`, at most ten seconds.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..2_000 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}");
}

pub(crate) fn options() -> RelayOptions {
    RelayOptions {
        poll: Duration::from_millis(50),
        lease: Duration::from_millis(400),
        retry_base: Duration::from_millis(10),
        retry_max: Duration::from_millis(40),
        ..RelayOptions::default()
    }
}

pub(crate) fn event(context: &RequestContext, subject: &str, n: u64) -> DomainEvent {
    DomainEvent::new(context, "note.made", subject, json!({ "n": n }))
}

impl World {
    pub(crate) async fn new(test_db: TestDb) -> Self {
        let (db, events, trail) = Self::another(&test_db).await;
        Self { test_db, db, events, trail }
    }

    /// Handles as another process has them.
    pub(crate) async fn another(test_db: &TestDb) -> (Db, Events, Arc<Trail>) {
        let outbox = Arc::new(Outbox::new(catalogue(), Arc::new(SystemClock)));
        let trail = Arc::new(Trail::default());
        let participants: [Arc<dyn Participant>; 2] =
            [Arc::<Outbox>::clone(&outbox), Arc::<Trail>::clone(&trail)];
        let db = test_db.open(&participants).await;
        (db.clone(), Events::new(db, outbox, Arc::new(SystemClock)), trail)
    }

    pub(crate) async fn try_emit(&self, scope: Scope, events: Vec<DomainEvent>) -> Result<(), Error> {
        let emit = async move |tx: &mut Tx| {
            for event in &events {
                tx.emit(event.clone());
            }
            Ok::<_, Error>(())
        };
        self.db.transact(scope, emit).await
    }

    pub(crate) async fn emit(&self, subject: &str, n: u64) {
        self.try_emit(PLATFORM, vec![event(&system(), subject, n)]).await.unwrap();
    }

    /// Events of `subjects` in turn, `each` of each, in transactions of a hundred.
    pub(crate) async fn emit_many(&self, subjects: &[&str], each: u64) {
        let all: Vec<DomainEvent> = (1..=each)
            .flat_map(|n| subjects.iter().map(move |subject| event(&system(), subject, n)))
            .collect();
        for some in all.chunks(100) {
            self.try_emit(PLATFORM, some.to_vec()).await.unwrap();
        }
    }

    pub(crate) fn run(&self, relay: Relay) -> AtWork {
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(relay.run(async {
            let _ = stopped.await;
        }));
        AtWork { stop, task }
    }

    pub(crate) fn relay(&self, sink: &Arc<Recorder>) -> AtWork {
        self.run(Relay::new(self.events.clone(), Arc::<Recorder>::clone(sink), options()))
    }

    pub(crate) async fn counts(&self, name: &str) -> SubscriberCounts {
        let counts = self.events.counts().await.unwrap();
        counts.into_iter().find(|one| one.name == name).expect(name)
    }

    /// Waits until nothing is owed to `name`.
    pub(crate) async fn drained(&self, name: &str) {
        until("something stays owed", async || {
            let counts = self.counts(name).await;
            counts.owed + counts.held == 0
        })
        .await;
    }

    pub(crate) async fn count(&self, table: &'static str) -> i64 {
        let mut tx = self.test_db.begin_read(PLATFORM).await.unwrap();
        let mut sql = tx.builder("SELECT count(*) FROM ");
        sql.push(table);
        let count = tx.q_build(sql).scalar().await.unwrap();
        tx.rollback().await.unwrap();
        count
    }
}

/// A relay that runs until it is told to stop.
pub(crate) struct AtWork {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl AtWork {
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap();
    }

    /// From now on it does nothing and says nothing, as a process that was killed.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

type Answer = Box<dyn Fn(&Delivery) -> Outcome + Send + Sync>;

/// A broker that keeps what it is told in the order in which it came.
pub(crate) struct Recorder {
    name: &'static str,
    types: Types,
    answer: Mutex<Answer>,
    pub(crate) told: Mutex<Vec<Envelope>>,
    outage: Mutex<Option<&'static str>>,
    pub(crate) waves: AtomicUsize,
}

impl Recorder {
    pub(crate) fn new(name: &'static str) -> Arc<Self> {
        Self::answering(name, |_| Outcome::Delivered)
    }

    pub(crate) fn answering(
        name: &'static str,
        answer: impl Fn(&Delivery) -> Outcome + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            types: Types::All,
            answer: Mutex::new(Box::new(answer)),
            told: Mutex::default(),
            outage: Mutex::default(),
            waves: AtomicUsize::new(0),
        })
    }

    pub(crate) fn hearing(name: &'static str, types: &[&str]) -> Arc<Self> {
        let mut recorder = Arc::into_inner(Self::new(name)).unwrap();
        recorder.types = Types::named(types.iter().copied());
        Arc::new(recorder)
    }

    pub(crate) fn answer(&self, answer: impl Fn(&Delivery) -> Outcome + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    pub(crate) fn cut_off(&self, reason: Option<&'static str>) {
        *self.outage.lock().unwrap() = reason;
    }

    /// The numbers of the events about `subject`, as they came.
    pub(crate) fn numbers(&self, subject: &str) -> Vec<u64> {
        let told = self.told.lock().unwrap();
        told.iter().filter(|event| event.subject == subject).map(number).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.told.lock().unwrap().len()
    }
}

pub(crate) fn number(event: &Envelope) -> u64 {
    event.data["n"].as_u64().unwrap()
}

impl Sink for Recorder {
    fn name(&self) -> &str {
        self.name
    }

    fn types(&self) -> Types {
        self.types.clone()
    }

    fn deliver<'a>(&'a self, wave: &'a [Arc<Delivery>]) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            self.waves.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if let Some(reason) = *self.outage.lock().unwrap() {
                return Report::outage(reason);
            }
            let answer = self.answer.lock().unwrap();
            let outcomes: Vec<Outcome> = wave.iter().map(|delivery| answer(delivery)).collect();
            for (delivery, outcome) in wave.iter().zip(&outcomes) {
                if matches!(outcome, Outcome::Delivered) {
                    self.told.lock().unwrap().push(delivery.event.clone());
                }
            }
            Report::of(outcomes)
        })
    }
}

type Handler = Box<dyn Fn(&Envelope) -> Result<(), Refused> + Send + Sync>;

/// Answers every note with an event of its own in the same transaction, and does what it is told.
pub(crate) struct Echo {
    pub(crate) handle: Mutex<Handler>,
    pub(crate) calls: AtomicUsize,
}

impl Echo {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { handle: Mutex::new(Box::new(|_| Ok(()))), calls: AtomicUsize::new(0) })
    }

    pub(crate) fn does(&self, handle: impl Fn(&Envelope) -> Result<(), Refused> + Send + Sync + 'static) {
        *self.handle.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Box::new(handle);
    }
}

impl Subscriber for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn types(&self) -> Types {
        Types::named(["note.made"])
    }

    fn handle<'a>(&'a self, tx: &'a mut Tx, event: &'a Envelope) -> BoxFuture<'a, Result<(), Refused>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let data = json!({ "n": number(event), "of": event.id, "subject": event.subject });
            tx.emit(DomainEvent::new(&system(), "note.echoed", "echo", data));
            let handle = self.handle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            handle(event)
        })
    }
}

impl World {
    /// What was echoed, in the order of the echoes: subject and number.
    pub(crate) async fn echoes(&self) -> Vec<(String, u64)> {
        let mut tx = self.test_db.begin_read(PLATFORM).await.unwrap();
        let rows: Vec<(String,)> =
            tx.q("SELECT data FROM events WHERE type = 'note.echoed' ORDER BY sequence").all().await.unwrap();
        tx.rollback().await.unwrap();
        let read = |(text,): (String,)| {
            let data: Value = serde_json::from_str(&text).unwrap();
            (data["subject"].as_str().unwrap().to_owned(), data["n"].as_u64().unwrap())
        };
        rows.into_iter().map(read).collect()
    }

    pub(crate) fn echo_relay(&self, echo: &Arc<Echo>) -> AtWork {
        let echo: Arc<dyn Subscriber> = Arc::<Echo>::clone(echo);
        self.run(Relay::to_subscriber(self.events.clone(), echo, options()))
    }
}
