//! Jobs under kills: real worker processes on one database, killed, frozen and thawed at random, while the database itself
//! keeps the evidence.
//!
//! A trigger notes every step of every row of `jobs` with the time ([`evidence`]), so that what is judged is what the
//! database did and not what a worker believes. A third of the handlers do their work in the transaction that ends the
//! job; some have keys, of which one or two may run at once. Workers are struck from outside at random, and by their own hand at every step of an attempt ([`chore::Point`]). The
//! driver takes part as what a deployment has beside its workers: it asks for jobs, and keeps the queue up.

mod chore;
mod crew;
mod evidence;

use std::time::{Duration, Instant};

use stylobate_core::SystemClock;
use stylobate_db::{Db, Scope, Tx};
use stylobate_jobs::{Jobs, JobsError, MIGRATIONS, Request, Retention};
use stylobate_testkit::TestDb;
use tokio::sync::oneshot;

pub use chore::work;
use chore::{Chore, InPairs};
use crew::{Crew, Fault};
pub use evidence::Findings;
use evidence::{Excuses, Window};

use crate::{
    Engine, PATIENCE,
    strike::{Strike, now_ms},
};

const SCOPE: Scope = Scope::Platform("chaos");
/// The shortest there is: the more often it runs out, the more is proven.
const LEASE: Duration = Duration::from_secs(1);
/// What is asked for in transactions that are rolled back is numbered from here.
const NEVER: u32 = 1_000_000;

/// How much is done to how many jobs.
#[derive(Debug, Clone, Copy)]
pub struct JobChaos {
    /// On which engine.
    pub engine: Engine,
    /// How many workers are killed at least; freezes come on top.
    pub kills: u32,
    /// How many jobs are asked for before each kill, freeze or pause.
    pub jobs_per_round: u32,
    /// Repeats the run, as far as processes can.
    pub seed: u64,
}

/// What was done and what came of it.
#[derive(Debug)]
pub struct JobReport {
    /// How many jobs were asked for.
    pub jobs: u32,
    /// How many workers were killed.
    pub kills: u32,
    /// How many were stopped for less than a lease.
    pub pauses: u32,
    /// How many were stopped for longer than a lease.
    pub freezes: u32,
    /// How often the database itself went away.
    pub outages: usize,
    /// What the evidence says.
    pub findings: Findings,
    /// How long it took.
    pub took: Duration,
}

impl JobReport {
    /// Whether every promise was kept, but for how soon.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.problems.is_empty()
    }

    /// Whether every job of a worker that was gone was taken from it within two leases, but for those that a frozen
    /// transaction held. A machine that is busy with other things can be later.
    #[must_use]
    pub fn is_prompt(&self) -> bool {
        self.findings.tardy.is_empty()
    }
}

impl std::fmt::Display for JobReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { jobs, kills, pauses, freezes, outages, findings, took } = self;
        write!(
            f,
            "{kills} kills, {freezes} freezes longer than a lease, {pauses} shorter, {outages} outages of the database over \
             {jobs} jobs in {:.0} s: {findings}",
            took.as_secs_f64()
        )
    }
}

