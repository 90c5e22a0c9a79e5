use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    time::Duration,
};

use stylobate_db::{Db, Sql, Tx};
use stylobate_jobs::{Jobs, State, Step};
use uuid::Uuid;

use super::{NEVER, SCOPE, chore::Chore};

/// From when to when, in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Window {
    /// How much of it lies within `other`.
    fn within(self, other: Self) -> i64 {
        (self.to.min(other.to) - self.from.max(other.from)).max(0)
    }
}

/// When it may have been that nobody could take a job.
#[derive(Debug, Default)]
pub(super) struct Excuses {
    /// The database was away.
    pub(super) outages: Vec<Window>,
    /// A worker was stopped. If that came in the middle of a transaction, it held its rows, and on SQLite everybody's.
    pub(super) freezes: Vec<Window>,
}

impl Excuses {
    /// What the driver knows, and what workers have said that stopped themselves.
    pub(super) fn new(outages: Vec<Window>, mut freezes: Vec<Window>, lines: &[String]) -> Self {
        freezes.extend(lines.iter().filter_map(|line| {
            let (from, to) = line.strip_prefix("frozen ")?.split_once(' ')?;
            Some(Window { from: from.parse().ok()?, to: to.parse().ok()? })
        }));
        Self { outages: merged(outages), freezes: merged(freezes) }
    }
}

/// The same time in windows that do not overlap.
fn merged(mut windows: Vec<Window>) -> Vec<Window> {
    windows.sort_by_key(|window| window.from);
    let mut apart: Vec<Window> = Vec::new();
    for window in windows {
        match apart.last_mut() {
            Some(last) if window.from <= last.to => last.to = last.to.max(window.to),
            _ => apart.push(window),
        }
    }
    apart
}

/// Where the database notes every step of a job and every sign of life, beside effects of handlers.
const TABLES: [Sql; 2] = [
    Sql::Per {
        pg: "CREATE TABLE chaos_steps (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, job uuid NOT NULL, \
             before text NOT NULL, after text NOT NULL, attempt bigint NOT NULL, at_ms bigint NOT NULL)",
        lite: "CREATE TABLE chaos_steps (id INTEGER PRIMARY KEY, job BLOB NOT NULL, before TEXT NOT NULL, \
               after TEXT NOT NULL, attempt INTEGER NOT NULL, at_ms INTEGER NOT NULL) STRICT",
    },
    Sql::Per {
        pg: "CREATE TABLE chaos_effects (job uuid NOT NULL, attempt bigint NOT NULL)",
        lite: "CREATE TABLE chaos_effects (job BLOB NOT NULL, attempt INTEGER NOT NULL) STRICT",
    },
];

const POSTGRES: [&str; 3] = [
    "GRANT SELECT, INSERT ON chaos_steps, chaos_effects TO PUBLIC",
    "CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     INSERT INTO chaos_steps (job, before, after, attempt, at_ms) VALUES (OLD.id, OLD.state, NEW.state, NEW.attempt, \
     CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)); RETURN NULL; END $$",
    "CREATE TRIGGER chaos_note AFTER UPDATE ON jobs FOR EACH ROW \
     WHEN (OLD.state <> NEW.state OR (OLD.beat <> NEW.beat AND NEW.lease_token IS NOT NULL)) EXECUTE FUNCTION chaos_note()",
];

const SQLITE: &str = "CREATE TRIGGER chaos_note AFTER UPDATE ON jobs \
     WHEN OLD.state <> NEW.state OR (OLD.beat <> NEW.beat AND NEW.lease_token IS NOT NULL) BEGIN \
     INSERT INTO chaos_steps (job, before, after, attempt, at_ms) VALUES (OLD.id, OLD.state, NEW.state, NEW.attempt, \
     CAST(unixepoch('subsec') * 1000 AS INTEGER)); END";

/// Makes the tables and the trigger, as the owner of `jobs`.
pub(super) async fn prepare(owner: &Db) {
    let prepare = async |tx: &mut Tx| {
        for table in TABLES {
            tx.q(table).run().await?;
        }
        match tx.engine() {
            stylobate_db::Engine::Postgres => {
                for statement in POSTGRES {
                    tx.q(statement).run().await?;
                }
            }
            stylobate_db::Engine::Sqlite => {
                tx.q(SQLITE).run().await?;
            }
        }
        Ok::<_, stylobate_db::Error>(())
    };
    owner.transact(SCOPE, prepare).await.expect("the tables of the evidence");
}

#[derive(sqlx::FromRow)]
struct StepRow {
    job: Uuid,
    before: String,
    after: String,
    attempt: i64,
    at_ms: i64,
}

