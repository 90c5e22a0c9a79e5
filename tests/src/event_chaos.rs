//! Events under kills: real writer and relay processes on one database and one broker, killed and frozen at every step, while
//! the broker itself goes away and comes back.
//!
//! A writer's transaction makes rows of `chaos_facts`, one for each event it emits, so that the database itself says what was
//! committed; writers die just before and just after their commits. Relays strike themselves at every step of a delivery
//! ([`relaying::Point`]), and are struck from outside at any time. The driver reads a durable queue throughout and holds what came
//! against the facts ([`evidence`]); a subscriber in the relays' process leaves a row for each event, which must be one.

mod crew;
mod evidence;
mod note;
mod relaying;
mod task;
mod witness;
mod writer;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use stylobate_core::SystemClock;
use stylobate_db::{Db, Participant, Scope};
use stylobate_events::{Events, MIGRATIONS, Outbox, Sink as _, Types};
use stylobate_testkit::TestDb;

use crew::Crew;
pub use evidence::Findings;
use note::{EXCHANGE, Held, KIND};
use relaying::HEARER;
pub use task::work;
use witness::Witness;
use writer::Writing;

use crate::{BrokerHost, Engine, PATIENCE};

const SCOPE: Scope = Scope::Platform("chaos");
/// Short: the more often it runs out, the more is proven.
const LEASE: Duration = Duration::from_millis(500);
const QUEUE: &str = "witness";
/// How many processes write at once.
const WRITERS: u32 = 3;
const RELAYS: u32 = 2;

/// How much is done to how many events.
#[derive(Debug, Clone, Copy)]
pub struct EventChaos {
    /// On which engine.
    pub engine: Engine,
    /// How often writers tell something; in each round one of them dies right after a commit.
    pub rounds: u32,
    /// How many events are emitted in a round, about a tenth of them in vain.
    pub events_per_round: u32,
    /// How many relays are killed at least; freezes come on top. Rounds are added until they are.
    pub kills: u32,
    /// The kind of the broker's queue: `classic` or `quorum`.
    pub queue: &'static str,
    /// Repeats the run, as far as processes can.
    pub seed: u64,
}

/// What was done and what came of it.
#[derive(Debug)]
pub struct EventReport {
    /// How many relays were killed.
    pub kills: u32,
    /// How often relays were frozen for longer than a lease from outside.
    pub freezes: u32,
    /// How often for less.
    pub pauses: u32,
    /// How often the broker went away and came back.
    pub restarts: u32,
    /// What the evidence says.
    pub findings: Findings,
    /// How long it took.
    pub took: Duration,
}

impl EventReport {
    /// Whether every promise was kept.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.problems.is_empty()
    }
}

impl std::fmt::Display for EventReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kills, freezes, pauses, restarts, findings, took } = self;
        write!(
            f,
            "{restarts} restarts of the broker, {kills} kills of a relay, {freezes} freezes longer than its lease and {pauses} \
             shorter in {:.0} s; {findings}",
            took.as_secs_f64()
        )
    }
}

