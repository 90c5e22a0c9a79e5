//! apalis with the same jobs, as many workers and as large batches.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use apalis::{layers::WorkerBuilderExt as _, prelude::*};
use apalis_postgres::PostgresStorage;
use apalis_sqlite::SqliteStorage;
use serde::{Deserialize, Serialize};
use sqlx::{
    PgPool, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use stylobate_tests::{Engine, Place};
use tokio::{sync::watch, task::JoinSet};

use super::{AT_ONCE, Count, workers};
use crate::{
    Result,
    rounds::{Sample, cpu_time},
};

const QUEUE: &str = "bench";
/// As many as a handle of ours has in this bench.
const CONNECTIONS: u32 = 8;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Nothing {
    n: usize,
}

async fn nothing(_job: Nothing, count: Data<Count>) -> std::result::Result<(), BoxDynError> {
    count.add();
    Ok(())
}

enum Pool {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

pub(super) struct Peer {
    engine: Engine,
    pool: Pool,
    /// How many workers there were: a name is not given again while its last bearer may live.
    workers: AtomicUsize,
    _place: Place,
}

impl Peer {
    pub(super) async fn new(engine: Engine) -> Result<Self> {
        let place = Place::new(engine).await;
        let pool = match engine {
            Engine::Postgres => {
                let url = place.superuser_url().ok_or("an address of PostgreSQL")?;
                let options = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
                let pool = options.connect(&url).await?;
                PostgresStorage::setup(&pool).await?;
                Pool::Postgres(pool)
            }
            Engine::Sqlite => {
                let options = SqliteConnectOptions::new()
                    .filename(place.folder().join("apalis.db"))
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(Duration::from_secs(5));
                let pools = SqlitePoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
                let pool = pools.connect_with(options).await?;
                SqliteStorage::migrations().run(&pool).await?;
                Pool::Sqlite(pool)
            }
        };
        Ok(Self { engine, pool, workers: AtomicUsize::new(0), _place: place })
    }

    /// How long `number` waiting jobs take until all are done.
    pub(super) async fn drain(&self, number: usize) -> Result<Sample> {
        self.forget().await?;
        let waiting: Vec<Nothing> = (0..number).map(|n| Nothing { n }).collect();
        for some in waiting.chunks(1_000) {
            match &self.pool {
                Pool::Postgres(pool) => {
                    postgres(pool).push_bulk(some.to_vec()).await.map_err(|error| error.to_string())?
                }
                Pool::Sqlite(pool) => {
                    sqlite(pool).push_bulk(some.to_vec()).await.map_err(|error| error.to_string())?
                }
            }
        }
        let count = Count::default();
        let (stop, stopped) = watch::channel(false);
        let (begun, cpu) = (Instant::now(), cpu_time());
        let mut running = JoinSet::new();
        for _ in 0..workers(self.engine) {
            let name = format!("bench-{}", self.workers.fetch_add(1, Ordering::Relaxed));
            let mut stopped = stopped.clone();
            let until = async move {
                let _ = stopped.wait_for(|stop| *stop).await;
                Ok::<(), std::io::Error>(())
            };
            let count = count.clone();
            match &self.pool {
                Pool::Postgres(pool) => {
                    let builder =
                        WorkerBuilder::new(name).backend(postgres(pool)).data(count).concurrency(AT_ONCE);
                    running.spawn(async move {
                        builder.build(nothing).run_until(until).await.map_err(|error| error.to_string())
                    });
                }
                Pool::Sqlite(pool) => {
                    let builder =
                        WorkerBuilder::new(name).backend(sqlite(pool)).data(count).concurrency(AT_ONCE);
                    running.spawn(async move {
                        builder.build(nothing).run_until(until).await.map_err(|error| error.to_string())
                    });
                }
            }
        }
        let wanted = i64::try_from(number)?;
        tokio::select! {
            done = count.wait_for(number) => done?,
            Some(ended) = running.join_next() => return Err(format!("a worker of apalis ended: {:?}", ended?).into()),
        }
        while self.done().await? < wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let sample = Sample::since(begun, cpu, number);
        stop.send_replace(true);
        while let Some(ended) = running.join_next().await {
            ended??;
        }
        Ok(sample)
    }

    /// Removes the jobs of earlier rounds: it has no quick way to tell how many are done among many.
    async fn forget(&self) -> Result {
        match &self.pool {
            Pool::Postgres(pool) => {
                sqlx::query("TRUNCATE apalis.jobs").execute(pool).await?;
            }
            Pool::Sqlite(pool) => {
                sqlx::query("DELETE FROM Jobs").execute(pool).await?;
            }
        }
        Ok(())
    }

    async fn done(&self) -> Result<i64> {
        Ok(match &self.pool {
            Pool::Postgres(pool) => {
                sqlx::query_scalar("SELECT count(*) FROM apalis.jobs WHERE status = 'Done'")
                    .fetch_one(pool)
                    .await?
            }
            Pool::Sqlite(pool) => {
                sqlx::query_scalar("SELECT count(*) FROM Jobs WHERE status = 'Done'").fetch_one(pool).await?
            }
        })
    }
}

fn postgres(pool: &PgPool) -> PostgresStorage<Nothing> {
    let config = apalis_postgres::Config::default().queue(QUEUE).batch_size(AT_ONCE);
    PostgresStorage::new(pool).with_config(config)
}

fn sqlite(pool: &SqlitePool) -> SqliteStorage<Nothing> {
    let config = apalis_sqlite::Config::default().queue(QUEUE).batch_size(AT_ONCE);
    SqliteStorage::new(pool).with_config(config)
}