/// What the evidence says.
#[derive(Debug, Default)]
pub struct Findings {
    /// Every broken promise, in words; none when all were kept.
    pub problems: Vec<String>,
    /// How many jobs were lost.
    pub lost: usize,
    /// How many were completed more than once.
    pub completed_twice: usize,
    /// Every job that was taken later than two leases after the last sign of life, in words.
    pub tardy: Vec<String>,
    /// How often a job was taken from a worker that was not heard of.
    pub reclaims: usize,
    /// How many jobs were begun more than once.
    pub begun_again: usize,
    /// How often a worker wanted to end a job that it had lost, and could not.
    pub late: usize,
    /// For how many of the reclaims no worker had been frozen since the last sign of life. These have no excuse but an outage.
    pub calm: usize,
    /// How long after its last sign of life the slowest of these was taken from its worker, outages left out.
    pub slowest: Duration,
    /// The same of all others that were not held.
    pub slowest_in_storm: Duration,
    /// How many were taken later than two leases because a worker that was frozen in the middle of a transaction held them.
    pub held: usize,
    /// How soon the soonest was.
    pub soonest: Duration,
    /// How many jobs did their work and ended in one transaction.
    pub effects: usize,
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lost, {} completed twice, {} begun again, {} late results refused, slowest reclaim {} ms after the last \
             sign of life (of {} while no worker was frozen; soonest {} ms; of {} with a frozen worker {} ms, and {} held by \
             a frozen transaction), {} effects in the ending transaction, problems {:?}, taken later than two leases {:?}",
            self.lost,
            self.completed_twice,
            self.begun_again,
            self.late,
            self.slowest.as_millis(),
            self.calm,
            self.soonest.as_millis(),
            self.reclaims - self.calm,
            self.slowest_in_storm.as_millis(),
            self.held,
            self.effects,
            self.problems,
            self.tardy
        )
    }
}

impl Findings {
    pub(super) fn problem(&mut self, text: String) {
        // The first few tell what is wrong; thousands would hide it.
        if self.problems.len() < 20 {
            self.problems.push(text);
        }
    }

    fn late_reclaim(&mut self, text: String) {
        if self.tardy.len() < 20 {
            self.tardy.push(text);
        }
    }

    /// The counts are what the rows are.
    pub(super) async fn check_counts(&mut self, db: &Db, jobs: &Jobs) {
        let told = jobs.counts().await.expect("the counts");
        let told: BTreeMap<State, u64> =
            told.into_iter().filter(|(_, jobs)| *jobs > 0).map(|((_, state), jobs)| (state, jobs)).collect();
        let mut tx = db.begin_read(SCOPE).await.expect("the database");
        let rows: Vec<(String, i64)> =
            tx.q("SELECT state, count(*) FROM jobs GROUP BY state").all().await.expect("the rows");
        tx.rollback().await.expect("the database");
        let real: BTreeMap<State, u64> = rows
            .into_iter()
            .map(|(state, jobs)| (state.parse().expect("a state"), jobs.unsigned_abs()))
            .collect();
        if told != real {
            self.problem(format!("the counts say {told:?}, the rows {real:?}"));
        }
    }
}

/// Holds what happened against what was promised.
pub(super) async fn judge(
    db: &Db,
    asked: u32,
    lease: Duration,
    excuses: Excuses,
    lines: &[String],
) -> Findings {
    let mut tx = db.begin_read(SCOPE).await.expect("the database");
    let rows: Vec<(Uuid, String, String)> =
        tx.q("SELECT id, payload, state FROM jobs").all().await.expect("the jobs");
    let steps: Vec<StepRow> = tx
        .q("SELECT job, before, after, attempt, at_ms FROM chaos_steps ORDER BY id")
        .all()
        .await
        .expect("the steps");
    let effects: Vec<(Uuid, i64)> =
        tx.q("SELECT job, attempt FROM chaos_effects").all().await.expect("the effects");
    tx.rollback().await.expect("the database");

    let mut findings = Findings { effects: effects.len(), soonest: Duration::MAX, ..Findings::default() };
    let chores: HashMap<Uuid, (Chore, String)> = rows
        .into_iter()
        .map(|(id, payload, state)| (id, (serde_json::from_str(&payload).expect("a chore"), state)))
        .collect();
    findings.check_rows(&chores, asked);
    findings.check_effects(&chores, &effects);
    findings.check_places(&chores, &steps);

    let mut lives: HashMap<Uuid, Vec<StepRow>> = HashMap::new();
    for step in steps {
        lives.entry(step.job).or_default().push(step);
    }
    for (id, (chore, _)) in &chores {
        let life = lives.get(id).map_or(&[][..], Vec::as_slice);
        findings.check_life(chore.n, life, lease, &excuses);
    }
    if findings.reclaims == 0 {
        findings.soonest = Duration::ZERO;
    }
    findings.count_late(&chores, lines);
    findings
}