impl EventChaos {
    /// Runs it. `outage` is called beside every round with its number; it may take the broker away and bring it back, and says
    /// whether it did.
    ///
    /// # Panics
    /// When the database, the broker or the worker program cannot be used at all.
    pub async fn run(self, mut outage: impl AsyncFnMut(u32, &BrokerHost) -> bool) -> EventReport {
        let begun = Instant::now();
        let db = match self.engine {
            Engine::Sqlite => TestDb::sqlite(&[&MIGRATIONS]).await,
            Engine::Postgres => TestDb::postgres(&[&MIGRATIONS]).await,
        };
        note::prepare(&db.open_as_owner().await).await;
        let host = BrokerHost::new();
        host.declare(EXCHANGE, QUEUE, self.queue, None).await;
        let outbox = Arc::new(Outbox::new(note::catalogue(), Arc::new(SystemClock)));
        let participants: [Arc<dyn Participant>; 1] = [Arc::<Outbox>::clone(&outbox)];
        let events = Events::new(db.open(&participants).await, outbox, Arc::new(SystemClock));
        let publisher = relaying::publisher(host.url());
        for (name, types) in [(publisher.name(), publisher.types()), (HEARER, Types::named([KIND]))] {
            events.subscribe(name, &types).await.expect("a subscriber to be registered");
        }

        let witness = Witness::start(host.url(), QUEUE);
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut crew = Crew::start(RELAYS, db.url(), host.url(), LEASE, random.u64(..));
        let (mut round, mut freezes, mut pauses, mut restarts) = (0, 0, 0, 0);
        while round < self.rounds || crew.kills < self.kills {
            let is_out = outage(round, &host);
            let strike = async {
                self.write(&mut crew, round, &mut random);
                tokio::time::sleep(Duration::from_millis(random.u64(..400))).await;
                match round % 5 {
                    1 => crew.kill(random.usize(..)),
                    2 => {
                        crew.pause(random.usize(..));
                        pauses += 1;
                    }
                    3 => {
                        crew.freeze(random.usize(..));
                        freezes += 1;
                    }
                    _ => {}
                }
                crew.written().await;
                // Relays that die are replaced as soon as whoever starts them looks.
                for _ in 0..random.u32(2..=6) {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    crew.replace_dead();
                }
            };
            let (was_out, ()) = tokio::join!(is_out, strike);
            restarts += u32::from(was_out);
            round += 1;
        }
        crew.calm().await;
        self.settled(&db, &events, &mut crew, &witness).await;
        let mut left = owed(&events).await;
        let waiting = host.waiting(QUEUE).await;
        if waiting.as_ref().ok() != Some(&0) {
            left.push(format!("the witness has not read all of its queue: {waiting:?}"));
        }
        let (kills, problems) = (crew.kills, std::mem::take(&mut crew.problems));
        let lines = crew.end();
        let held = Held::read(&db).await.expect("the evidence to be read");
        let mut findings = Findings::judge(&held, &witness.end(), &lines);
        for problem in problems.into_iter().chain(left) {
            findings.problem(problem);
        }
        EventReport { kills, freezes, pauses, restarts, findings, took: begun.elapsed() }
    }

    /// Has the writers of a round begin.
    fn write(self, crew: &mut Crew, round: u32, random: &mut fastrand::Rng) {
        let share = self.events_per_round.div_ceil(WRITERS).max(1);
        for place in 0..WRITERS {
            let writer = round * WRITERS + place;
            let (from, crash) = (writer * share + 1, crew::crash_of(round, place));
            crew.write(Writing { writer, from, to: from + share, seed: random.u64(..), crash });
        }
    }

    /// Waits until all has been told, for as long as there is progress, and then for copies that come late.
    async fn settled(self, db: &Db, events: &Events, crew: &mut Crew, witness: &Witness) {
        let (mut most, mut since) = ((0, 0), Instant::now());
        loop {
            crew.replace_dead();
            let (facts, heard) = note::counts(db).await.unwrap_or_default();
            if facts > 0 && heard >= facts && owed(events).await.is_empty() {
                break;
            }
            let now = (heard, witness.count());
            if now > most {
                (most, since) = (now, Instant::now());
            }
            // The findings tell what is missing.
            if since.elapsed() > PATIENCE {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (mut count, mut quiet) = (witness.count(), Instant::now());
        while quiet.elapsed() < LEASE * 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if witness.count() > count {
                (count, quiet) = (witness.count(), Instant::now());
            }
        }
    }
}

/// What is still owed or was given up, in words.
async fn owed(events: &Events) -> Vec<String> {
    let counts = match events.counts().await {
        Ok(counts) => counts,
        Err(error) => return vec![format!("what is owed cannot be counted: {error}")],
    };
    let is_left = |one: &&stylobate_events::SubscriberCounts| one.owed + one.held + one.dead > 0;
    counts
        .iter()
        .filter(is_left)
        .map(|one| {
            format!("{} is owed {}, of {} held up, and {} given up", one.name, one.owed, one.held, one.dead)
        })
        .collect()
}
