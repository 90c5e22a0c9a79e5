//! What a million events that are owed change for a relay: its memory, and the time it takes from one batch to the next.

use std::{
    env, fs,
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::json;
use stylobate_core::{BoxFuture, DomainEvent, SystemClock};
use stylobate_db::{Db, DbOptions, Participant, Tx};
use stylobate_events::{
    Delivery, Events, Outbox, Outcome, Publisher, Relay, RelayOptions, Report as Told, Sink, Types,
};
use stylobate_tests::Engine;
use tokio::sync::watch;

use super::stage::{Queue, SCOPE, Stage, event, outbox, publisher};
use crate::{
    Result,
    report::{Goal, Report},
    rounds::{median, percentile, sorted},
};

/// The subcommand of the process whose memory is looked at.
pub(crate) const COMMAND: &str = "relay";
const DATABASE: &str = "STYLOBATE_BENCH_DATABASE";
const BROKER: &str = "STYLOBATE_BENCH_BROKER";
const DRAINED: &str = "STYLOBATE_BENCH_DRAINED";

const FEW: usize = 10_000;
/// How many of the many are drained: enough for what is deleted to pile up before what is still owed.
const DRAINED_OF_MANY: usize = 100_000;
/// So many that each event of a batch is of another subject.
const SUBJECTS: usize = 2_000;
/// What the queue keeps: the broker's memory is not what is measured.
const KEPT: i64 = 1_000;
const CHUNK: usize = 1_000;

/// Many: `STYLOBATE_OWED`, or as many as the promise says.
fn many() -> usize {
    env::var("STYLOBATE_OWED").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000)
}

/// What a relay process says of itself at its end.
#[derive(Debug, Serialize, Deserialize)]
struct Drained {
    seconds: f64,
    peak_bytes: u64,
    /// From the end of what was delivered of each batch to the beginning of the next, in milliseconds: deleting what is done,
    /// and reading what is next.
    between_ms: Vec<f64>,
}

pub(super) async fn measure(report: &mut Report, engine: Engine) -> Result {
    let (many, few) = (many(), FEW);
    let of_few = relay(report, engine, few, few).await?;
    let of_many = relay(report, engine, many, DRAINED_OF_MANY.min(many)).await?;
    report.keep(json!({ "what": "flood", "engine": format!("{engine:?}"), "owed": many, "few": of_few, "many": of_many }));
    let megabytes = |drained: &Drained| drained.peak_bytes as f64 / 1e6;
    report.note(&format!(
        "a relay's memory at most on {engine:?}: {:.1} MB with {few} owed, {:.1} MB with {many}",
        megabytes(&of_few),
        megabytes(&of_many)
    ));
    let ratio = of_many.peak_bytes as f64 / of_few.peak_bytes as f64;
    report.verdict(
        &format!("memory with {many} owed by that with {few} on {engine:?}"),
        ratio,
        "",
        Goal::AtMost(1.3),
    );
    let between = |drained: &Drained| median(drained.between_ms.iter().copied());
    let ratio = between(&of_many) / between(&of_few);
    report.verdict(
        &format!("time per batch with {many} owed by that with {few} on {engine:?}"),
        ratio,
        "",
        Goal::AtMost(1.5),
    );
    Ok(())
}

