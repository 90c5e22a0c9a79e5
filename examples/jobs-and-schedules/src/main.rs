//! Jobs that go on where they were after Ctrl-C or kill -9, and steps that are undone. See README.md.

#![expect(clippy::print_stdout, reason = "a program that shows what its jobs do")]

mod count;
mod order;

use std::{env, error::Error, sync::Arc, time::Duration};

use stylobate_core::SystemClock;
use stylobate_db::{Db, DbOptions, Scope, Tx, migrate};
use stylobate_jobs::{Jobs, JobsError, MIGRATIONS, Registry, Retention, Worker, WorkerOptions};

use count::Count;
use order::{Order, Shop};

/// Short, so that nobody who kills the program has to wait long. See the README of stylobate-jobs for what suits a service.
const LEASE: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::WARN).init();
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite://jobs.db".to_owned());
    // A service would hand in who keeps the audit trail.
    let db = Db::builder(&url, DbOptions::default()).without_audit().without_events().connect().await?;
    migrate(&db, &[&MIGRATIONS]).await?;
    let jobs = Jobs::new(db.clone(), Arc::new(SystemClock));
    ask(&db, &jobs).await?;

    let registry = Registry::new().with::<Count>(()).with::<Order>(Shop);
    let options = WorkerOptions {
        lease: LEASE,
        drain: Duration::from_secs(1),
        cancel_grace: Duration::from_secs(2),
        ..WorkerOptions::default()
    };
    println!("{} works; Ctrl-C stops it", options.name);
    let worker = Worker::new(jobs.clone(), registry, options);
    tokio::join!(worker.run(asked_to_stop()), jobs.keep_up(LEASE, Retention::default(), asked_to_stop()),);
    println!("stopped; what was running has been handed back");
    Ok(())
}

/// Asks for what the program shows. What an earlier start has asked for and has not finished goes on.
async fn ask(db: &Db, jobs: &Jobs) -> Result<(), JobsError> {
    let jobs = jobs.clone();
    let ask = async move |tx: &mut Tx| {
        for (article, pays) in [("lamp", true), ("chair", false)] {
            jobs.enqueue(tx, &Order { article: article.to_owned(), pays }).await?;
        }
        jobs.enqueue(tx, &Count { to: 60 }).await
    };
    let count = db.transact(Scope::Platform("an example"), ask).await?;
    println!("{} to count, job {}", if count.is_new { "asked" } else { "found what was asked" }, count.id);
    Ok(())
}

async fn asked_to_stop() {
    // Without a signal handler there is no other way to stop than to kill, which is fine as well.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
