//! What emitting an event adds to a transaction that inserts a row.

use std::{sync::Arc, time::Instant};

use futures_util::future::try_join_all;
use stylobate_db::{Db, Error, Sql, Tx};
use stylobate_events::Types;
use stylobate_tests::Engine;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::stage::{KIND, SCOPE, Stage, event};
use crate::{
    Result,
    report::Report,
    rounds::{self, Rounds, Sample, cpu_time},
};

/// The rate of a transaction that emits one event, as a part of that of the same one without.
const LEAST: f64 = 0.65;
const SUBJECTS: usize = 1_000;
/// How many transactions a round has.
const TRANSACTIONS: usize = 4_000;

const TABLE: Sql = Sql::Per {
    pg: "CREATE TABLE bench_rows (id uuid PRIMARY KEY, name text NOT NULL, email text NOT NULL)",
    lite: "CREATE TABLE bench_rows (id BLOB PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL) STRICT",
};

/// How many transactions run at once: SQLite has one writer.
fn at_once(engine: Engine) -> usize {
    match engine {
        Engine::Sqlite => 1,
        Engine::Postgres => 8,
    }
}

pub(super) fn measure(runtime: &Runtime, report: &mut Report, engine: Engine) -> Result {
    let stage = runtime.block_on(stage(engine))?;
    let rounds = |report: &mut Report, what: &str, at_once: usize, least: Option<f64>| {
        let rounds = Rounds::measure(
            rounds::count(7),
            || runtime.block_on(insert(&stage.handles.db, at_once, true)),
            || runtime.block_on(insert(&stage.bare, at_once, false)),
        )?;
        rounds.report(report, &format!("{what} on {engine:?}, {at_once} at once"), "no event", least);
        Ok::<_, crate::Error>(())
    };
    rounds(report, "an event nobody hears", at_once(engine), None)?;
    for name in ["first", "second"] {
        runtime.block_on(stage.handles.events.subscribe(name, &Types::named([KIND])))?;
    }
    if engine == Engine::Postgres {
        rounds(report, "an event for two", 1, None)?;
    }
    rounds(report, "an event for two", at_once(engine), Some(LEAST))
}

async fn stage(engine: Engine) -> Result<Stage> {
    let stage = Stage::new(engine).await;
    let create = async |tx: &mut Tx| {
        tx.q(TABLE).run().await?;
        if tx.engine() == stylobate_db::Engine::Postgres {
            tx.q("GRANT INSERT ON bench_rows TO PUBLIC").run().await?;
        }
        Ok::<_, Error>(())
    };
    stage.test_db.open_as_owner().await.transact(SCOPE, create).await?;
    Ok(stage)
}

/// Inserts rows, each in a transaction.
async fn insert(db: &Db, at_once: usize, is_told: bool) -> Result<Sample> {
    let subjects: Arc<Vec<String>> = Arc::new((0..SUBJECTS).map(|n| format!("person:{n}")).collect());
    let (begun, cpu) = (Instant::now(), cpu_time());
    let tasks = (0..at_once).map(|task| {
        let (db, subjects) = (db.clone(), Arc::clone(&subjects));
        tokio::spawn(async move {
            for n in (task..TRANSACTIONS).step_by(at_once) {
                let subject = subjects.get(n % SUBJECTS).cloned().unwrap_or_default();
                let insert = async move |tx: &mut Tx| {
                    tx.q("INSERT INTO bench_rows (id, name, email) VALUES ($1, $2, $3)")
                        .bind(Uuid::new_v4())
                        .bind("Grace Hopper")
                        .bind("grace@example.org")
                        .run()
                        .await?;
                    if is_told {
                        tx.emit(event(n, &subject));
                    }
                    Ok::<_, Error>(())
                };
                db.transact(SCOPE, insert).await?;
            }
            Ok::<_, Error>(())
        })
    });
    for ended in try_join_all(tasks).await? {
        ended?;
    }
    Ok(Sample::since(begun, cpu, TRANSACTIONS))
}