/// Has a process relay `drained` events while at first `owed` of them are owed.
async fn relay(report: &Report, engine: Engine, owed: usize, drained: usize) -> Result<Drained> {
    let stage = Stage::new(engine).await;
    let queue = Queue::new(Some(KEPT)).await?;
    stage.handles.to_broker(queue.host.url())?.register().await?;
    let begun = Instant::now();
    fill(&stage, owed).await?;
    report.note(&format!("{owed} events were written in {:.1} s", begun.elapsed().as_secs_f64()));

    let mut child = Command::new(env::current_exe()?);
    child.arg(COMMAND).env(DATABASE, stage.test_db.url()).env(BROKER, queue.host.url());
    child.env(DRAINED, drained.to_string()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let ended = tokio::task::spawn_blocking(move || child.output()).await??;
    if !ended.status.success() {
        return Err(format!("the relay ended with {}", ended.status).into());
    }
    queue.close().await;
    let of: Drained = serde_json::from_slice(&ended.stdout)?;
    let between = sorted(of.between_ms.iter().copied());
    report.note(&format!(
        "of {owed} owed on {engine:?} {drained} were relayed: {:.0} per second, between two batches p50 {:.1} ms, p99 {:.1} ms",
        drained as f64 / of.seconds,
        percentile(&between, 0.5),
        percentile(&between, 0.99)
    ));
    Ok(of)
}

async fn fill(stage: &Stage, owed: usize) -> Result {
    let outbox = outbox();
    for first in (0..owed).step_by(CHUNK) {
        let outbox = Arc::clone(&outbox);
        let write = async move |tx: &mut Tx| {
            let some: Vec<DomainEvent> = (first..(first + CHUNK).min(owed))
                .map(|n| event(n, &format!("place-{}", n % SUBJECTS)))
                .collect();
            // Past the buffer of the transaction, which is for events by the dozen.
            outbox.write(tx, &some).await
        };
        stage.bare.transact(SCOPE, write).await?;
    }
    // PostgreSQL looks at tables that grew by itself, within a minute.
    if stage.bare.engine() == stylobate_db::Engine::Postgres {
        let owner = stage.test_db.open_as_owner().await;
        let analyze =
            async |tx: &mut Tx| tx.q("ANALYZE events, event_aggregates, event_deliveries").run().await;
        owner.transact(SCOPE, analyze).await?;
    }
    Ok(())
}

/// A publisher that counts, and notes how long it waits from batch to batch.
struct Counting {
    publisher: Publisher,
    wanted: usize,
    state: Mutex<State>,
    done: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    delivered: usize,
    ended_at: Option<Instant>,
    between: Vec<Duration>,
}

impl Counting {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Counting {
    fn name(&self) -> &str {
        self.publisher.name()
    }

    fn types(&self) -> Types {
        self.publisher.types()
    }

    fn deliver<'a>(&'a self, wave: &'a [Arc<Delivery>]) -> BoxFuture<'a, Told> {
        Box::pin(async move {
            {
                let mut state = self.state();
                let between = state.ended_at.map(|at| at.elapsed());
                state.between.extend(between);
            }
            let told = self.publisher.deliver(wave).await;
            let delivered =
                told.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Delivered)).count();
            let mut state = self.state();
            state.delivered += delivered;
            state.ended_at = Some(Instant::now());
            if state.delivered >= self.wanted {
                self.done.send_replace(true);
            }
            told
        })
    }
}

/// The subcommand: relays as many events as the environment says, and tells how that was.
pub(crate) fn drain() -> Result {
    // As many threads as a service has.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let drained = runtime.block_on(async {
        let outbox = outbox();
        let participants: [Arc<dyn Participant>; 1] = [Arc::<Outbox>::clone(&outbox)];
        let mut builder = Db::builder(&env::var(DATABASE)?, DbOptions::default()).without_audit();
        for participant in participants {
            builder = builder.participant(participant);
        }
        let db = builder.connect().await?;
        let events = Events::new(db, outbox, Arc::new(SystemClock));
        let (done, mut is_done) = watch::channel(false);
        let sink = Arc::new(Counting {
            publisher: publisher(&env::var(BROKER)?)?,
            wanted: env::var(DRAINED)?.parse()?,
            state: Mutex::default(),
            done,
        });
        let begun = Instant::now();
        let relay = Relay::new(events, Arc::<Counting>::clone(&sink), RelayOptions::default());
        let stop = async {
            let _ = is_done.wait_for(|done| *done).await;
        };
        relay.run(stop).await;
        let between_ms = sink.state().between.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        Ok::<_, crate::Error>(Drained {
            seconds: begun.elapsed().as_secs_f64(),
            peak_bytes: peak()?,
            between_ms,
        })
    })?;
    println!("{}", serde_json::to_string(&drained)?);
    Ok(())
}

/// The most resident memory that this process ever had (proc_pid_status(5)).
fn peak() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("a line of /proc")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}