impl Findings {
    /// Nothing is lost, nothing is there twice, and nothing is there that was rolled back.
    fn check_rows(&mut self, chores: &HashMap<Uuid, (Chore, String)>, asked: u32) {
        let mut seen = HashSet::new();
        for (chore, state) in chores.values() {
            if chore.n >= NEVER {
                self.problem(format!("job {} was rolled back and is there", chore.n));
            } else if !seen.insert(chore.n) {
                self.problem(format!("job {} is there twice", chore.n));
            }
            if state != "completed" {
                self.lost += 1;
                self.problem(format!("job {} is {state}", chore.n));
            }
        }
        for n in (0..asked).filter(|n| !seen.contains(n)) {
            self.lost += 1;
            self.problem(format!("job {n} is lost"));
        }
    }

    /// What was done in the ending transaction was done exactly once.
    fn check_effects(&mut self, chores: &HashMap<Uuid, (Chore, String)>, effects: &[(Uuid, i64)]) {
        let mut counted: HashMap<Uuid, usize> = HashMap::new();
        for (id, _) in effects {
            *counted.entry(*id).or_default() += 1;
        }
        for (id, (chore, _)) in chores {
            let (wanted, got) = (usize::from(chore.in_transaction), counted.get(id).copied().unwrap_or(0));
            if wanted != got {
                self.problem(format!("job {} has {got} effects, not {wanted}", chore.n));
            }
        }
    }

    /// No more jobs of one key were leased at once than may be: a claim is noted after the end that made room for it.
    fn check_places(&mut self, chores: &HashMap<Uuid, (Chore, String)>, steps: &[StepRow]) {
        let mut leased: HashMap<String, HashSet<Uuid>> = HashMap::new();
        for step in steps {
            let Some((key, most)) = chores.get(&step.job).and_then(|(chore, _)| chore.place()) else {
                continue;
            };
            let jobs = leased.entry(key.clone()).or_default();
            if step.after != State::Leased.to_string() {
                jobs.remove(&step.job);
            } else if jobs.insert(step.job) && jobs.len() > most {
                let many = jobs.len();
                self.problem(format!("{many} jobs of {key} were leased at once"));
            }
        }
    }

    /// Every step is one of the table of states; the job completed once; and before every attempt but the first a lease ran
    /// out, neither sooner nor much later.
    fn check_life(&mut self, n: u32, life: &[StepRow], lease: Duration, excuses: &Excuses) {
        let (mut state, mut completions, mut claims, mut heard_at) = (State::Available, 0, 0, 0);
        for step in life {
            let (before, after) = (step.before.parse(), step.after.parse());
            let (Ok(before), Ok(after)): (Result<State, _>, Result<State, _>) = (before, after) else {
                self.problem(format!("job {n} went from {} to {}", step.before, step.after));
                continue;
            };
            if before != state {
                self.problem(format!("job {n} was {state} and left {before}"));
            }
            state = after;
            match (before, after) {
                (State::Leased, State::Leased) => {}
                (State::Leased, State::Completed) => completions += 1,
                (State::Leased, State::Retryable) => {
                    self.reclaims += 1;
                    let silence = Window { from: heard_at, to: step.at_ms };
                    self.check_reclaim(n, silence, lease, excuses);
                }
                (_, State::Leased) if before.after(Step::Claim, true) == Some(State::Leased) => {
                    claims += 1;
                    if step.attempt != claims {
                        self.problem(format!("claim {claims} of job {n} counted as {}", step.attempt));
                    }
                }
                _ => self.problem(format!("job {n} went from {before} to {after}")),
            }
            heard_at = step.at_ms;
        }
        self.completed_twice += usize::from(completions > 1);
        if completions != 1 {
            self.problem(format!("job {n} completed {completions} times"));
        }
        self.begun_again += usize::from(claims > 1);
    }

    fn check_reclaim(&mut self, n: u32, silence: Window, lease: Duration, excuses: &Excuses) {
        let whole = silence.to - silence.from;
        let overlap = |windows: &[Window]| windows.iter().map(|window| window.within(silence)).sum::<i64>();
        let (away, frozen) = (overlap(&excuses.outages), overlap(&excuses.freezes));
        let millis = |time: i64| Duration::from_millis(time.max(0).unsigned_abs());
        self.soonest = self.soonest.min(millis(whole));
        if millis(whole) < lease {
            self.problem(format!(
                "job {n} was taken {whole} ms after a sign of life, before its lease was over"
            ));
        }
        let took = millis(whole - away);
        let is_held = took > lease * 2 && millis(whole - away - frozen) <= lease * 2;
        if frozen == 0 {
            self.calm += 1;
            self.slowest = self.slowest.max(took);
        } else if !is_held {
            self.slowest_in_storm = self.slowest_in_storm.max(took);
        }
        if is_held {
            self.held += 1;
        } else if took > lease * 2 {
            self.late_reclaim(format!(
                "job {n} was taken {whole} ms after its last sign of life; for {away} ms the database was away, for {frozen} \
                 ms a worker was frozen"
            ));
        }
    }

