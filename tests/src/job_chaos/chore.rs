use std::{env, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use stylobate_core::SystemClock;
use stylobate_db::{Db, DbOptions, Tx};
use stylobate_jobs::{
    Attempt, Backoff, Failed, Job, Jobs, JobsError, Registry, Retention, Unique, Worker, WorkerOptions,
};

use crate::strike::{Strike, write_line};

/// What the killed workers do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Chore {
    pub(super) n: u32,
    pub(super) millis: u64,
    /// Whether its effect and its end are one transaction.
    pub(super) in_transaction: bool,
    /// What its first attempt does to its own process, and where.
    pub(super) strike: Option<(Point, Strike)>,
}

/// Where in an attempt its process is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Point {
    /// The claim is committed, and nothing has been done.
    Begun,
    /// The effect is written and not committed.
    EffectWritten,
    /// So is the end of the job.
    EndWritten,
    /// Both are committed, and the worker does not know.
    Committed,
    /// The handler has returned, and its end is on its way to the database.
    Returned,
}

impl Point {
    const ALL: [Self; 5] =
        [Self::Begun, Self::EffectWritten, Self::EndWritten, Self::Committed, Self::Returned];

    /// The `n`th, round and round.
    pub(super) fn nth(n: u32) -> Self {
        Self::ALL[n as usize % Self::ALL.len()]
    }
}

impl Chore {
    /// Mostly short; one in thirty is about as long as a lease.
    pub(super) fn random(n: u32, random: &mut fastrand::Rng) -> Self {
        let millis = if random.u8(..30) == 0 { random.u64(500..1_500) } else { random.u64(0..40) };
        Self { n, millis, in_transaction: random.u8(..3) == 0, strike: None }
    }

    /// Its key, and how many of that may run at once: one for a tenth of all, two for another.
    pub(super) fn place(&self) -> Option<(String, usize)> {
        match self.n % 10 {
            0 => Some((format!("account-{}", self.n / 10 % 16), 1)),
            5 => Some((format!("pair-{}", self.n / 10 % 8), 2)),
            _ => None,
        }
    }

    /// Whether it is asked for as [`InPairs`].
    pub(super) fn is_in_pairs(&self) -> bool {
        self.place().is_some_and(|(_, places)| places == 2)
    }

    /// Strikes its process at `point`.
    pub(super) fn striking(mut self, point: Point, strike: Strike) -> Self {
        self.in_transaction = matches!(point, Point::EffectWritten | Point::EndWritten | Point::Committed);
        self.strike = Some((point, strike));
        self
    }

    fn reach(&self, point: Point, attempt: &Attempt) {
        match self.strike {
            Some((at, strike)) if at == point && attempt.number() == 1 => strike.happen(),
            _ => {}
        }
    }
}

/// The same, and two of one key may run at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct InPairs(pub(super) Chore);

impl Job for InPairs {
    const NAME: &'static str = "chaos.in_pairs";
    const ATTEMPTS_MAX: u16 = Chore::ATTEMPTS_MAX;
    const BACKOFF: Backoff = Chore::BACKOFF;
    const KEY_LIMIT: u16 = 2;
    type State = ();
    type Output = u32;
    type Error = Failed;

    fn key(&self) -> Option<String> {
        self.0.key()
    }

    fn unique(&self) -> Option<Unique> {
        self.0.unique()
    }

    async fn run(self, attempt: Attempt, (): ()) -> Result<u32, Failed> {
        self.0.run(attempt, ()).await
    }
}

impl Job for Chore {
    const NAME: &'static str = "chaos.chore";
    const ATTEMPTS_MAX: u16 = 1_000;
    const BACKOFF: Backoff = Backoff { base: Duration::from_millis(10), max: Duration::from_millis(50) };
    type State = ();
    type Output = u32;
    type Error = Failed;

    fn key(&self) -> Option<String> {
        self.place().map(|(key, _)| key)
    }

    fn unique(&self) -> Option<Unique> {
        Some(Unique::within(self.n.to_string(), chrono::TimeDelta::days(1)))
    }

    async fn run(self, attempt: Attempt, (): ()) -> Result<u32, Failed> {
        say("begin", &attempt);
        self.reach(Point::Begun, &attempt);
        tokio::time::sleep(Duration::from_millis(self.millis)).await;
        if self.in_transaction {
            self.complete(&attempt).await?;
            self.reach(Point::Committed, &attempt);
        }
        say("end", &attempt);
        if self.strike.is_some_and(|(point, _)| point == Point::Returned) {
            let (own, attempt) = (self.clone(), attempt.clone());
            // Within the few milliseconds that it takes to write the end, or before, or after.
            let soon = Duration::from_micros(fastrand::u64(..5_000));
            tokio::spawn(async move {
                tokio::time::sleep(soon).await;
                own.reach(Point::Returned, &attempt);
            });
        }
        Ok(self.n)
    }
}

impl Chore {
    /// Until the database has taken it, or says that the job is somebody else's by now. A commit that was never answered may
    /// have arrived: then the lease is gone with it.
    async fn complete(&self, attempt: &Attempt) -> Result<(), Failed> {
        loop {
            let (own, chore) = (attempt.clone(), self.clone());
            let complete = async move |tx: &mut Tx| {
                tx.q("INSERT INTO chaos_effects (job, attempt) VALUES ($1, $2)")
                    .bind(own.id().as_uuid())
                    .bind(i64::from(own.number()))
                    .run()
                    .await?;
                chore.reach(Point::EffectWritten, &own);
                own.complete_in(tx, &chore.n).await?;
                chore.reach(Point::EndWritten, &own);
                Ok(())
            };
            match attempt.db().transact(attempt.scope(), complete).await {
                Ok(()) => return Ok(()),
                Err(JobsError::LeaseLost) => {
                    say("late", attempt);
                    return Err(Failed::retry("too late"));
                }
                Err(_) if attempt.should_stop() => return Err(Failed::retry("stopped")),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// One line, there even if the process is killed after it.
fn say(what: &str, attempt: &Attempt) {
    write_line(&format!("{what} {} {}", attempt.id(), attempt.number()));
}

/// Works until the process is killed. It also keeps the queue up, as every process of a deployment may.
///
/// # Panics
/// When the environment or the database cannot be used.
pub async fn work() {
    let named = |name: &str| {
        let name = format!("STYLOBATE_CHAOS_{name}");
        env::var(&name).unwrap_or_else(|_| panic!("{name} is not set"))
    };
    let lease = Duration::from_millis(named("LEASE_MS").parse().expect("milliseconds"));
    let options = DbOptions { connections_max: 8, ..DbOptions::default() };
    let db = loop {
        // PostgreSQL may be away just now.
        match Db::builder(&named("DATABASE"), options.clone())
            .without_audit()
            .without_events()
            .connect()
            .await
        {
            Ok(db) => break db,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    let jobs = Jobs::new(db, Arc::new(SystemClock));
    let options = WorkerOptions {
        name: named("NAME"),
        queues: vec![("default".to_owned(), 16)],
        lease,
        poll: Duration::from_millis(200),
        ..WorkerOptions::default()
    };
    let worker = Worker::new(jobs.clone(), Registry::new().with::<Chore>(()).with::<InPairs>(()), options);
    tokio::join!(
        worker.run(std::future::pending()),
        jobs.keep_up(lease, Retention::default(), std::future::pending())
    );
}