impl JobChaos {
    /// Runs it. `outage` is called before every round with its number; it may take the database away and bring it back, and
    /// says whether it did.
    ///
    /// # Panics
    /// When the database or the worker program cannot be used at all.
    pub async fn run(self, mut outage: impl AsyncFnMut(u32) -> bool) -> JobReport {
        let begun = Instant::now();
        let db = match self.engine {
            Engine::Sqlite => TestDb::sqlite(&[&MIGRATIONS]).await,
            Engine::Postgres => TestDb::postgres(&[&MIGRATIONS]).await,
        };
        let owner = db.open_as_owner().await;
        evidence::prepare(&owner).await;
        let jobs = Jobs::new((*db).clone(), std::sync::Arc::new(SystemClock));
        let (stop, stopped) = oneshot::channel::<()>();
        let keeper = jobs.clone();
        let keeper = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            keeper.keep_up(LEASE, Retention::default(), stopped).await;
        });

        let mut random = fastrand::Rng::with_seed(self.seed);
        let workers = if self.engine == Engine::Sqlite { 2 } else { 3 };
        let mut crew = Crew::start(workers, db.url(), LEASE);
        let (mut round, mut pauses, mut freezes) = (0, 0, 0);
        let (mut outages, mut stopped) = (Vec::new(), Vec::new());
        while crew.kills() < self.kills {
            if Fault::begins_calm(round) {
                // When all is done, who stopped itself has been silent for a lease and goes on soon.
                settled(&db, &mut crew, round * self.jobs_per_round).await;
                tokio::time::sleep(LEASE).await;
                stopped.extend(crew.thaw_all().await);
            }
            let from = now_ms();
            if outage(round).await {
                outages.push(Window { from, to: now_ms() });
            }
            let fault = Fault::of_round(round);
            let frozen = LEASE.mul_f64(1.3 + random.f64());
            let mut asked = chores(round * self.jobs_per_round, self.jobs_per_round, &mut random);
            let strike = match fault {
                Fault::KillAt(point) => Some((point, Strike::Kill)),
                Fault::FreezeAt(point) => Some((point, Strike::Freeze(frozen.as_millis() as u64))),
                Fault::Kill | Fault::Pause | Fault::Freeze => None,
            };
            if let Some((point, strike)) = strike
                // With a key and without.
                && let Some(one) = asked.get_mut(round as usize % 7)
            {
                *one = one.clone().striking(point, strike);
            }
            ask(&db, &jobs, &asked).await;
            ask_and_roll_back(&db, &jobs, NEVER + round).await;
            tokio::time::sleep(Duration::from_millis(random.u64(0..150))).await;
            match fault {
                Fault::Kill => crew.kill(random.usize(..)),
                Fault::Pause => {
                    crew.stop(random.usize(..), LEASE.mul_f64(0.1 + random.f64() * 0.4));
                    pauses += 1;
                }
                Fault::Freeze => {
                    crew.stop(random.usize(..), frozen);
                    freezes += 1;
                }
                Fault::FreezeAt(_) => freezes += 1,
                Fault::KillAt(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(random.u64(0..150))).await;
            crew.replace_dead();
            round += 1;
        }
        let jobs_asked = round * self.jobs_per_round;
        settled(&db, &mut crew, jobs_asked).await;
        // Whoever still sleeps wakes up to find that everything has been done without it.
        stopped.extend(crew.thaw_all().await);
        tokio::time::sleep(LEASE).await;
        let kills = crew.kills();
        let (lines, ends) = crew.end();
        let _ = stop.send(());
        keeper.await.expect("the keeper not to panic");
        jobs.draw_counts().await.expect("the counts to be drawn");
        let mut findings =
            evidence::judge(&db, jobs_asked, LEASE, Excuses::new(outages.clone(), stopped, &lines), &lines)
                .await;
        findings.check_counts(&db, &jobs).await;
        for end in ends {
            findings.problem(end);
        }
        JobReport {
            jobs: jobs_asked,
            kills,
            pauses,
            freezes,
            outages: outages.len(),
            findings,
            took: begun.elapsed(),
        }
    }
}

/// `many` from the number `first` on.
fn chores(first: u32, many: u32, random: &mut fastrand::Rng) -> Vec<Chore> {
    (first..first + many).map(|n| Chore::random(n, random)).collect()
}

/// Asks until the database has acknowledged it. Whether a commit arrived that was never answered nobody knows; each number
/// is unique, so asking again adds nothing.
async fn ask(db: &Db, jobs: &Jobs, chores: &[Chore]) {
    let began = Instant::now();
    loop {
        let (pairs, chores): (Vec<_>, Vec<_>) = chores.iter().cloned().partition(Chore::is_in_pairs);
        let (jobs, pairs) = (jobs.clone(), pairs.into_iter().map(InPairs).collect::<Vec<_>>());
        let ask = async move |tx: &mut Tx| {
            jobs.enqueue_many(tx, &pairs, Request::default()).await?;
            jobs.enqueue_many(tx, &chores, Request::default()).await
        };
        match db.transact(SCOPE, ask).await {
            Ok(_) => return,
            Err(error) => assert!(began.elapsed() < PATIENCE, "jobs cannot be asked for: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks for a job that must never run. A database that is away rolls back as well.
async fn ask_and_roll_back(db: &Db, jobs: &Jobs, n: u32) {
    let Ok(mut tx) = db.begin(SCOPE).await else { return };
    let chore = Chore { n, millis: 0, in_transaction: false, strike: None };
    if jobs.enqueue(&mut tx, &chore).await.is_ok() {
        let _ = tx.rollback().await;
    }
}

/// Waits until all are done, for as long as there is progress.
async fn settled(db: &Db, crew: &mut Crew, asked: u32) {
    let (mut most, mut since) = (0, Instant::now());
    loop {
        crew.replace_dead();
        let done = completed(db).await.unwrap_or(most);
        if done >= i64::from(asked) {
            return;
        }
        if done > most {
            (most, since) = (done, Instant::now());
        }
        // The findings tell what is missing.
        if since.elapsed() > PATIENCE {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn completed(db: &Db) -> Result<i64, JobsError> {
    let mut tx = db.begin_read(SCOPE).await?;
    let done = tx.q("SELECT count(*) FROM jobs WHERE state = 'completed'").scalar().await?;
    tx.rollback().await?;
    Ok(done)
}