    /// Workers say so when a result is refused. One whose handler ended the job itself says the same, and does not count.
    fn count_late(&mut self, chores: &HashMap<Uuid, (Chore, String)>, lines: &[String]) {
        for line in lines {
            let refused = line.contains("a result is refused")
                && job_in(line)
                    .is_some_and(|id| chores.get(&id).is_some_and(|(chore, _)| !chore.in_transaction));
            self.late +=
                usize::from(refused || line.starts_with("late ") || line.contains("an attempt is given up"));
        }
    }
}

/// The id in `… job=ID …`.
fn job_in(line: &str) -> Option<Uuid> {
    let (_, rest) = line.rsplit_once("job=")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(1);

    #[test]
    fn more_jobs_of_a_key_than_may_run_at_once_are_noticed() {
        let chores: HashMap<Uuid, (Chore, String)> = [10, 170, 15, 95, 175]
            .map(|n| Chore { n, millis: 0, in_transaction: false, strike: None })
            .map(|chore| (Uuid::from_u128(chore.n.into()), (chore, String::new())))
            .into();
        let seen = |jobs: &[u32]| {
            let claimed = |job: &u32| StepRow {
                job: Uuid::from_u128((*job).into()),
                before: State::Available.to_string(),
                after: State::Leased.to_string(),
                attempt: 1,
                at_ms: 0,
            };
            let mut findings = Findings::default();
            findings.check_places(&chores, &jobs.iter().map(claimed).collect::<Vec<_>>());
            findings.problems.len()
        };
        assert_eq!(seen(&[10, 15, 95]), 0);
        assert_eq!(seen(&[10, 170]), 1);
        assert_eq!(seen(&[15, 95, 175]), 1);
    }

    /// A job that is claimed at 0, taken from its silent worker at `taken_at`, and completed by another.
    fn judged(taken_at: i64, freezes: &[(i64, i64)]) -> Findings {
        let step = |before: State, after: State, attempt, at_ms| StepRow {
            job: Uuid::nil(),
            before: before.to_string(),
            after: after.to_string(),
            attempt,
            at_ms,
        };
        let life = [
            step(State::Available, State::Leased, 1, 0),
            step(State::Leased, State::Retryable, 1, taken_at),
            step(State::Retryable, State::Leased, 2, taken_at + 10),
            step(State::Leased, State::Completed, 2, taken_at + 20),
        ];
        let windows = freezes.iter().map(|(from, to)| Window { from: *from, to: *to }).collect();
        let excuses = Excuses::new(Vec::new(), windows, &[]);
        let mut findings = Findings { soonest: Duration::MAX, ..Findings::default() };
        findings.check_life(1, &life, LEASE, &excuses);
        assert_eq!(findings.reclaims, 1);
        findings
    }

    // A30
    #[test]
    fn a_job_taken_within_two_leases_is_in_time_and_a_later_one_is_not() {
        let prompt = judged(2_000, &[]);
        assert!(prompt.tardy.is_empty() && prompt.problems.is_empty(), "{prompt}");
        assert_eq!((prompt.calm, prompt.slowest), (1, LEASE * 2));
        let late = judged(2_001, &[]);
        assert_eq!((late.calm, late.tardy.len(), late.held), (1, 1, 0), "{late}");
        let soon = judged(999, &[]);
        assert_eq!(soon.problems.len(), 1, "{soon}");
    }

    // A30
    #[test]
    fn freezes_excuse_only_as_long_as_they_last_and_not_what_they_do_not_touch() {
        let held = judged(3_500, &[(500, 2_500)]);
        assert_eq!((held.calm, held.held, held.tardy.len()), (0, 1, 0), "{held}");
        let before_and_after = judged(3_500, &[(-2_000, 0), (3_500, 6_000)]);
        assert_eq!((before_and_after.calm, before_and_after.tardy.len()), (1, 1), "{before_and_after}");
        let twenty_seconds = judged(20_000, &[(500, 2_500), (2_000, 4_000), (12_000, 14_000)]);
        assert_eq!((twenty_seconds.held, twenty_seconds.tardy.len()), (0, 1), "{twenty_seconds}");
    }
}
